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

# A visit takes the validator 15 to 50 ns, and counting a pair takes 4 us.
_MAX_VISITS = 500_000
_MAX_VISITS_PER_PART = 50
_MAX_PAIRS = 8_000
_MAX_PAIRS_PER_PART = 5
_MAX_REFERENCES = 32
_CHOICES_PER_VISIT = 8
_VISITS_OF_BACKTRACKING = 5_000

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
_REFERENCES = frozenset({"$ref", *_DYNAMIC})
_PATTERNS = frozenset({"pattern", "patternProperties", "propertyNames"})
_COUNTED = _REFERENCES | _PATTERNS | _UNEVALUATED
# Without these, a string or number is checked in one visit.
_SEVERAL_VISITS = frozenset({*_LISTS, *_SINGLE, *_REFERENCES, "pattern", "enum"})
# Lookaround and back references, without which a pattern takes linear time.
_BACKTRACKING = re.compile(r"\(\?(?:[=!>]|<[=!])|\\[1-9k]")


class OverBudgetError(Exception):
    """Work on a value takes more steps than it may."""


class Budget:
    """The steps that are left for work on one value; a step takes about 4 us."""

    def __init__(self, steps: float) -> None:
        self.steps = steps

    def spend(self, steps: float) -> None:
        """Take steps.

        Raises:
            OverBudgetError: There are not as many left.
        """
        self.steps -= steps
        if self.steps < 0:
            raise OverBudgetError


class SchemaCost:
    """How much work checks against one schema are."""

    def __init__(self, schema: Json) -> None:
        self._schema = schema
        self._size = count_parts(schema)
        keywords = _keywords(schema)
        self._is_plain = _COUNTED.isdisjoint(keywords)

    def count_visits(
        self, value: Any, *, all_errors: bool = False, budget: Budget | None = None
    ) -> int | None:
        """How often a check visits parts of the value; `None` if far more often than it has parts.

        Also `None` if the schema refers to its parts in another way than by `#/`.

        Args:
            value: The value.
            all_errors: Whether the check goes on after an error.
            budget: What the steps of counting are taken from.

        Raises:
            OverBudgetError: They were more than the budget has.
        """
        parts = count_parts(value)
        limit = _MAX_VISITS + _MAX_VISITS_PER_PART * parts
        if self._is_plain and self._size * parts <= limit:
            return self._size * parts
        max_pairs = _MAX_PAIRS + _MAX_PAIRS_PER_PART * parts
        visits = _Visits(self._schema, limit, max_pairs, all_errors=all_errors)
        try:
            found = visits.count(value, self._schema)
        except (_TooManyVisitsError, RecursionError):
            return None
        finally:
            if budget is not None:
                budget.spend(max_pairs - visits.remaining_pairs)
        return found if found <= limit else None


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

    def __init__(self, root: Json, limit: int, max_pairs: int, *, all_errors: bool) -> None:
        self.remaining_pairs = max_pairs
        self._all_errors = all_errors
        self._root = root
        self._limit = limit
        self._counts: dict[tuple[int, int], int] = {}
        self._names: dict[str, str] = {}  # one object for each name, which is a value, too

    def count(self, value: Any, schema: Any) -> int:
        if not isinstance(schema, dict):
            return 1
        if not isinstance(value, dict | list) and _SEVERAL_VISITS.isdisjoint(schema):
            return 1
        key = id(value), id(schema)
        if key in self._counts:
            return self._counts[key]
        self._counts[key] = 1  # of a schema that refers to itself
        if not self._all_errors and _lacks_property(value, schema):
            return 1
        visits = _own_work(value, schema) + self._count_referenced(value, schema)
        in_place = self._sum((value, part) for part in _parts_in_place(value, schema))
        visits += in_place * (1 if _UNEVALUATED.isdisjoint(schema) else 2)
        visits += self._sum(_pairs(value, schema, all_errors=self._all_errors))
        if "propertyNames" in schema and isinstance(value, dict):
            names = (self._names.setdefault(name, name) for name in value)
            visits += self._sum((name, schema["propertyNames"]) for name in names)
        self._counts[key] = visits
        return visits

    def _sum(self, pairs: Iterable[tuple[Any, Any]]) -> int:
        visits = 0
        for value, schema in pairs:
            visits += self.count(value, schema)
            self.remaining_pairs -= 1
            if visits > self._limit or self.remaining_pairs < 0:
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
        patterns = _dict(schema, "patternProperties")
        work += len(value) * len(patterns) // _CHOICES_PER_VISIT
        if any(map(_BACKTRACKING.search, patterns)):
            work += len(value) * _VISITS_OF_BACKTRACKING
        for keyword in _DEPENDENT:
            given = (names for key, names in _dict(schema, keyword).items() if key in value)
            work += sum(len(names) for names in given if isinstance(names, list))
    elif isinstance(value, str) and isinstance(schema.get("pattern"), str):
        work += len(value) // 50
        if _BACKTRACKING.search(schema["pattern"]):
            work += _VISITS_OF_BACKTRACKING
    return work


def _lacks_property(value: Any, schema: Json) -> bool:
    """Whether an object lacks what is required, which is checked first."""
    return isinstance(value, dict) and any(
        name not in value for name in _list(schema, "required") if isinstance(name, str)
    )


def is_other_by_constant(value: Any, schema: Any) -> bool:
    """Whether a property of an object has another value than the constant that a schema wants."""
    return (
        isinstance(value, dict)
        and isinstance(schema, dict)
        and any(
            _is_other(value[name], of_item)
            for name, of_item in properties_of(schema).items()
            if name in value
        )
    )


def _is_other(value: Any, schema: Any) -> bool:
    return isinstance(schema, dict) and "const" in schema and bool(schema["const"] != value)


def _parts_in_place(value: Any, schema: Json) -> Iterator[Any]:
    """The schemas within a schema that apply to the value itself."""
    for keyword in _LISTS:
        yield from _list(schema, keyword)
    yield from (schema[keyword] for keyword in _SINGLE if keyword in schema)
    if isinstance(value, dict):
        for keyword in _DEPENDENT:
            yield from (part for name, part in _dict(schema, keyword).items() if name in value)


def _pairs(value: Any, schema: Json, *, all_errors: bool) -> Iterator[tuple[Any, Any]]:
    """Which schemas within a schema apply to which parts of a value, in order.

    Unless all errors are listed, they end with a property that is not the constant it has to be.
    """
    if isinstance(value, dict):
        known, patterns = properties_of(schema), _dict(schema, "patternProperties").values()
        more = [schema[keyword] for keyword in _OF_PROPERTIES if keyword in schema]
        for name, item in value.items():
            if name in known:
                yield item, known[name]
                if not all_errors and _is_other(item, known[name]):
                    return
            yield from ((item, part) for part in chain(patterns, more))
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


def _keywords(schema: Json) -> set[str]:
    found: set[str] = set()
    level: list[Any] = [schema]
    while level:
        found.update(*(part for part in level if isinstance(part, dict)))
        level = [inner for part in level for inner in _children(part)]
    return found


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
