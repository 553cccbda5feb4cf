"""Checks JSON values against JSON schemas with `jsonschema-rs`, which is imported when needed.

Nothing is fetched: a schema that refers to another document is not used. The work is linear in the
size of the value: the steps that `schema_cost` counts are bounded, patterns take a bounded number
of steps, and each branch of `anyOf` and `oneOf` is tried once for each part of the value.
"""

import json
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from langchain_azure_phi3._tools.schema_cost import (
    MAX_BACKTRACKS,
    Budget,
    OverBudgetError,
    SchemaCost,
    count_parts,
)
from langchain_azure_phi3._types import Json, is_deeper

if TYPE_CHECKING:
    import jsonschema_rs

# Others would be fetched. https://json-schema.org/specification-links
_DIALECTS = frozenset(
    (
        *(f"http://json-schema.org/draft-0{number}/schema" for number in (4, 6, 7)),
        *(f"https://json-schema.org/draft/{name}/schema" for name in ("2019-09", "2020-12")),
    )
)
_DEFINITIONS = ("$schema", "$defs", "definitions")
_MAX_CACHED = 512
# The limit of serde_json: the validator is recursive, and threads have small stacks.
_MAX_DEPTH = 128
# Bytes of a compiled pattern; a match takes up to 0.1 ns for each of them and each character.
_PATTERN_SIZE, _MAX_PATTERN_SIZE = 20_000, 500_000
# Limits compilation to explain errors: each branch is compiled with all definitions.
_MAX_COMPILED, _MAX_COMPILED_PER_PART = 10_000, 10
_ERRORS_PER_STEP = 5
# Each error quotes its value, and all are created even if only the first ones are needed.
_MAX_QUOTED = 2_000_000  # characters


def compile_schema(schema: Json, root: Json) -> "CompiledSchema | None":
    """Compile a schema; return `None` if it is not valid, or refers to a missing schema.

    Args:
        schema: The schema, which may be a part of another one.
        root: The schema that contains it, whose definitions it may use; may be the same.
    """
    document = {key: root[key] for key in _DEFINITIONS if key in root} | schema
    try:
        return _compile(json.dumps(_without_unknown_dialect(document), default=str))
    except RecursionError:
        return None


def schema_problem(schema: Json) -> str | None:
    """Return why a schema is invalid, such as a misspelled type; `None` if no reason is known."""
    import jsonschema_rs

    if is_too_deep(schema):  # for its recursion, which ends the process
        return None
    try:
        jsonschema_rs.meta.validate(_without_unknown_dialect(schema))
    except jsonschema_rs.ValidationError as error:
        return _with_place(error)
    except ValueError:  # `$schema` is not a string
        return None
    return None


def _without_unknown_dialect(schema: Json) -> Json:
    """The schema without a `$schema` that the validator does not contain: it would fetch it."""
    dialect = schema.get("$schema")
    if isinstance(dialect, str) and dialect.rstrip("#") not in _DIALECTS:
        return {key: value for key, value in schema.items() if key != "$schema"}
    return schema


@lru_cache(maxsize=_MAX_CACHED)
def _compile(document: str) -> "CompiledSchema | None":
    try:
        return CompiledSchema(json.loads(document))
    except ValueError:
        return None


class CompiledSchema:
    """One schema, compiled to check values against it."""

    def __init__(self, document: Json) -> None:
        """Compile a schema.

        Raises:
            ValueError: It is not valid, or refers to a missing schema.
        """
        self._document = document
        has_large_patterns = False
        try:
            self.validator = _validator(document, _PATTERN_SIZE)
        except ValueError:
            self.validator = _validator(document, _MAX_PATTERN_SIZE)
            has_large_patterns = True
        self._cost = SchemaCost(document, has_large_patterns=has_large_patterns)

    def accepts(self, value: Any, budget: Budget | None = None) -> bool:
        """Whether a value is valid; without a budget, `False` if the check takes too long.

        Raises:
            OverBudgetError: The check takes more steps than the budget has.
        """
        if budget is None:
            return self.errors(value, 1) == []
        if is_too_deep(value):
            return False
        self._cost.spend_visits(value, budget)
        return self.validator.is_valid(_without_surrogates(value))

    def errors(self, value: Any, limit: int, budget: Budget | None = None) -> list[str]:
        """Return the first errors of a value, each with its path; none if it is valid."""
        if is_too_deep(value):
            return ["This is nested too deeply"]
        budget = Budget() if budget is None else budget
        budget.extend_for(count_parts(value))
        try:
            self._cost.spend_visits(value, budget)
        except OverBudgetError:
            return ["The tool's schema is too complex to check this in a bounded time"]
        value = _without_surrogates(value)
        if self.validator.is_valid(value):
            return []
        return self._explain(value, limit, budget) or ["This does not fit the schema"]

    def _explain(self, value: Any, limit: int, budget: Budget) -> list[str]:
        with suppress(OverBudgetError):
            visits = self._cost.spend_visits(value, budget, all_errors=True)
            budget.spend(visits / _ERRORS_PER_STEP)
            if visits * len(json.dumps(value)) <= _MAX_QUOTED:
                return [_with_place(e) for e in islice(self._explainer.iter_errors(value), limit)]
        try:
            self._explainer.validate(value)
        except ValueError as error:  # the first one
            return [_with_place(error)]
        return []

    @cached_property
    def _explainer(self) -> "jsonschema_rs.Validator":
        """A validator whose work is linear in the value even when it lists errors.

        The one of `jsonschema-rs` lists the errors of all branches, and of all branches within
        them, which takes a minute for a syntax tree of eight levels.
        """
        size = count_parts(self._document)
        budget = Budget(_MAX_COMPILED + _MAX_COMPILED_PER_PART * size)
        keywords = {
            keyword: _branches(keyword, self._document, size, budget)
            for keyword in ("anyOf", "oneOf")
        }
        return _validator(self._document, _MAX_PATTERN_SIZE, keywords=keywords)


def _validator(document: Json, pattern_size: int, **options: Any) -> "jsonschema_rs.Validator":
    import jsonschema_rs

    return jsonschema_rs.validator_for(
        document,
        validate_formats=False,
        retriever=_refuse_to_fetch,
        pattern_options=jsonschema_rs.FancyRegexOptions(
            backtrack_limit=MAX_BACKTRACKS, size_limit=pattern_size
        ),
        **options,
    )


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema.")


def _branches(keyword: str, document: Json, size: int, budget: Budget) -> type:
    """Build the keyword `anyOf` or `oneOf`, which reports whether its branches fit, but not why.

    Branches that are over the budget for compilation count as fitting.
    """

    class Branches:
        def __init__(self, _: Json, branches: list[Any], path: list[str | int]) -> None:
            self._branches = branches
            self._compiled: dict[str, CompiledSchema | None] = {}

        def validate(self, value: Any) -> None:
            if self._accept(keyword, value):
                return
            shown = json.dumps(value, ensure_ascii=False)
            if keyword == "oneOf" and self._accept("anyOf", value):
                raise ValueError(f"{shown} is valid under more than one of the given schemas")
            raise ValueError(f"{shown} is not valid under any of the given schemas")

        def _accept(self, keyword: str, value: Any) -> bool:
            if keyword not in self._compiled:
                self._compiled[keyword] = None
                with suppress(OverBudgetError):
                    budget.spend(size)
                    self._compiled[keyword] = compile_schema({keyword: self._branches}, document)
            compiled = self._compiled[keyword]
            # The response's budget has already paid for this, so nothing is counted again.
            return compiled is None or compiled.validator.is_valid(value)

    return Branches


def _with_place(error: Any) -> str:
    place = "".join(f"[{part!r}]" for part in error.instance_path)
    return f"{place}: {error.message}" if place else error.message


def is_too_deep(value: Any) -> bool:
    """Return whether a JSON value is nested so deeply that recursive code may fail at it."""
    return is_deeper(value, _MAX_DEPTH)


def _without_surrogates(value: Any) -> Any:
    """Replace lone surrogates, which JSON can contain and Rust's strings cannot."""
    text = json.dumps(value, ensure_ascii=False)
    return value if text.isascii() else json.loads(text.encode("utf-8", "replace"))
