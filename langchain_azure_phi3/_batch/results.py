"""Collects the results of rows, and converts them to columns."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from langchain_core.messages import AIMessage
from pydantic_core import to_json

from langchain_azure_phi3.errors import (
    AuthenticationError,
    AzurePhi3Error,
    ContentFilterError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
)
from langchain_azure_phi3.models import usage_cost

SETUP_ERRORS = (AuthenticationError, NotFoundError, PermissionDeniedError)
"""Errors of the settings, not of the row: the model is called again for the row once they are
corrected."""

RESULT_SCHEMA = pa.schema(
    {
        "answer": pa.string(),
        "error": pa.string(),
        "error_type": pa.string(),
        "retryable": pa.bool_(),
        "input_tokens": pa.int64(),
        "output_tokens": pa.int64(),
        "finish_reason": pa.string(),
        "model": pa.string(),
        "request_id": pa.string(),
        "attempts": pa.int32(),
        "seconds": pa.float32(),
    }
)
"""The columns that are added to each table. Their types are fixed, because files with different
types cannot be read together."""


@dataclass(slots=True)
class RowResult:
    """The result of one row; the fields are the columns.

    Attributes:
        answer: The text, or the object as JSON if there is a schema; `None` for a failed row.
        retryable: Whether a later run should call the model again for this row.
        attempts: Calls of the model; 0 for a row that shares the answer of an equal row.
        seconds: The total time of the calls.
    """

    answer: str | None = None
    error: str | None = None
    error_type: str | None = None
    retryable: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    finish_reason: str | None = None
    model: str | None = None
    request_id: str | None = None
    attempts: int = 0
    seconds: float = 0.0

    def record_answer(self, message: AIMessage, answer: str | None) -> None:
        """Record the model's response."""
        self.answer, self.error, self.error_type, self.retryable = answer, None, None, False
        metadata = message.response_metadata
        self.finish_reason = metadata.get("finish_reason")
        self.model = metadata.get("model_name", self.model)
        self.request_id = metadata.get("request_id")
        self._add_usage(message.usage_metadata)

    def record_failure(self, error: Exception) -> None:
        """Record an error."""
        self.error, self.error_type = str(error), type(error).__name__
        self.retryable = is_transient(error) or isinstance(error, SETUP_ERRORS)
        if isinstance(error, ContentFilterError):
            self.finish_reason = "content_filter"
        if isinstance(error, AzurePhi3Error):
            self.request_id = error.request_id
            self._add_usage(error.usage_metadata)

    def shared(self) -> "RowResult":
        """Return the result for an equal row, without usage."""
        return replace(self, input_tokens=0, output_tokens=0, attempts=0, seconds=0.0)

    def _add_usage(self, usage: Mapping[str, Any] | None) -> None:
        if usage is not None:
            self.input_tokens += usage["input_tokens"]
            self.output_tokens += usage["output_tokens"]


def is_transient(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    return isinstance(error, AzurePhi3Error) and error.is_retryable


def to_table(results: Sequence[RowResult]) -> pa.Table:
    """Convert the results to columns."""
    columns = [
        pa.array([getattr(result, field.name) for result in results], RESULT_SCHEMA.field(n).type)
        for n, field in enumerate(fields(RowResult))
    ]
    return pa.table(columns, schema=RESULT_SCHEMA)


def append_columns(table: pa.Table, results: pa.Table) -> pa.Table:
    """Append the results of its rows to a table."""
    columns = [*table.itercolumns(), *results.itercolumns()]
    return pa.table(columns, schema=output_schema(table.schema))


def output_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of a table with results.

    Raises:
        InvalidInputError: It already has a column of the same name.
    """
    if taken := sorted(set(schema.names) & set(RESULT_SCHEMA.names)):
        raise InvalidInputError(
            f"The table already has columns that the results need: {', '.join(taken)}. Rename "
            "or drop them."
        )
    return pa.schema([*schema, *RESULT_SCHEMA])


def answer_of(parsed: Any) -> str:
    """Convert a dict, a dataclass or a pydantic model to JSON."""
    return to_json(parsed).decode()


class Totals:
    """The usage and errors of a table's rows; tables are added one by one."""

    def __init__(self) -> None:
        self._rows = self._answered = self._retryable = 0
        self._errors: Counter[str] = Counter()
        self._tokens: dict[str | None, Counter[str]] = {}

    def add(self, table: pa.Table) -> None:
        """Add the results of a table."""
        self._rows += table.num_rows
        self._retryable += pc.sum(table["retryable"]).as_py() or 0
        self._errors.update(value for value in table["error_type"].to_pylist() if value is not None)
        self._answered += table["error_type"].null_count
        for name, tokens_in, tokens_out in zip(
            *(table[column].to_pylist() for column in ("model", "input_tokens", "output_tokens")),
            strict=True,
        ):
            used = self._tokens.setdefault(name, Counter())
            used["input_tokens"] += tokens_in
            used["output_tokens"] += tokens_out

    def as_dict(self) -> dict[str, Any]:
        """Return the totals, with `cost` in US dollars if all prices are known."""
        used = sum(self._tokens.values(), Counter())
        totals: dict[str, Any] = {
            "rows": self._rows,
            "answered": self._answered,
            "errors": dict(self._errors.most_common()),
            "retryable": self._retryable,
            "input_tokens": used["input_tokens"],
            "output_tokens": used["output_tokens"],
        }
        cost = total_cost(
            (name, counts) for name, counts in self._tokens.items() if sum(counts.values())
        )
        if cost is not None:
            totals["cost"] = cost
        return totals


def total_cost(tokens: Iterable[tuple[str | None, Mapping[str, int]]]) -> float | None:
    """Return the total cost of tokens, given by model, in US dollars; `None` without a price."""
    costs = [usage_cost(counts, name) for name, counts in tokens]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known and len(known) == len(costs) else None


def describe(totals: Mapping[str, Any]) -> str:
    """Describe the totals in one or two sentences."""
    errors = ", ".join(f"{count:,} {name}" for name, count in totals["errors"].items())
    text = f"{totals['rows']:,} rows: {totals['answered']:,} answered"
    text += f", {sum(totals['errors'].values()):,} errors ({errors})" if errors else ""
    text += f". {totals['input_tokens']:,} input and {totals['output_tokens']:,} output tokens"
    if "cost" in totals:
        text += f", {totals['cost']:,.4f} US dollars"
    return f"{text}."
