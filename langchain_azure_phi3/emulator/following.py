"""What the instructions in a prompt ask for: tools to call, a schema to fill, plain JSON.

Read by meaning, not by the sentences of one client: tools are JSON objects with a name and
parameters (or a description) in a turn that speaks of tools or functions; a schema is a JSON
object that looks like one, after the word "schema"; a call is demanded by "must call" or "must
use". Requests that carry `tools` or `response_format` say the same in fields.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_azure_phi3.emulator.conversation import Prompt, Turn
from langchain_azure_phi3.emulator.wire import Json

Form = Literal["plain", "tagged", "native"]

_SPEAKS_OF_TOOLS = re.compile(r"\b(?:tools?|functions?)\b|<\|tool\|>", re.I)
_DEMAND = re.compile(r"\bmust (?:now )?(?:call|use)\b([^\n]*?)(?:[.!:](?:\s|$)|\n|$)", re.I)
_CORRECTION = re.compile(
    r"\b(?:cannot|can't|could not) be (?:used|read|parsed)\b|"
    r"\bcorrected (?:call|JSON|answer|object)\b",
    re.I,
)
_RESULT = re.compile(
    r"^(?:(?:the )?results? (?:of|from) (?:the )?(?:tool|function)|the (?:tool|function)) "
    r"[\"'`]?([\w.-]+?)[\"'`]?( failed)?(?:, without any text\.|:[ \n])",
    re.I | re.M,
)
_WANTS_JSON = re.compile(
    r"\b(?:as|in|with|only|return|valid|than|but|one|an?)\s+(?:(?:an?|one|valid|single|only)\s+)*"
    r"JSON\b|\bJSON\s+(?:only|object|format)\b",
    re.I,
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+|\n")
_INSTRUCTS = re.compile(r"\bJSON\b|\bschema\b|<\|/?tool", re.I)
_INSTRUCTS_ON_TOOLS = re.compile(
    r"\b(?:these tools|a tool to|no tool|the call|calls:|one list|arguments? listed|"
    r"must (?:call|use)|next message|ordinary words)|[{}]|<\|/?tool",
    re.I,
)
_KEYS = re.compile(r"\b(?:keys?|fields?|properties|attributes)\b", re.I)
_QUOTED_KEY = re.compile(r"[\"'`“\u2018]([A-Za-z_][\w-]*)[\"'`”\u2019]")
_SCHEMA_KEYS = frozenset({"properties", "$ref", "anyOf", "oneOf", "allOf", "enum", "items"})
_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_NEAR = 200  # characters between the word "schema" and the schema


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool that may be called."""

    name: str
    description: str
    parameters: Json


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool answered."""

    name: str
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a prompt asks for.

    Attributes:
        question: The last thing that the user asked, without the instructions around it.
        offers: The tools on offer.
        demanded: Whether a tool must be called.
        tool: The one that must be, where one is named.
        form: How calls are written.
        schema: The JSON schema that the answer must fit.
        wants_json: Whether the answer must be JSON at all.
        keys: The keys that it was asked to have, where no schema says it.
        results: What tools answered since the question.
    """

    question: str
    offers: tuple[Offer, ...] = ()
    demanded: bool = False
    tool: str | None = None
    form: Form = "plain"
    schema: Json | None = None
    wants_json: bool = False
    keys: tuple[str, ...] = ()
    results: tuple[Result, ...] = ()

    def offer(self, name: str) -> Offer | None:
        """The tool of that name."""
        return next((offer for offer in self.offers if offer.name == name), None)


def wanted_by(prompt: Prompt) -> Wanted:
    """What the prompt asks for, in words or in the request's own fields."""
    found = _wanted_in_words(prompt.turns)
    return _wanted_in_fields(found, prompt.parameters)


def json_objects(text: str) -> Iterator[tuple[int, int, Json]]:
    """The JSON objects in a text, outermost only: start, end and value."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except RecursionError:
            return  # the same again at each of a thousand braces
        except ValueError:
            end = start + 1
        else:
            yield start, end, value
        start = text.find("{", end)


def without_json(text: str) -> str:
    """A text with the JSON objects cut out."""
    kept, at = [], 0
    for start, end, _ in json_objects(text):
        kept.append(text[at:start])
        at = end
    return "".join([*kept, text[at:]])


def _wanted_in_words(turns: Sequence[Turn]) -> Wanted:
    asked = _last_question(turns)
    texts = [turn.text for turn in turns if turn.role in ("system", "user")]
    # Few-shot examples and old answers are no instructions; results may hold anything.
    instructing = [_before_results(text) for text in texts]
    offers = {offer.name: offer for text in instructing for offer in _offers(text)}
    demands = [demand for text in instructing for demand in _demands(text, offers)]
    correction = turns[-1].text if _corrects(turns) else ""
    schemas = [schema for text in instructing for schema in _schemas(text)]
    question = "" if asked is None else _asked_in(turns[asked].text)
    sentences = [s for text in _relevant(turns, asked) for s in _SENTENCES.split(text)]
    jsonish = [sentence for sentence in sentences if _WANTS_JSON.search(sentence)]
    tool = demands[-1] if len(demands) > 0 else None
    return Wanted(
        question=question,
        offers=tuple(offers.values()),
        demanded=len(offers) > 0 and (len(demands) > 0 or "call" in correction.lower()),
        tool=tool if tool is not None else _named_in_form(correction, offers),
        form="tagged" if any("<|tool_call|>" in text for text in texts) else "plain",
        schema=schemas[-1] if len(schemas) > 0 else None,
        wants_json=len(offers) == 0 and len(jsonish) > 0,
        keys=tuple(key for sentence in jsonish for key in _keys(sentence)),
        results=tuple(_results(turns, 0 if asked is None else asked)),
    )


def _last_question(turns: Sequence[Turn]) -> int | None:
    """Where the user last asked something that is no tool's result and no correction."""
    for index in range(len(turns) - 1, -1, -1):
        turn = turns[index]
        if turn.role == "user" and _asked_in(turn.text) != "":
            return index
    return None


def _asked_in(text: str) -> str:
    """The question in a user's turn: what stands before a correction, beside instructions."""
    text = _before_results(text)
    correction = _CORRECTION.search(text)
    if correction is not None:
        text = text[: text.rfind("\n", 0, correction.start()) + 1]
    instructs = [_INSTRUCTS, *([_INSTRUCTS_ON_TOOLS] if len(list(_offers(text))) > 0 else [])]
    lines = []
    for line in without_json(text).splitlines():
        said = [s for s in _SENTENCES.split(line) if not any(p.search(s) for p in instructs)]
        lines.append(" ".join(said))
    kept = "\n".join(lines).strip(" \n,`[]")
    if kept == "" and correction is None:
        return without_json(text).strip()
    return kept


def _before_results(text: str) -> str:
    match = _RESULT.search(text)
    return text if match is None else text[: match.start()]


def _relevant(turns: Sequence[Turn], asked: int | None) -> list[str]:
    """The turns in which a wish for JSON counts: the system's, and the last question."""
    texts = [turn.text for turn in turns if turn.role == "system"]
    return texts if asked is None else [*texts, _before_results(turns[asked].text)]


def _offers(text: str) -> Iterator[Offer]:
    found = list(json_objects(text))
    if len(found) == 0 or _SPEAKS_OF_TOOLS.search(without_json(text)) is None:
        return
    for _, _, value in found:
        offer = _offer(value)
        if offer is not None:
            yield offer


def _offer(value: Json) -> Offer | None:
    inner = value.get("function")
    described = inner if isinstance(inner, dict) else value
    name, description = described.get("name"), described.get("description", "")
    parameters = described.get("parameters")
    if not isinstance(name, str) or not isinstance(description, str) or "arguments" in described:
        return None
    if not isinstance(parameters, dict):
        told = description != "" or described is inner
        return Offer(name, description, {}) if told else None
    return Offer(name, description, parameters)


def _demands(text: str, offers: Mapping[str, Offer]) -> Iterator[str | None]:
    if len(offers) == 0:
        return
    for match in _DEMAND.finditer(text):
        names = [name for name in offers if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", match[1])]
        if len(names) > 0 or _SPEAKS_OF_TOOLS.search(match[1]) is not None:
            yield names[0] if len(names) > 0 else None


def _named_in_form(correction: str, offers: Mapping[str, Offer]) -> str | None:
    """The tool of the last call that a correction shows: its form, or what was wrong."""
    shown = [value.get("name") for _, _, value in json_objects(correction)]
    return next((name for name in reversed(shown) if name in offers), None)


def _corrects(turns: Sequence[Turn]) -> bool:
    last = turns[-1] if len(turns) > 0 else Turn("user", "")
    return last.role == "user" and _CORRECTION.search(last.text) is not None


def _schemas(text: str) -> Iterator[Json]:
    for start, _, value in json_objects(text):
        before = text[max(0, start - _NEAR) : start].lower()
        if "schema" in before and _is_schema(value):
            yield value


def _is_schema(value: Json) -> bool:
    kind = value.get("type")
    typed = isinstance(kind, str) and kind in _TYPES
    return typed or any(isinstance(value.get(key), dict | list | str) for key in _SCHEMA_KEYS)


def _keys(sentence: str) -> list[str]:
    return _QUOTED_KEY.findall(sentence) if _KEYS.search(sentence) is not None else []


def _results(turns: Sequence[Turn], asked: int) -> Iterator[Result]:
    for turn in turns[asked:]:
        if turn.answers is not None:
            yield Result(turn.answers, turn.text)
        elif turn.role == "user":
            yield from _results_in(turn.text)


def _results_in(text: str) -> Iterator[Result]:
    heads = list(_RESULT.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    for head, end in zip(heads, ends, strict=False):
        yield Result(head[1], text[head.end() : end].strip(), head[2] is not None)


def _wanted_in_fields(found: Wanted, fields: Mapping[str, Any]) -> Wanted:
    """Tools and formats that the request's own fields ask for come first."""
    changes: dict[str, Any] = {}
    tools, choice = fields.get("tools"), fields.get("tool_choice")
    if isinstance(tools, list) and choice != "none":
        offers = [offer for tool in tools if (offer := _offer(tool)) is not None]
        named = choice["function"]["name"] if isinstance(choice, dict) else None
        changes |= {"offers": tuple(offers), "form": "native", "tool": named}
        changes["demanded"] = named is not None or choice == "required"
    wanted_format = fields.get("response_format")
    kind = wanted_format.get("type") if isinstance(wanted_format, dict) else None
    if kind == "json_object":
        changes["wants_json"] = True
    if kind == "json_schema" and isinstance(wanted_format, dict):
        changes["schema"] = wanted_format["json_schema"]["schema"]
    return Wanted(**{name: getattr(found, name) for name in Wanted.__slots__} | changes)
