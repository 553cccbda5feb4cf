"""Generate a short text that matches a regular expression."""

import re
from collections.abc import Callable, Mapping
from re import _parser as parser  # type: ignore[attr-defined]  # the only parser of them in Python
from typing import Any

# The characters to try in this order, if a set starts with a negation or a category.
_CANDIDATES = "a0A-_ .:/@#éß中"
_CATEGORIES: Mapping[str, Callable[[str], bool]] = {
    "DIGIT": str.isdigit,
    "SPACE": str.isspace,
    "WORD": lambda character: character.isalnum() or character == "_",
}
_MAX_LENGTH = 1000


def generate_match(pattern: str) -> str | None:
    """Return a text that matches the pattern, or `None` for unsupported patterns."""
    try:
        return _generate(parser.parse(pattern))
    except (re.error, KeyError, OverflowError, RecursionError, StopIteration, Warning):
        return None


def _generate(tokens: Any) -> str:
    return "".join(_PARTS[str(name)](value) for name, value in tokens)


def _repeat(value: Any) -> str:
    least: int = value[0]
    text = _generate(value[2])
    if len(text) * least > _MAX_LENGTH:
        raise OverflowError
    return text * least


def _choose(items: Any) -> str:
    """Return a character of a set: the first one, unless the set is negated."""
    name, value = items[0]
    first = {"LITERAL": lambda: chr(value), "RANGE": lambda: chr(value[0])}.get(str(name))
    return next(c for c in _CANDIDATES if _contains(items, c)) if first is None else first()


def _contains(items: Any, character: str) -> bool:
    is_negated = str(items[0][0]) == "NEGATE"
    return any(_fits(item, character) for item in items[is_negated:]) != is_negated


def _fits(item: Any, character: str) -> bool:
    name, value = str(item[0]), item[1]
    if name == "LITERAL":
        return bool(value == ord(character))
    if name == "RANGE":
        return bool(value[0] <= ord(character) <= value[1])
    _, *negation, category = str(value).split("_")
    return _CATEGORIES[category](character) != (len(negation) > 0)


_PARTS: Any = {
    "ANY": lambda _: "a",
    "AT": lambda _: "",
    "BRANCH": lambda value: _generate(value[1][0]),
    "IN": _choose,
    "LITERAL": chr,
    "MAX_REPEAT": _repeat,
    "MIN_REPEAT": _repeat,
    "NOT_LITERAL": lambda code: "b" if code == ord("a") else "a",
    "SUBPATTERN": lambda value: _generate(value[3]),
}
