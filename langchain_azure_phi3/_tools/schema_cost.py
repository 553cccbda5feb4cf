"""How much work it is to check a value against a schema, before it is checked.

Schemas of tools may come from elsewhere. A few definitions that each refer twice to the next one
make a validator visit one string billions of times.
"""

from collections.abc import Iterator
from typing import Any

from langchain_azure_phi3._tools.tools import properties_of
from langchain_azure_phi3._types import Json

_MAX_VISITS = 50_000
_MAX_VISITS_PER_PART = 50
_MAX_REFERENCES = 32
# Keywords whose schemas apply to the value itself.
_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLE = ("not", "if", "then", "else")


def is_too_costly(value: Any, schema: Json) -> bool:
    """Whether a check would visit parts of the value far more often than there are parts."""
    limit = _MAX_VISITS + _MAX_VISITS_PER_PART * _count_parts(value)
    try:
        return _Visits(schema, limit).count(value, schema) > limit
    except (_TooManyVisitsError, RecursionError):
        return True


def has_references(schema: Any) -> bool:
    """Whether a schema refers to definitions, without which work grows with the schema only."""
    level = [schema]
    while level:
        if any(isinstance(part, dict) and "$ref" in part for part in level):
            return True
        level = [inner for part in level for inner in _children(part)]
    return False


def resolve_reference(schema: Any, root: Json) -> Any:
    """The schema that a local reference names; the reference itself if it names none."""
    for _ in range(_MAX_REFERENCES):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        found: Any = root
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        if found is None:
            return schema
        schema = found
    return schema


class _TooManyVisitsError(Exception):
    pass


class _Visits:
    """Counts visits; each pair of a value's part and a schema's part is looked at only once."""

    def __init__(self, root: Json, limit: int) -> None:
        self._root = root
        self._limit = limit
        self._counts: dict[tuple[int, int], int] = {}

    def count(self, value: Any, schema: Any) -> int:
        schema = resolve_reference(schema, self._root)
        if not isinstance(schema, dict):
            return 1
        key = id(value), id(schema)
        if key in self._counts:
            return self._counts[key]
        self._counts[key] = 1  # of a schema that refers to itself
        if _fails_at_once(value, schema):
            return 1
        visits = 1 + sum(self.count(*pair) for pair in _pairs(value, schema))
        if visits > self._limit or len(self._counts) > self._limit:
            raise _TooManyVisitsError
        self._counts[key] = visits
        return visits


def _fails_at_once(value: Any, schema: Json) -> bool:
    """Whether an object lacks what is required, or is another one by its constants."""
    if not isinstance(value, dict):
        return False
    required = schema.get("required")
    if isinstance(required, list) and any(name not in value for name in required):
        return True
    return any(
        isinstance(of_item, dict) and "const" in of_item and of_item["const"] != value.get(name)
        for name, of_item in properties_of(schema).items()
        if name in value
    )


def _pairs(value: Any, schema: Json) -> Iterator[tuple[Any, Any]]:
    """What is checked against what within a value and a schema."""
    for keyword in _LISTS:
        branches = schema.get(keyword)
        yield from ((value, branch) for branch in (branches if isinstance(branches, list) else ()))
    yield from ((value, schema[keyword]) for keyword in _SINGLE if keyword in schema)
    if isinstance(value, dict):
        known, more = properties_of(schema), schema.get("additionalProperties")
        yield from ((item, known.get(name, more)) for name, item in value.items())
    elif isinstance(value, list):
        first = schema.get("prefixItems")
        schemas = first if isinstance(first, list) else []
        rest = [schema.get("items")] * max(0, len(value) - len(schemas))
        yield from zip(value, [*schemas, *rest], strict=False)


def _count_parts(value: Any) -> int:
    count, level = 0, [value]
    while level:
        count += len(level)
        level = [inner for part in level for inner in _children(part)]
    return count


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
