"""Estimates how much work it is to check a value against a schema, before checking it.

Schemas of tools may be untrusted. A few definitions that each refer twice to the next one make a
validator visit one string billions of times.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import unquote

from langchain_azure_phi3._tools.tools import properties_of
from langchain_azure_phi3._types import Json, json_levels

# The steps for one response: a fixed number, and a number for each part of its values.
_MAX_STEPS = 5_000
_MAX_STEPS_PER_PART = 2
_VISITS_PER_STEP = 100  # a visit takes the validator 15 to 50 ns
_MAX_REFERENCES = 32
_CHOICES_PER_VISIT = 8
# The backtracks that one match may take; after each, a lookaround may search the complete text.
MAX_BACKTRACKS = 2_000
_CHARACTERS_PER_VISIT = 25
_VISITS_PER_CHARACTER_OF_LARGE_PATTERNS = 1_500

# Keywords whose schemas apply to the value itself.
_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")
_DEPENDENT = ("dependentSchemas", "dependentRequired", "dependencies")
# Keywords that apply to the items of an array, or to unlisted properties of an object.
_OF_ITEMS = ("additionalItems", "unevaluatedItems", "contains")
_OF_PROPERTIES = ("additionalProperties", "unevaluatedProperties")
# Validators check a value again to find the parts that these apply to.
_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_DYNAMIC = ("$dynamicRef", "$recursiveRef")
_REFERENCES = frozenset({"$ref", *_DYNAMIC})
_PATTERNS = frozenset({"pattern", "patternProperties", "propertyNames"})
_COUNTED = _REFERENCES | _PATTERNS | _UNEVALUATED
# Without these, a string or number is checked in one visit.
_SEVERAL_VISITS = frozenset({*_LISTS, *_SINGLE, *_REFERENCES, "pattern", "enum"})
# Lookarounds and backreferences; a pattern without them takes linear time.
_BACKTRACKING = re.compile(r"\(\?(?:[=!>]|<[=!])|\\[1-9k]")


class OverBudgetError(Exception):
    """Work on a value takes more steps than the budget has."""


class Budget:
    """The remaining steps for work on one response; a step takes about 5 us."""

    def __init__(self, steps: float = _MAX_STEPS) -> None:
        self.steps = steps

    def extend_for(self, parts: int) -> None:
        """Allow work linear in the size of a value."""
        self.steps += _MAX_STEPS_PER_PART * parts

    def spend(self, steps: float) -> None:
        """Spend steps, or none if too few are left.

        Raises:
            OverBudgetError: Too few are left.
        """
        if steps > self.steps:
            raise OverBudgetError
        self.steps -= steps


@dataclass
class Budgets:
    """The budgets for fitting all values of one response to schemas.

    Attributes:
        coercion: For changing values.
        validation: For checking values, also if coercion would be over its budget.
        compilation: For compiling parts of schemas, besides the schemas themselves.
    """

    coercion: Budget = field(default_factory=Budget)
    validation: Budget = field(default_factory=Budget)
    compilation: Budget = field(default_factory=lambda: Budget(2 * _MAX_STEPS))


class SchemaCost:
    """The cost of checks against one schema."""

    def __init__(self, schema: Json, *, has_large_patterns: bool = False) -> None:
        self._schema = schema
        self._has_large_patterns = has_large_patterns
        self._size = count_parts(schema)
        keywords = _keywords(schema)
        self._is_plain = _COUNTED.isdisjoint(keywords)

    def spend_visits(self, value: Any, budget: Budget, *, all_errors: bool = False) -> int:
        """Count how often a check visits parts of the value, and spend the steps for that.

        Args:
            value: The value.
            budget: Pays for counting and for the check.
            all_errors: Whether the check continues after an error.

        Raises:
            OverBudgetError: There are more than the budget has, or their number is unknown, because
                the schema refers to its parts in another way than by `#/`.
        """
        most = self._size * count_parts(value)
        if self._is_plain and most <= budget.steps * _VISITS_PER_STEP:
            budget.spend(most / _VISITS_PER_STEP)
            return most
        visits = _Visits(self._schema, budget, all_errors=all_errors)
        visits.has_large_patterns = self._has_large_patterns
        try:
            found = visits.count(value, self._schema)
        except RecursionError:
            raise OverBudgetError from None
        budget.spend(found / _VISITS_PER_STEP)
        return found


def resolve_reference(schema: Any, root: Json) -> Any:
    """Return the schema that a local reference names; the reference itself if there is none."""
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


class _Visits:
    """Counts visits; looks at each pair of a value's part and a schema's part only once."""

    def __init__(self, root: Json, budget: Budget, *, all_errors: bool) -> None:
        self.has_large_patterns = False
        self._all_errors = all_errors
        self._root = root
        self._budget = budget
        self._counts: dict[tuple[int, int], int] = {}
        self._names: dict[str, str] = {}  # one object for each name, because names are values too

    def count(self, value: Any, schema: Any) -> int:
        if not isinstance(schema, dict):
            return 1
        if not isinstance(value, dict | list) and _SEVERAL_VISITS.isdisjoint(schema):
            return 1
        key = id(value), id(schema)
        if key in self._counts:
            return self._counts[key]
        self._counts[key] = 1  # for a schema that refers to itself
        if not self._all_errors and _lacks_property(value, schema):
            return 1
        visits = _own_work(value, schema) + self._count_referenced(value, schema)
        visits += _pattern_work(value, schema, large=self.has_large_patterns)
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
            self._budget.spend(1)
            visits += self.count(value, schema)
            if visits > self._budget.steps * _VISITS_PER_STEP:
                raise OverBudgetError
        return visits

    def _count_referenced(self, value: Any, schema: Json) -> int:
        """Return the visits of a referenced schema, which may have other keywords next to it."""
        visits = 0
        for keyword in ("$ref", *_DYNAMIC):
            reference = schema.get(keyword)
            if isinstance(reference, str):
                found = _find(reference, self._root)
                if found is None or ("$id" in schema and schema is not self._root):
                    raise OverBudgetError
                visits += self.count(value, found)
        return visits


def _own_work(value: Any, schema: Json) -> int:
    """Return 1, or more for keywords that compare a value with many others."""
    work = 1 + len(_list(schema, "enum")) // _CHOICES_PER_VISIT
    if isinstance(value, dict):
        work += len(_list(schema, "required"))
        for keyword in _DEPENDENT:
            given = (names for key, names in _dict(schema, keyword).items() if key in value)
            work += sum(len(names) for names in given if isinstance(names, list))
    return work


def _pattern_work(value: Any, schema: Json, *, large: bool) -> int:
    """Return the visits for matching patterns to a text, or to the names in an object."""
    if isinstance(value, dict):
        texts, patterns = list(value), list(_dict(schema, "patternProperties"))
    elif isinstance(value, str) and isinstance(schema.get("pattern"), str):
        texts, patterns = [value], [schema["pattern"]]
    else:
        return 0
    length = sum(map(len, texts)) if patterns else 0
    work = length * (_VISITS_PER_CHARACTER_OF_LARGE_PATTERNS if large else 1)
    work = work if large else work * len(patterns) // _CHARACTERS_PER_VISIT
    searches = sum(len(_BACKTRACKING.findall(pattern)) for pattern in patterns)
    squares = sum(len(text) * (MAX_BACKTRACKS + len(text)) for text in texts) if searches else 0
    return work + squares * searches // _CHARACTERS_PER_VISIT


def _lacks_property(value: Any, schema: Json) -> bool:
    """Whether an object lacks a required property, which is checked first."""
    return isinstance(value, dict) and any(
        name not in value for name in _list(schema, "required") if isinstance(name, str)
    )


def is_other_by_constant(value: Any, schema: Any) -> bool:
    """Whether a property of an object has another value than the constant in the schema."""
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
    """Yield the schemas within a schema that apply to the value itself."""
    for keyword in _LISTS:
        yield from _list(schema, keyword)
    yield from (schema[keyword] for keyword in _SINGLE if keyword in schema)
    if isinstance(value, dict):
        for keyword in _DEPENDENT:
            yield from (part for name, part in _dict(schema, keyword).items() if name in value)


def _pairs(value: Any, schema: Json, *, all_errors: bool) -> Iterator[tuple[Any, Any]]:
    """Yield each part of a value with the schema within a schema that applies to it, in order.

    Unless all errors are listed, stop at a property that differs from its constant.
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
    """Count the values that a value consists of, itself included."""
    return sum(map(len, json_levels(value)))


def _keywords(schema: Json) -> set[str]:
    found: set[str] = set()
    for level in json_levels(schema):
        found.update(*(part for part in level if isinstance(part, dict)))
    return found
