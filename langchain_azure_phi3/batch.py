"""Tables of prompts: on one machine, on Ray and on Spark.

```python
import pyarrow as pa

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.batch import invoke_table, usage_totals

model = ChatAzurePhi3(temperature=0)
table = pa.table({"prompt": ["How many languages are in the world?", "Name a river in Peru."]})
answers = invoke_table(model, table, progress=False)
print(answers["answer"].to_pylist())
print(usage_totals(answers)["rows"])
```

The prompt of a row is a text, a list of `{"role", "content"}`, or LangChain messages as JSON. A
column `image` may contain the bytes or the path of an image, or a list of them.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import pyarrow as pa
except ImportError as missing:
    raise ImportError(
        "Tables need pyarrow: pip install 'langchain-azure-phi3[batch]'."
    ) from missing

from langchain_core.runnables import Runnable

from langchain_azure_phi3._batch import event_loop
from langchain_azure_phi3._batch.checkpoint import Checkpoint
from langchain_azure_phi3._batch.job import ROWS_PER_BATCH, iter_results
from langchain_azure_phi3._batch.progress import Progress
from langchain_azure_phi3._batch.prompts import prompt_digest, to_messages
from langchain_azure_phi3._batch.results import (
    RESULT_SCHEMA,
    RowResult,
    Totals,
    answer_of,
    append_columns,
    describe,
    is_transient,
    output_schema,
    to_table,
)
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.chat_models import ChatAzurePhi3
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.structured_output import parse_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from ray.data import Dataset

__all__ = [
    "BatchInvoker",
    "invoke_dataframe",
    "invoke_dataset",
    "invoke_table",
    "usage_totals",
]

_IMAGES = "image"


def _ignore(_: RowResult) -> None:
    pass


class BatchInvoker:
    """Calls a model for each row of an Arrow table; any engine that maps batches can use it.

    Only its settings are pickled. The process that uses it opens the connections, and all batches
    of a process share them. The table that it returns has the same rows in the same order, and
    these columns:

    | column | type | |
    |---|---|---|
    | `answer` | string | the text, or the object as JSON with `schema` |
    | `error`, `error_type` | string | what went wrong, and the name of the exception |
    | `retryable` | bool | whether a later run should call the model again for this row |
    | `input_tokens`, `output_tokens` | int64 | of all calls for this row |
    | `finish_reason`, `model`, `request_id` | string | as in `response_metadata` |
    | `attempts` | int32 | calls of the model; 0 if the row shares the answer of an equal row |
    | `seconds` | float32 | the time of these calls |

    Args:
        model: The model; its `max_retries` apply to each call.
        prompt_column: The column of the prompts.
        schema: The type of each answer: a pydantic model, TypedDict, dataclass or JSON schema.
        max_concurrency: The maximum number of concurrent calls.
        max_row_retries: How often to call the model again for a row with a temporary error, at the
            end of its batch.
    """

    def __init__(
        self,
        model: ChatAzurePhi3,
        *,
        prompt_column: str = "prompt",
        schema: Json | type | None = None,
        max_concurrency: int = 16,
        max_row_retries: int = 2,
    ) -> None:
        if max_concurrency < 1:
            raise InvalidInputError(f"max_concurrency must be at least 1, not {max_concurrency}.")
        self.model = model
        self.prompt_column = prompt_column
        self.schema = schema
        self.max_concurrency = max_concurrency
        self.max_row_retries = max_row_retries
        self._runnable: Runnable[Any, Any] | None = None

    def __getstate__(self) -> Json:
        return {**self.__dict__, "_runnable": None}

    def __call__(self, table: pa.Table) -> pa.Table:
        """Append the columns of the results to a table; errors of single rows do not raise.

        Raises:
            InvalidInputError: The table has no column of prompts, or already has a column that the
                results need.
        """
        output_schema(table.schema)
        return append_columns(table, self.results(table))

    def results(
        self, table: pa.Table, on_result: Callable[[RowResult], None] = _ignore
    ) -> pa.Table:
        """Return only the columns of the results.

        Args:
            table: The prompts.
            on_result: Called with each result when it is final, in any order.

        Raises:
            InvalidInputError: The table has no column of prompts.
        """
        if self.prompt_column not in table.column_names:
            raise InvalidInputError(
                f"The table has no column {self.prompt_column!r}. Its columns are: "
                f"{', '.join(table.column_names)}. prompt_column= names another one."
            )
        prompts = table[self.prompt_column].to_pylist()
        has_images = _IMAGES in table.column_names
        images = table[_IMAGES].to_pylist() if has_images else [None] * len(prompts)
        rows = list(zip(prompts, images, strict=True))
        return to_table(event_loop.run(self._invoke(rows, on_result)))

    async def _invoke(
        self, rows: list[tuple[Any, Any]], on_result: Callable[[RowResult], None]
    ) -> list[RowResult]:
        first_of = self._first_of_equals(rows)
        results = [RowResult(model=self.model.model) for _ in rows]
        pending = [n for n, first in enumerate(first_of) if n == first]
        for retries in reversed(range(self.max_row_retries + 1)):
            pending = await self._call_rows(pending, rows, results, on_result, last=not retries)
        for n, first in enumerate(first_of):
            if n != first:
                results[n] = results[first].shared()
                on_result(results[n])
        return results

    async def _call_rows(
        self,
        numbers: list[int],
        rows: list[tuple[Any, Any]],
        results: list[RowResult],
        on_result: Callable[[RowResult], None],
        *,
        last: bool,
    ) -> list[int]:
        """Call the model for some rows; return those to retry, unless this is the last attempt."""
        again: list[int] = []
        queue = iter(numbers)

        async def work() -> None:
            for n in queue:
                if await self._call(*rows[n], results[n]) and not last:
                    again.append(n)
                else:
                    on_result(results[n])

        await asyncio.gather(*(work() for _ in range(min(self.max_concurrency, len(numbers)))))
        return sorted(again)

    def _first_of_equals(self, rows: list[tuple[Any, Any]]) -> list[int]:
        """Return for each row the index of the first row that must have the same answer."""
        if self.model.temperature != 0:
            return list(range(len(rows)))
        first: dict[str, int] = {}
        return [first.setdefault(prompt_digest(*row), n) for n, row in enumerate(rows)]

    async def _call(self, prompt: Any, images: Any, result: RowResult) -> bool:
        """Call the model for a row, and return whether it failed with a temporary error."""
        started = time.perf_counter()
        result.attempts += 1
        try:
            if images is None:
                messages = to_messages(prompt)
            else:  # reads files
                messages = await asyncio.to_thread(to_messages, prompt, images)
            await self._answer(messages, result)
        except Exception as error:
            result.record_failure(error)
            return is_transient(error)
        finally:
            result.seconds += time.perf_counter() - started
        return False

    async def _answer(self, messages: list[Any], result: RowResult) -> None:
        if self.schema is None:
            message = await self.model.ainvoke(messages)
            result.record_answer(message, message.text)
            return
        if self._runnable is None:
            self._runnable = self.model.with_structured_output(self.schema, include_raw=True)
        response = await self._runnable.ainvoke(messages)
        result.record_answer(response["raw"], None)
        if response["parsing_error"] is not None:
            raise response["parsing_error"]
        result.answer = answer_of(response["parsed"])

    @property
    def fingerprint(self) -> str:
        """The settings that must not change between two runs with the same checkpoint."""
        schema = None if self.schema is None else parse_schema(self.schema).json_schema
        return json.dumps([self.prompt_column, schema], sort_keys=True)


def invoke_table(
    model: ChatAzurePhi3,
    table: pa.Table,
    *,
    id_column: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **options: Any,
) -> pa.Table:
    """Call a model for each row of a table, on this machine.

    Args:
        model: The model.
        table: The prompts.
        id_column: The column that identifies the rows in the checkpoint; default: the prompts.
        checkpoint: A folder for the results. A run that was stopped continues from it: it repeats
            at most one batch of 256 rows, and the rows that failed with a temporary error.
        progress: Whether to show a progress bar and the totals on standard error.
        options: Those of `BatchInvoker`.

    Returns:
        The table with the columns of `BatchInvoker`.

    Raises:
        AzurePhi3Error: All rows of a batch failed because of the settings, such as a wrong key.
        InvalidInputError: The table or the checkpoint cannot be used.
        OSError: The checkpoint cannot be written; results that are already saved are not affected.
    """
    invoker = BatchInvoker(model, **options)
    output_schema(table.schema)
    saved = None if checkpoint is None else open_checkpoint(checkpoint, invoker, table, id_column)
    batches = (
        table.slice(start, ROWS_PER_BATCH) for start in range(0, table.num_rows, ROWS_PER_BATCH)
    )
    with Progress(table.num_rows, enabled=progress) as bar:
        parts = list(iter_results(batches, invoker.results, saved, bar))
        parts = [part.replace_schema_metadata() for part in parts]
        results = pa.concat_tables(parts) if parts else RESULT_SCHEMA.empty_table()
        bar.print(describe(usage_totals(results)))
    return append_columns(table, results)


def open_checkpoint(
    folder: str | os.PathLike[str], invoker: BatchInvoker, table: Any, id_column: str | None
) -> Checkpoint:
    """Create the checkpoint of a table, or of any other object with a schema.

    Raises:
        InvalidInputError: The table has no such column.
        OSError: The folder cannot be created.
    """
    names = table.schema.names
    columns = [id_column] if id_column is not None else [invoker.prompt_column]
    if missing := [name for name in columns if name not in names]:
        raise InvalidInputError(
            f"The table has no column {missing[0]!r}. Its columns are: {', '.join(names)}."
        )
    return Checkpoint(Path(folder), columns, invoker.fingerprint)


def usage_totals(table: pa.Table) -> dict[str, Any]:
    """Sum up the usage and the errors of a table with results.

    Returns:
        `rows`, `answered`, `errors` by type, `retryable` (rows that a later run should repeat),
        `input_tokens`, `output_tokens`; and `cost` in US dollars, if all prices are known.
    """
    totals = Totals()
    totals.add(table)
    return totals.as_dict()


class _FinishedRows(BatchInvoker):
    """Leaves out rows that a later run should repeat, so that no checkpoint counts them."""

    def __call__(self, table: pa.Table) -> pa.Table:
        answered = super().__call__(table)
        return answered.filter(pa.compute.invert(answered["retryable"]))


def invoke_dataset(
    model: ChatAzurePhi3,
    dataset: "Dataset",
    *,
    id_column: str | None = None,
    checkpoint: str | None = None,
    workers: int = 2,
    rows_per_block: int = 64,
    **options: Any,
) -> "Dataset":
    """Call a model for each row of a Ray dataset, when the result is written or consumed.

    With `checkpoint`, run the same program again after a failure: Ray skips the rows that were
    written. Rows that failed with a temporary error are left out of the result, so that the next
    run repeats them.

    Args:
        model: The model. Give it a `TokenRateLimiter` with a store that all workers can reach.
        dataset: The prompts.
        id_column: The column whose values identify the rows; `checkpoint` needs it, and Ray needs
            it in the source that the dataset is read from.
        checkpoint: A folder, on storage that all workers can reach, for the ids of written rows.
        workers: The number of actors that call the model, each with up to `max_concurrency`
            concurrent calls.
        rows_per_block: Rows per batch, and between two entries of the checkpoint.
        options: Those of `BatchInvoker`.

    Returns:
        The dataset with the columns of `BatchInvoker`; nothing has run yet.

    Raises:
        InvalidInputError: `checkpoint` without `id_column`.
    """
    from ray.data import ActorPoolStrategy
    from ray.data.checkpoint import CheckpointConfig

    if checkpoint is not None:
        if id_column is None:
            raise InvalidInputError("A checkpoint on Ray needs id_column=, to identify the rows.")
        dataset.context.checkpoint_config = CheckpointConfig(
            id_column=id_column,
            checkpoint_path=checkpoint,
            delete_checkpoint_on_success=False,  # rows may be left for the next run
        )
    # Otherwise a small dataset would be one block, and nothing would be saved until it is complete.
    blocks = dataset.repartition(target_num_rows_per_block=rows_per_block)
    return blocks.map_batches(
        BatchInvoker if checkpoint is None else _FinishedRows,
        fn_constructor_args=(model,),
        fn_constructor_kwargs=options,
        batch_format="pyarrow",
        batch_size=rows_per_block,
        compute=ActorPoolStrategy(size=workers),
        # The workers wait for the network. Next to Ray's checkpoint filter, which reserves one CPU,
        # any fraction would leave too little for Ray's own tasks on a machine with two CPUs.
        num_cpus=0,
    )


def invoke_dataframe(model: ChatAzurePhi3, df: "DataFrame", **options: Any) -> "DataFrame":
    """Call a model for each row of a Spark DataFrame, when the result is written or consumed.

    Spark evaluates a DataFrame again for each action: write the result before using it twice.

    Args:
        model: The model. Give it a `TokenRateLimiter` with a store that all executors can reach.
        df: The prompts.
        options: Those of `BatchInvoker`.

    Returns:
        The DataFrame with the columns of `BatchInvoker`; nothing has run yet.

    Raises:
        InvalidInputError: The DataFrame has no column of prompts, or already has a column that the
            results need.
    """
    from pyspark.sql.pandas.types import from_arrow_schema
    from pyspark.sql.types import StructType

    invoker = BatchInvoker(model, **options)
    added = from_arrow_schema(RESULT_SCHEMA)
    if invoker.prompt_column not in df.columns:
        raise InvalidInputError(f"The DataFrame has no column {invoker.prompt_column!r}.")
    output_schema(pa.schema([(name, pa.null()) for name in df.columns]))

    def invoke_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, ROWS_PER_BATCH):
                rows = pa.Table.from_batches([batch.slice(start, ROWS_PER_BATCH)])
                yield from invoker(rows).to_batches()

    return df.mapInArrow(invoke_batches, StructType([*df.schema.fields, *added.fields]))
