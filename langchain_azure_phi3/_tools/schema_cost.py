"""How much work it is to check a value against a schema, before it is checked.

Schemas of tools may come from elsewhere. A few definitions that each refer twice to the next one
make a validator visit one string billions of times.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import unquote

from langchain_azure_phi3._tools.tools import properties_of
from langchain_azure_phi3._types import Json

# The steps for one response, fixed and for each part of the values in it.
_MAX_STEPS = 5_000
_MAX_STEPS_PER_PART = 2
_VISITS_PER_STEP = 100  # a visit takes the validator 15 to 50 ns
_MAX_REFERENCES = 32
_CHOICES_PER_VISIT = 8
# Backtracks that one match of a pattern may take; after each, lookaround may search all the text.
MAX_BACKTRACKS = 2_000
_CHARACTERS_PER_VISIT = 25
_VISITS_PER_CHARACTER_OF_LARGE_PATTERNS = 1_500

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
    """The steps that are left for work on one response; a step takes about 5 us."""

    def __init__(self, steps: float = _MAX_STEPS) -> None:
        self.steps = steps

    def extend_for(self, parts: int) -> None:
        """Allow work linear in the size of a value."""
        self.steps += _MAX_STEPS_PER_PART * parts

    def spend(self, steps: float) -> None:
        """Take steps, or none if there are not as many.

        Raises:
            OverBudgetError: There are not as many left.
        """
        if steps > self.steps:
            raise OverBudgetError
        self.steps -= steps


@dataclass
class Budgets:
    """What fitting all values of one response to schemas may cost.

    Attributes:
        coercion: For changing values.
        validation: For checking them, also if no coercion is affordable.
        compilation: The parts of schemas that may be compiled, besides the schemas themselves.
    """

    coercion: Budget = field(default_factory=Budget)
    validation: Budget = field(default_factory=Budget)
    compilation: Budget = field(default_factory=lambda: Budget(2 * _MAX_STEPS))


class SchemaCost:
    """How much work checks against one schema are."""

    def __init__(self, schema: Json, *, has_large_patterns: bool = False) -> None:
        self._schema = schema
        self._has_large_patterns = has_large_patterns
        self._size = count_parts(schema)
        keywords = _keywords(schema)
        self._is_plain = _COUNTED.isdisjoint(keywords)

    def spend_visits(self, value: Any, budget: Budget, *, all_errors: bool = False) -> int:
        """Return how often a check visits parts of the value, after the budget has paid for that.

        Args:
            value: The value.
            budget: What the steps of counting and of the check are taken from.
            all_errors: Whether the check goes on after an error.

        Raises:
            OverBudgetError: They are more than the budget has, or unknown, because the schema
                refers to its parts in another way than by `#/`.
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
    """Return the schema that a local reference names; the reference itself if it names none."""
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
    """Counts visits; each pair of a value's part and a schema's part is looked at only once."""

    def __init__(self, root: Json, budget: Budget, *, all_errors: bool) -> None:
        self.has_large_patterns = False
        self._all_errors = all_errors
        self._root = root
        self._budget = budget
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
        """Return the visits of what is referred to, next to which other keywords may stand."""
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
    """One, and more for keywords that compare a value with many others."""
    work = 1 + len(_list(schema, "enum")) // _CHOICES_PER_VISIT
    if isinstance(value, dict):
        work += len(_list(schema, "required"))
        for keyword in _DEPENDENT:
            given = (names for key, names in _dict(schema, keyword).items() if key in value)
            work += sum(len(names) for names in given if isinstance(names, list))
    return work


def _pattern_work(value: Any, schema: Json, *, large: bool) -> int:
    """Return the visits for patterns of a text, or of the names in an object."""
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
    """Yield the schemas within a schema that apply to the value itself."""
    for keyword in _LISTS:
        yield from _list(schema, keyword)
    yield from (schema[keyword] for keyword in _SINGLE if keyword in schema)
    if isinstance(value, dict):
        for keyword in _DEPENDENT:
            yield from (part for name, part in _dict(schema, keyword).items() if name in value)


def _pairs(value: Any, schema: Json, *, all_errors: bool) -> Iterator[tuple[Any, Any]]:
    """Yield which schemas within a schema apply to which parts of a value, in order.

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
    """Return how many values a value consists of, itself included."""
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
