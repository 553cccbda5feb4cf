"""Parses responses that are a list of calls in formats that the package does not prompt for.

They are unambiguous: Python's `[get_weather(city="Paris")]`, also in a fence, and
`[name: "get_weather", {"city": "Paris"}]`.
"""

import ast
import re
import warnings
from collections.abc import Iterable
from typing import Any

from langchain_azure_phi3._tools.lenient_json import parse_prefix
from langchain_azure_phi3._tools.tool_call_formats import CallNormalizer
from langchain_azure_phi3._tools.tool_call_parser import ParseResult, ToolCallParser
from langchain_azure_phi3._tools.tools import Call, Tool, Toolbox
from langchain_azure_phi3._types import Json

_MAX_LENGTH = 20_000
_MAX_UNDECIDED = 1_000  # characters before the first call
_TAGS = ("<|tool_call|>", "<|tool_calls|>")
_OPENING_TAGS = re.compile(r"\s*(?:<\|tool_calls?\|>\s*)*")
_CLOSING_TAGS = re.compile(r"(?:\s*<\|/tool_calls?\|>)*\s*\Z")
_NAMED_CALL = re.compile(
    r'\[\s*name\s*:\s*"(?P<name>[^"\n]{1,100})"\s*,\s*(?:(?:arguments|parameters)\s*:\s*)?(?=\{)'
)
_FENCED = re.compile(r"\s*```\w*\s+(\[.*\])\s*```\s*", re.DOTALL)
_FENCE_BEGINNING = re.compile(r"\s*`{1,3}\w{0,12}\s*\Z")
_LIST_START = re.compile(
    r"(?:\s*```\w*\s)?\s*\[\s*(?P<name>[A-Za-z_][\w.]*)?(?P<space>\s*)(?P<next>.)?", re.DOTALL
)


class AnswerParser:
    """Parses one response: a list of Python calls, or anything that `ToolCallParser` parses."""

    def __init__(self, tools: Iterable[Tool], *, required: bool) -> None:
        self._tools = Toolbox(tools)
        self._required = required
        self.restart()

    def restart(self) -> None:
        """Start again, because the text so far was not part of the response."""
        self._parser = ToolCallParser(self._tools.tools, required=self._required)
        self._held: list[str] | None = []
        self._length = 0
        self._is_list = False

    def feed(self, text: str) -> ParseResult:
        """Parse a piece of the response."""
        if self._held is None:
            return self._parser.feed(text)
        self._held.append(text)
        self._length += len(text)
        if self._is_list or (
            self._may_be_list("".join(self._held))
            and (self._is_list or self._length <= _MAX_UNDECIDED)
        ):
            return ParseResult()
        held, self._held = "".join(self._held), None
        return self._parser.feed(held)

    def finish(self, *, truncated: bool = False) -> ParseResult:
        """Parse the end; `truncated`: the response is incomplete, as at `max_tokens`."""
        fed = ParseResult()
        if self._held:
            held = "".join(self._held)
            calls = () if truncated else exact_calls(held, self._tools)
            if calls:
                return ParseResult("", calls)
            fed = self._parser.feed(held)
        rest = self._parser.finish(truncated=truncated)
        return ParseResult(fed.text + rest.text, fed.calls + rest.calls)

    def _may_be_list(self, text: str) -> bool:
        text = text[_end_of_tags(text) :]
        if text and any(tag.startswith(text) for tag in _TAGS):
            return True
        start = _LIST_START.match(text)
        if start is None:
            return not text or text.isspace() or _FENCE_BEGINNING.match(text) is not None
        name, following = start["name"], start["next"]
        if name is None:
            return following is None
        if following is None:
            return "name".startswith(name) or self._tools.may_become(name)
        is_known = following == "(" and self._tools.find(name) is not None
        self._is_list = is_known or (name == "name" and following == ":")
        return self._is_list


def exact_calls(text: str, tools: Toolbox) -> tuple[Call, ...]:
    """Return the calls if the response consists of them, in either format; else none."""
    text = text[_end_of_tags(text) :]
    end = _CLOSING_TAGS.search(text)
    text = text if end is None else text[: end.start()]
    return _named_call(text, tools) or _python_calls(text, tools)


def _end_of_tags(text: str) -> int:
    found = _OPENING_TAGS.match(text)
    return 0 if found is None else found.end()


def _named_call(text: str, tools: Toolbox) -> tuple[Call, ...]:
    found = _NAMED_CALL.match(text)
    if found is None:
        return ()
    try:
        arguments, end = parse_prefix(text, found.end())
    except ValueError:
        return ()
    if text[end:].strip() not in ("", "]"):
        return ()
    return (CallNormalizer(tools).build_call(found["name"], arguments, text),)


def _python_calls(text: str, tools: Toolbox) -> tuple[Call, ...]:
    """Return the calls in a Python list of calls to these tools, with literal arguments."""
    normalizer = CallNormalizer(tools)
    calls = []
    for node in _list_items(text):
        pair = _name_and_arguments(node)
        if pair is None or tools.find(pair[0]) is None:
            return ()
        calls.append(normalizer.build_call(*pair, ast.unparse(node)))
    return tuple(calls)


def _list_items(text: str) -> list[ast.expr]:
    if len(text) > _MAX_LENGTH:
        return []
    fenced = _FENCED.fullmatch(text)
    text = text if fenced is None else fenced[1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of escapes such as "\d"
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return tree.body.elts if isinstance(tree.body, ast.List) else []


def _name_and_arguments(node: ast.expr) -> tuple[str, Json] | None:
    if not isinstance(node, ast.Call) or node.args:
        return None
    try:
        return ast.unparse(node.func), {
            _keyword(word): _literal(word.value) for word in node.keywords
        }
    except (ValueError, RecursionError, TypeError):
        return None


def _keyword(word: ast.keyword) -> str:
    if word.arg is None:
        raise ValueError("The arguments are unpacked from a value.")
    return word.arg


def _literal(node: ast.expr) -> Any:
    """Return the JSON value of a literal.

    Raises:
        ValueError: It is not a literal, or has no JSON equivalent.
    """
    return _to_json(ast.literal_eval(node))


def _to_json(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_to_json(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _to_json(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError("JSON does not have this value.")
