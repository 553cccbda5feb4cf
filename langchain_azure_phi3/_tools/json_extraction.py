"""JSON objects: the prompts for one, and the parser that finds it in an answer."""

import re
from collections.abc import Iterator

from langchain_azure_phi3._tools.argument_coercion import ArgumentCoercer
from langchain_azure_phi3._tools.quoting import quote_rejected
from langchain_azure_phi3._tools.schema_compaction import compact_schema, to_compact_json
from langchain_azure_phi3._tools.tool_call_formats import parse_lenient_json
from langchain_azure_phi3._tools.tools import properties_of
from langchain_azure_phi3._types import Json

_FENCED = re.compile(r"```[\w+-]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_MAX_QUOTED = 600
_MAX_CANDIDATES = 8
_SCHEMA_KEYS = frozenset({"properties", "type", "required", "title", "description", "$defs"})


def instructions(schema: Json) -> str:
    """The text that requests an object which fits `schema`; `{}` requests any object."""
    request = "Answer with one JSON object only, without any other words."
    if not schema:
        return request
    return f"{request} It must fit this JSON schema:\n{to_compact_json(compact_schema(schema))}"


def correction(problem: str, wrote: str) -> str:
    """The user turn that asks for a corrected object."""
    quoted = quote_rejected(wrote, _MAX_QUOTED)
    return f"{quoted}\n{problem}\nWrite the corrected JSON object only."


class ObjectExtractor:
    """Finds the object that fits one schema in answers."""

    def __init__(self, schema: Json) -> None:
        self._schema = schema
        self._coercer = ArgumentCoercer(schema)

    def read(self, text: str) -> tuple[Json | None, str]:
        """The object and an empty string; or `None` and what is wrong, for the model."""
        problem = "The answer holds no JSON object."
        for candidate in _candidates(text):
            value = parse_lenient_json(candidate)
            if not isinstance(value, dict):
                continue
            found, error = self._fit(value)
            if found is not None:
                return found, ""
            problem = error
        return None, problem

    def _fit(self, value: Json) -> tuple[Json | None, str]:
        if self._is_echo(value):
            # Some models repeat the schema and put the values in place of its properties.
            inner = value.get("properties")
            value = inner if isinstance(inner, dict) else value
            error = "That is the schema itself. Write an object that fits it."
        else:
            error = ""
        if not self._schema:
            return value, ""
        coerced = self._coercer.coerce(value)
        problem = self._coercer.validate(coerced)
        return (None, error or f"{problem}.") if problem is not None else (coerced, "")

    def _is_echo(self, value: Json) -> bool:
        return (
            "properties" in value
            and "properties" not in properties_of(self._schema)
            and set(value) <= _SCHEMA_KEYS | {"additionalProperties"}
        )


def _candidates(text: str) -> Iterator[str]:
    """The pieces of a text that may be the object, the most likely first."""
    for found in _FENCED.finditer(text):
        fenced = found[1].strip()
        if fenced.startswith("{"):
            yield _balanced(fenced, 0)
    end = 0
    for _ in range(_MAX_CANDIDATES):
        start = text.find("{", end)
        if start == -1:
            return
        piece = _balanced(text, start)
        end = start + len(piece)
        yield piece


def _balanced(text: str, start: int) -> str:
    """From an opening brace to the one that closes it, or to the end."""
    depth, quoted, at = 0, False, start
    while at < len(text):
        char = text[at]
        if char == "\\" and quoted:
            at += 1
        elif char == '"':
            quoted = not quoted
        elif not quoted and char in "{}":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return text[start : at + 1]
        at += 1
    return text[start:]
