"""Member names of Python enums, which models write although JSON schemas do not contain them."""

import dataclasses
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel
from pydantic.v1 import BaseModel as BaseModelV1

from langchain_azure_phi3._types import Json

ENUM_NAMES = "x-enum-names"
"""The key in an enum's schema that maps the names of its members to their values."""


def with_enum_names(json_schema: Json, type_: type) -> Json:
    """Return the JSON schema of a type, with the names of the enums that it defines."""
    enums = {enum.__name__: enum for enum in _enums(type_, set())}
    found = dict(json_schema)
    for key in ("$defs", "definitions"):
        definitions = found.get(key)
        if isinstance(definitions, dict):
            found[key] = {
                name: {**schema, ENUM_NAMES: _values(enums[name])} if name in enums else schema
                for name, schema in definitions.items()
            }
    return found


def _values(enum: type[Enum]) -> Json:
    return {name: member.value for name, member in enum.__members__.items()}


def _enums(annotation: Any, seen: set[Any]) -> Iterator[type[Enum]]:
    for argument in get_args(annotation):
        yield from _enums(argument, seen)
    if not isinstance(annotation, type) or annotation in seen:
        return
    seen.add(annotation)
    if issubclass(annotation, Enum):
        yield annotation
    elif issubclass(annotation, BaseModel | BaseModelV1) or dataclasses.is_dataclass(annotation):
        for hint in get_type_hints(annotation).values():
            yield from _enums(hint, seen)
