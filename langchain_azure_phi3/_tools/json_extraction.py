"""Prompts for a JSON object, and the parser that finds it in a response."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from langchain_azure_phi3._tools.argument_coercion import ArgumentCoercer, match_keys
from langchain_azure_phi3._tools.lenient_json import (
    parse_prefix,
    parse_strict_prefix,
    to_plain,
)
from langchain_azure_phi3._tools.quoting import quote_rejected
from langchain_azure_phi3._tools.schema_compaction import compact_schema, to_compact_json
from langchain_azure_phi3._tools.tool_call_formats import (
    ARGUMENT_KEYS,
    NAME_KEYS,
    is_schema_of_properties,
)
from langchain_azure_phi3._tools.tools import normalize_name, properties_of
from langchain_azure_phi3._types import Json

Check = Callable[[Json], str | None]
"""Returns the error of an object, a sentence without its full stop; `None` if it is valid."""

TRUNCATED_OBJECT = "max_tokens cut off the JSON object: it is incomplete."
STOPPED_OBJECT = "A stop sequence cut off the JSON object: it is incomplete."

_MAX_QUOTED = 600
# Characters of candidates that may be read in addition to the text itself.
_MIN_WORK = 20_000
_MAX_UNWRAPPED = 3
# The start of an object: braces in prose and code are followed by other characters.
_OBJECT_START = re.compile(r"""\{(?=\s*(?:["'\u201c}{/#\\]|[\w$-]{1,60}\s*:))""")
_FENCED_OBJECT = re.compile(r"```[\w+-]*\s*+\[?\s*+(?=\{)")
# Keys in which models wrap an object, besides its name.
_WRAPPER_NAMES = frozenset(
    {"result", "response", "answer", "output", "object", "data", "json", "value", "item"}
)


def instructions(schema: Json) -> str:
    """Return the text that requests an object which fits `schema`; `{}` requests any object."""
    request = "Answer with one JSON object only, without any other words."
    if not schema:
        return request
    return f"{request} It must fit this JSON schema:\n{to_compact_json(compact_schema(schema))}"


def correction(problem: str, wrote: str) -> str:
    """Return the user message that asks for a corrected object."""
    quoted = quote_rejected(wrote, _MAX_QUOTED)
    return f"{quoted}\n{problem}\nWrite the corrected JSON object only."


class ObjectExtractor:
    """Finds the object that fits one schema in responses."""

    def __init__(self, schema: Json, check: Check | None = None) -> None:
        """Find objects of a schema.

        Args:
            schema: The JSON schema; `{}` for any object.
            check: Decides whether an object is valid, instead of the JSON schema: the user's own
                model, which may accept more.
        """
        self._schema = schema
        self._title = normalize_name(str(schema.get("title", "")))
        self._check = check

    def read(self, text: str, *, truncated: bool = False) -> tuple[Json | None, str]:
        """Return the object and an empty string, or `None` and an error for the model.

        Args:
            text: The text of the response.
            truncated: Whether it was cut off: an incomplete object is never completed.
        """
        problem = TRUNCATED_OBJECT if truncated else "The response contains no JSON object."
        coercer = ArgumentCoercer(self._schema)
        for value in _objects(text, strict=truncated):
            found, error = self.fit(value, coercer)
            if found is not None:
                return found, ""
            problem = problem if truncated else error
        return None, problem

    def fit(self, value: Json, coercer: ArgumentCoercer | None = None) -> tuple[Json | None, str]:
        """Return the object fitted to the schema and an empty string, or `None` and an error.

        Args:
            value: The object.
            coercer: The coercer of the response that contains the object.
        """
        if not self._schema:
            return to_plain(value), ""
        coercer = ArgumentCoercer(self._schema) if coercer is None else coercer
        problem = ""
        for candidate in self._readings(value):
            found, error = self._fit_one(candidate, coercer)
            if found is not None:
                return found, ""
            problem = problem or error
        if not problem:
            problem = "That is the schema itself. Write an object that fits it."
        return None, problem

    def _readings(self, value: Json) -> Iterator[Json]:
        """Yield the possible readings of an object, most likely first: itself, or one within it."""
        inner = value.get("properties")
        if isinstance(inner, dict) and "properties" not in properties_of(self._schema):
            # Some models repeat the schema and put the values in place of its properties.
            if not is_schema_of_properties(inner):
                yield inner
            return
        called = self._arguments(value)
        if called is not None:
            yield called
        if self._has_known_key(value):
            yield value
            return
        wrapped = list(self._unwrapped(value))
        yield from wrapped
        yield value

    def _arguments(self, value: Json) -> Json | None:
        """Return the object if it is written as the arguments of a call of the schema."""
        name = next((value[key] for key in NAME_KEYS if isinstance(value.get(key), str)), None)
        if name is None or normalize_name(name) != self._title:
            return None
        given = (value[key] for key in ARGUMENT_KEYS if isinstance(value.get(key), dict))
        return next(given, None)

    def _unwrapped(self, value: Any, depth: int = 0) -> Iterator[Json]:
        """Yield objects within an object without known keys, also in lists of one."""
        if depth > _MAX_UNWRAPPED:
            return
        if isinstance(value, list):
            value = value[0] if len(value) == 1 else None
        if not isinstance(value, dict):
            return
        if depth and self._has_known_key(value):
            yield value
            return
        named = {name for name in value if self._is_wrapper(name)}
        for name in sorted(value, key=lambda name: name not in named):
            yield from self._unwrapped(value[name], depth + 1)

    def _is_wrapper(self, name: str) -> bool:
        return normalize_name(name) in _WRAPPER_NAMES | {self._title}

    def _has_known_key(self, value: Json) -> bool:
        properties = properties_of(self._schema)
        return bool(properties.keys() & match_keys(value, properties).keys())

    def _fit_one(self, value: Json, coercer: ArgumentCoercer) -> tuple[Json | None, str]:
        coerced = coercer.coerce(value)
        if self._check is None:
            if coercer.is_emptied(value, coerced):
                return None, f"{coercer.unknown_names(value)}."
            problem = coercer.validate(coerced)
            return (coerced, "") if problem is None else (None, f"{problem}.")
        # Keeps properties that the JSON schema does not list, which the user's model may accept.
        known = coercer.coerce(value, keep_unknown=True)
        problems = []
        for form in (known, coerced, to_plain(value)):
            if form or not value:
                problem = self._check(form)
                if problem is None:
                    return form, ""
                problems.append(problem)
        return None, f"{problems[0]}."


def _objects(text: str, *, strict: bool) -> Iterator[Json]:
    """Yield the objects in a text: first those at the beginning of fenced blocks, then all others.

    Args:
        text: The text of a response.
        strict: Whether only complete JSON counts.
    """
    starts = [found.end() for found in _FENCED_OBJECT.finditer(text)]
    starts += [found.start() for found in _OBJECT_START.finditer(text)]
    read: set[int] = set()
    end, work = 0, _MIN_WORK + 2 * len(text)
    for start in starts:
        is_inside = start < end and start not in read
        if is_inside or start in read or work < 0:
            continue
        read.add(start)
        value, stop = _parse_object(text, start, strict=strict)
        work -= max(stop - start, 0)
        if isinstance(value, dict):
            end = stop
            yield value


def _parse_object(text: str, start: int, *, strict: bool) -> tuple[Any, int]:
    """Return the object at an index and its end; `None` and the end of the read text if invalid."""
    reached = start
    for parse in (parse_strict_prefix,) if strict else (parse_strict_prefix, parse_prefix):
        try:
            return parse(text, start)
        except ValueError as error:
            reached = max(reached, getattr(error, "pos", len(text)))
    return None, reached
