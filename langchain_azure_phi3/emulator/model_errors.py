"""How small models go wrong when they are asked for a call or for JSON, each way on demand."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_azure_phi3.emulator import invention
from langchain_azure_phi3.emulator.conversation import Prompt, Spoken
from langchain_azure_phi3.emulator.evidence import Evidence
from langchain_azure_phi3.emulator.following import Wanted, json_objects, wanted_by
from langchain_azure_phi3.emulator.wire import Json

_OPEN, _CLOSE = "<|tool_call|>", "<|/tool_call|>"
_UNKNOWN_TOOL = "look_it_up"
_INVENTED: Json = {"verbose": True, "reason": "as you asked"}


def checked(kind: str) -> str:
    """The kind, if there is such a misbehaviour.

    Raises:
        ValueError: There is none; the message lists those that there are.
    """
    if kind not in KINDS:
        raise ValueError(f"misbehaviour {kind!r} is unknown; use one of {list(KINDS)}")
    return kind


def misbehaved(kind: str, spoken: Spoken, prompt: Prompt) -> Spoken:
    """What a model says that goes wrong in this way where `spoken` would have been right.

    Words that hold neither a call nor a JSON object can only be cut off or be missing: other
    kinds leave them as they are.
    """
    if kind in _ON_ANYTHING:
        return _ON_ANYTHING[kind](spoken)
    draft = _Draft.of(spoken, wanted_by(prompt))
    return spoken if draft is None else _ON_JSON[kind](draft)


@dataclass(frozen=True, slots=True)
class _Draft:
    """An answer taken apart: the JSON values that it consists of, and how they were written.

    Attributes:
        values: Calls, each with `name` and `arguments`, or the one object asked for.
        calls: Whether they are calls.
        tagged: Whether they stood, as an array, between tags.
        write: How each value becomes text.
        dress: What becomes of the text.
    """

    spoken: Spoken
    wanted: Wanted
    values: tuple[Any, ...]
    calls: bool
    tagged: bool
    write: Callable[[Any], str] = invention.written
    dress: Callable[[str], str] = field(default=str)

    @classmethod
    def of(cls, spoken: Spoken, wanted: Wanted) -> "_Draft | None":
        """The answer taken apart, or `None` where there is no JSON in it."""
        if len(spoken.calls) > 0:
            native = tuple({"name": n, "arguments": json.loads(a)} for n, a in spoken.calls)
            return cls(spoken, wanted, native, calls=True, tagged=False)
        values = tuple(value for _, _, value in json_objects(spoken.text))
        # Where the model answers in words, braces in what it quotes are not its own.
        if len(values) == 0 or spoken.text.strip()[0] not in "{<":
            return None
        calls = all(value.keys() == {"name", "arguments"} for value in values)
        return cls(spoken, wanted, values, calls, _OPEN in spoken.text)

    @property
    def native(self) -> bool:
        return len(self.spoken.calls) > 0

    def instances(self, change: Callable[[Any, Json], Any]) -> "_Draft":
        """With the arguments, or the object itself, changed; `change` sees the schema too."""
        if not self.calls:
            schema = self.wanted.schema or {}
            return replace(self, values=tuple(change(value, schema) for value in self.values))
        changed = tuple(
            {**call, "arguments": change(call["arguments"], self._parameters(call["name"]))}
            for call in self.values
        )
        return replace(self, values=changed)

    def _parameters(self, name: str) -> Json:
        offer = self.wanted.offer(name)
        return {} if offer is None else offer.parameters

    def said(self) -> Spoken:
        """The answer put together again."""
        if self.native:
            calls = ((v["name"], self.dress(self.write(v["arguments"]))) for v in self.values)
            return replace(self.spoken, calls=tuple(calls))
        written = [self.write(value) for value in self.values]
        if self.tagged:
            text = f"{_OPEN}{self.dress('[' + ', '.join(written) + ']')}{_CLOSE}"
        else:
            text = self.dress("\n".join(written))
        return replace(self.spoken, text=text, tokens=None)

    def in_words(self, text: str) -> Spoken:
        return replace(self.spoken, text=text, calls=(), tokens=None)


def _prose(draft: _Draft) -> Spoken:
    before, after = "Sure! Here is what you asked for:", "Let me know if you need anything else."
    spoken = draft.said()
    text = f"{before}\n\n{spoken.text}\n\n{after}" if not draft.native else before
    return replace(spoken, text=text)


def _fence(draft: _Draft) -> Spoken:
    return replace(draft, dress=lambda text: f"```json\n{text}\n```").said()


def _unclosed_fence(draft: _Draft) -> Spoken:
    return replace(draft, dress=lambda text: f"```json\n{text}").said()


def _wrong_types(draft: _Draft) -> Spoken:
    return draft.instances(lambda value, _: _mistyped(value)).said()


def _mistyped(value: Any) -> Any:
    """Numbers as strings, strings of digits as numbers, the only item of a list for the list."""
    if isinstance(value, dict):
        return {key: _mistyped(own) for key, own in value.items()}
    if isinstance(value, list):
        return _mistyped(value[0]) if len(value) == 1 else [_mistyped(own) for own in value]
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _bad_values(draft: _Draft) -> Spoken:
    return draft.instances(_worsened).said()


def _worsened(value: Any, schema: Json) -> Any:
    """Without a required key, else with a value that no reading makes fit."""
    if not isinstance(value, dict) or len(value) == 0:
        return ["nothing of the kind"]
    required = [key for key in schema.get("required", value) if key in value]
    if len(required) == 0:
        return {key: {"unexpected": [own]} for key, own in value.items()}
    return {key: own for key, own in value.items() if key != required[0]}


def _invented_arguments(draft: _Draft) -> Spoken:
    def extended(value: Any, _: Json) -> Any:
        return {**value, **_INVENTED} if isinstance(value, dict) else value

    return draft.instances(extended).said()


def _unknown_tool(draft: _Draft) -> Spoken:
    if not draft.calls:
        return draft.said()
    values = tuple({**call, "name": _UNKNOWN_TOOL} for call in draft.values)
    return replace(draft, values=values).said()


def _no_call(draft: _Draft) -> Spoken:
    if not draft.calls:
        return draft.in_words("I would rather tell you in words what you asked for.")
    return draft.in_words(f"I would use {draft.values[0]['name']} to find that out.")


def _schema_echo(draft: _Draft) -> Spoken:
    return draft.instances(lambda _, schema: schema).said()


def _two_calls(draft: _Draft) -> Spoken:
    if not draft.calls:
        return replace(draft, values=draft.values * 2).said()
    first = draft.values[0]
    others = [offer for offer in draft.wanted.offers if offer.name != first["name"]]
    if len(others) == 0:
        return replace(draft, values=(first, first)).said()
    arguments = invention.instance(
        {"type": "object", **others[0].parameters}, Evidence(draft.wanted.question)
    )
    second = {"name": others[0].name, "arguments": arguments}
    return replace(draft, values=(first, second)).said()


def _single_quotes(draft: _Draft) -> Spoken:
    return replace(draft, write=_single_quoted).said()


def _single_quoted(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{_single_quoted(key)}: {_single_quoted(own)}" for key, own in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_single_quoted(own) for own in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    inside = json.dumps(value, ensure_ascii=False)[1:-1].replace('\\"', '"')
    return "'" + inside.replace("'", "\\'") + "'"


def _trailing_comma(draft: _Draft) -> Spoken:
    return replace(draft, write=lambda value: _with_comma(invention.written(value))).said()


def _with_comma(written: str) -> str:
    """A comma before the last closing brackets that close something that is not empty."""
    body = written.rstrip("}]")
    return written if body[-1:] in ("{", "[", "") else f"{body},{written[len(body) :]}"


def _python_literals(draft: _Draft) -> Spoken:
    return replace(draft, write=repr).said()


def _empty(spoken: Spoken) -> Spoken:
    return replace(spoken, text="", calls=(), tokens=None)


def _cut_off(spoken: Spoken) -> Spoken:
    calls = tuple((name, _cut(arguments)) for name, arguments in spoken.calls)
    return replace(spoken, text=_cut(spoken.text), calls=calls, tokens=None, cut_off=True)


def _cut(text: str) -> str:
    return text[: len(text) * 2 // 3]


_ON_ANYTHING: Mapping[str, Callable[[Spoken], Spoken]] = {"cut off": _cut_off, "empty": _empty}
_ON_JSON: Mapping[str, Callable[[_Draft], Spoken]] = {
    "bad values": _bad_values,
    "fence": _fence,
    "invented arguments": _invented_arguments,
    "no call": _no_call,
    "prose": _prose,
    "python literals": _python_literals,
    "schema echo": _schema_echo,
    "single quotes": _single_quotes,
    "trailing comma": _trailing_comma,
    "two calls": _two_calls,
    "unclosed fence": _unclosed_fence,
    "unknown tool": _unknown_tool,
    "wrong types": _wrong_types,
}

KINDS = tuple(sorted({*_ON_ANYTHING, *_ON_JSON}))
