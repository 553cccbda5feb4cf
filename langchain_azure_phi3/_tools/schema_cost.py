"""How much work it is to check a value against a schema, before it is checked.

Schemas of tools may come from elsewhere. A few definitions that each refer twice to the next one
make a validator visit one string billions of times.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any
from urllib.parse import unquote

from langchain_azure_phi3._tools.tools import properties_of
from langchain_azure_phi3._types import Json

_MAX_VISITS = 20_000
_MAX_VISITS_PER_PART = 50
_MAX_REFERENCES = 32
_MAX_SMALL = 40  # parts of a schema without references, whose work needs no count
_CHOICES_PER_VISIT = 8

# Keywords whose schemas apply to the value itself.
_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")
_DEPENDENT = ("dependentSchemas", "dependentRequired", "dependencies")
# Those that apply to the items of an array, or to the properties of an object that are not listed.
_OF_ITEMS = ("additionalItems", "unevaluatedItems", "contains")
_OF_PROPERTIES = ("additionalProperties", "unevaluatedProperties")
# Validators check again what these may leave out.
_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_DYNAMIC = ("$dynamicRef", "$recursiveRef")
_COUNTED = frozenset({"$ref", "pattern", "patternProperties", "propertyNames", *_DYNAMIC})
# Lookaround and back references, without which a pattern takes linear time.
_BACKTRACKING = re.compile(r"\(\?(?:[=!>]|<[=!])|\\[1-9k]")


def count_visits(value: Any, schema: Json) -> int | None:
    """How often a check visits parts of the value; `None` if far more often than there are parts.

    Also `None` if the schema refers to its parts in another way than by `#/`.
    """
    limit = _MAX_VISITS + _MAX_VISITS_PER_PART * count_parts(value)
    try:
        visits = _Visits(schema, limit).count(value, schema)
    except (_TooManyVisitsError, RecursionError):
        return None
    return visits if visits <= limit else None


def is_small(schema: Any) -> bool:
    """Whether a check visits each part of any value a few times only."""
    count, level = 0, [schema]
    while level and count <= _MAX_SMALL:
        count += len(level)
        if any(isinstance(part, dict) and not _COUNTED.isdisjoint(part) for part in level):
            return False
        level = [inner for part in level for inner in _children(part)]
    return count <= _MAX_SMALL


def resolve_reference(schema: Any, root: Json) -> Any:
    """The schema that a local reference names; the reference itself if it names none."""
    for _ in range(_MAX_REFERENCES):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            return schema
        found = _find(reference, root)
        if found is None:
            return schema
        schema = found
    return schema


def _find(reference: str, root: Json) -> Any:
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    found: Any = root
    for part in unquote(reference[2:]).split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(name)] if name.isdecimal() and int(name) < len(found) else None
        else:
            found = found.get(name) if isinstance(found, dict) else None
    return found


class _TooManyVisitsError(Exception):
    pass


class _Visits:
    """Counts visits; each pair of a value's part and a schema's part is looked at only once."""

    def __init__(self, root: Json, limit: int) -> None:
        self._root = root
        self._limit = limit
        self._counts: dict[tuple[int, int], int] = {}
        self._names: dict[str, str] = {}  # one object for each name, which is a value, too

    def count(self, value: Any, schema: Any) -> int:
        if not isinstance(schema, dict):
            return 1
        key = id(value), id(schema)
        if key in self._counts:
            return self._counts[key]
        self._counts[key] = 1  # of a schema that refers to itself
        if _fails_at_once(value, schema):
            return 1
        visits = _own_work(value, schema) + self._count_referenced(value, schema)
        in_place = self._sum((value, part) for part in _parts_in_place(value, schema))
        visits += in_place * (1 if _UNEVALUATED.isdisjoint(schema) else 2)
        visits += self._sum(_pairs(value, schema))
        if "propertyNames" in schema and isinstance(value, dict):
            names = (self._names.setdefault(name, name) for name in value)
            visits += self._sum((name, schema["propertyNames"]) for name in names)
        self._counts[key] = visits
        return visits

    def _sum(self, pairs: Iterable[tuple[Any, Any]]) -> int:
        visits = 0
        for value, schema in pairs:
            visits += self.count(value, schema)
            if visits > self._limit or len(self._counts) > self._limit:
                raise _TooManyVisitsError
        return visits

    def _count_referenced(self, value: Any, schema: Json) -> int:
        """The visits of what is referred to, next to which other keywords may stand."""
        visits = 0
        for keyword in ("$ref", *_DYNAMIC):
            reference = schema.get(keyword)
            if isinstance(reference, str):
                found = _find(reference, self._root)
                if found is None or ("$id" in schema and schema is not self._root):
                    raise _TooManyVisitsError
                visits += self.count(value, found)
        return visits


def _own_work(value: Any, schema: Json) -> int:
    """One, and more for keywords that compare a value with many others."""
    work = 1 + len(_list(schema, "enum")) // _CHOICES_PER_VISIT
    if isinstance(value, dict):
        work += len(_list(schema, "required"))
        work += len(value) * len(_dict(schema, "patternProperties")) // _CHOICES_PER_VISIT
        for keyword in _DEPENDENT:
            given = (names for key, names in _dict(schema, keyword).items() if key in value)
            work += sum(len(names) for names in given if isinstance(names, list))
    elif isinstance(value, str) and isinstance(schema.get("pattern"), str):
        work += len(value) // 50
        if _BACKTRACKING.search(schema["pattern"]):
            work += 100 + len(value) ** 2 // 5000
    return work


def _fails_at_once(value: Any, schema: Json) -> bool:
    """Whether an object lacks what is required, or is another one by its constants."""
    if not isinstance(value, dict):
        return False
    if any(name not in value for name in _list(schema, "required") if isinstance(name, str)):
        return True
    return is_other_by_constant(value, schema)


def is_other_by_constant(value: Any, schema: Any) -> bool:
    """Whether a property of an object has another value than the constant that a schema wants."""
    return (
        isinstance(value, dict)
        and isinstance(schema, dict)
        and any(
            isinstance(of_item, dict) and "const" in of_item and of_item["const"] != value[name]
            for name, of_item in properties_of(schema).items()
            if name in value
        )
    )


def _parts_in_place(value: Any, schema: Json) -> Iterator[Any]:
    """The schemas within a schema that apply to the value itself."""
    for keyword in _LISTS:
        yield from _list(schema, keyword)
    yield from (schema[keyword] for keyword in _SINGLE if keyword in schema)
    if isinstance(value, dict):
        for keyword in _DEPENDENT:
            yield from (part for name, part in _dict(schema, keyword).items() if name in value)


def _pairs(value: Any, schema: Json) -> Iterator[tuple[Any, Any]]:
    """Which schemas within a schema apply to which parts of a value."""
    if isinstance(value, dict):
        known, patterns = properties_of(schema), _dict(schema, "patternProperties").values()
        more = [schema[keyword] for keyword in _OF_PROPERTIES if keyword in schema]
        for name, item in value.items():
            yield from ((item, part) for part in chain(patterns, more))
            if name in known:
                yield item, known[name]
    elif isinstance(value, list):
        items = schema.get("items")
        first = items if isinstance(items, list) else _list(schema, "prefixItems")
        rest = [schema[keyword] for keyword in _OF_ITEMS if keyword in schema]
        rest += [items] if isinstance(items, dict) else []
        yield from zip(value, first, strict=False)
        yield from ((item, part) for item in value for part in rest)


def _list(schema: Json, keyword: str) -> list[Any]:
    found = schema.get(keyword)
    return found if isinstance(found, list) else []


def _dict(schema: Json, keyword: str) -> Json:
    found = schema.get(keyword)
    return found if isinstance(found, dict) else {}


def count_parts(value: Any) -> int:
    """How many values a value consists of, itself included."""
    count, level = 0, [value]
    while level:
        count += len(level)
        level = [inner for part in level for inner in _children(part)]
    return count


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
