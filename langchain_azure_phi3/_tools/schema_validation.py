"""Values checked by jsonschema, which is imported with the first: it takes a tenth of a second."""

import json
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from langchain_azure_phi3._types import Json

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def is_sound(schema: Json) -> bool:
    """Whether it is a schema at all."""
    return _is_sound(json.dumps(schema, default=str))


@lru_cache(maxsize=256)
def _is_sound(written: str) -> bool:
    # Looking takes milliseconds, and each answer with a call asks anew.
    return _library().is_sound(json.loads(written))


def validator(schema: Json, root: Json) -> "Validator":
    """For a part of a schema, which may use the whole one's definitions."""
    return _library().validator(schema, root)


def errors(validator: "Validator", value: Any) -> Iterator[Any]:
    """What a schema has against a value; nothing where it refers to one that is not here."""
    library = _library()
    # The one part of a validator that reaches every depth as it is; formats are not checked, so
    # that it is free to hold which alternatives were tried.
    notes = library.notes()
    notes.tried = {}
    try:
        yield from validator.evolve(format_checker=notes).iter_errors(value)
    except (library.Unresolvable, RecursionError, ValueError):
        return  # ValueError: from an address that is none


class _Library:
    """Of jsonschema, what is used here."""

    def __init__(self) -> None:
        from jsonschema import Draft202012Validator, FormatChecker
        from jsonschema.exceptions import SchemaError, ValidationError
        from jsonschema.validators import extend, validator_for
        from referencing import Registry
        from referencing.exceptions import Unresolvable

        self.Unresolvable: type[Exception] = Unresolvable
        self.notes: Callable[[], Any] = lambda: FormatChecker(())
        self._error: Callable[[str], Exception] = ValidationError
        self._schema_error: type[Exception] = SchemaError
        self._kind_of: Callable[..., Any] = validator_for
        self._default = Draft202012Validator
        self._registry = Registry()  # empty: a remote reference is never fetched
        self._extend: Callable[..., Any] = extend
        self._extended = cache(self._with_alternatives)

    def _kind(self, schema: Json) -> Any:
        return self._kind_of(schema, default=self._default)

    def is_sound(self, schema: Json) -> bool:
        """Whether it is a schema at all."""
        try:
            self._kind(schema).check_schema(schema)
        except (self._schema_error, AttributeError, TypeError):
            return False  # the last two: its `$schema` is no text
        return True

    def validator(self, schema: Json, root: Json) -> "Validator":
        """For a part of a schema, which may use the whole one's definitions."""
        whole = {key: root[key] for key in ("$defs", "definitions") if key in root} | schema
        # It is followed here; jsonschema would go on with a kind of its own.
        whole.pop("$schema", None)
        made: Validator = self._extended(self._kind(root))(whole, registry=self._registry)
        return made

    def _with_alternatives(self, kind: Any) -> Any:
        """A kind of validator that tries each alternative once.

        jsonschema tries those of a schema that contains itself again for each way to get there:
        minutes for a syntax tree of eight levels.
        """
        return self._extend(kind, {"anyOf": self._any_of, "oneOf": self._one_of})

    def _any_of(self, validator: Any, branches: Any, value: Any, _: Any) -> Iterator[Exception]:
        if not any(_is_valid(validator, branch, value) for branch in branches):
            yield self._error(f"{value!r} is not valid under any of the given schemas")

    def _one_of(self, validator: Any, branches: Any, value: Any, _: Any) -> Iterator[Exception]:
        valid = [branch for branch in branches if _is_valid(validator, branch, value)]
        if len(valid) == 0:
            yield self._error(f"{value!r} is not valid under any of the given schemas")
        if len(valid) > 1:
            listed = ", ".join(map(repr, valid))
            yield self._error(f"{value!r} is valid under each of {listed}")


def _is_valid(validator: Any, schema: Any, value: Any) -> bool:
    tried: dict[tuple[int, int], bool] = validator.format_checker.tried
    key = id(value), id(schema)
    if key not in tried:
        tried[key] = next(validator.descend(value, schema), None) is None
    return tried[key]


@cache
def _library() -> _Library:
    return _Library()
