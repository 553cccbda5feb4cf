"""Calls the model for a table batch by batch, with a checkpoint."""

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from langchain_azure_phi3 import errors
from langchain_azure_phi3._batch.checkpoint import Checkpoint
from langchain_azure_phi3._batch.progress import Progress
from langchain_azure_phi3._batch.results import SETUP_ERRORS, RowResult

ROWS_PER_BATCH = 256
"""The number of rows in memory, and in one file of a checkpoint."""

Invoke = Callable[[pa.Table, Callable[[RowResult], None]], pa.Table]
"""Calls the model for the rows of a table, reports each result, and returns all as columns."""


def iter_results(
    batches: Iterable[pa.Table], invoke: Invoke, checkpoint: Checkpoint | None, progress: Progress
) -> Iterator[pa.Table]:
    """Yield the results of each batch, in order; reuse those in the checkpoint.

    Raises:
        AzurePhi3Error: All rows of a batch failed because of the settings, such as a wrong key.
        InvalidInputError: The checkpoint cannot be used.
        OSError: The checkpoint cannot be written.
    """
    for index, batch in enumerate(batches):
        saved = None if checkpoint is None else checkpoint.load(index, batch)
        results = _complete(batch, saved, invoke, progress)
        if results is not saved:
            _raise_for_setup(results)
            if checkpoint is not None:
                checkpoint.save(index, batch, results)
        yield results


def _complete(
    batch: pa.Table, saved: pa.Table | None, invoke: Invoke, progress: Progress
) -> pa.Table:
    """Return the results of a batch, some of which may already be saved."""
    if saved is None:
        return invoke(batch, progress.add)
    again = [n for n, is_retryable in enumerate(saved["retryable"].to_pylist()) if is_retryable]
    progress.skip(batch.num_rows - len(again))
    if not again:
        return saved
    results = pa.concat_tables(
        [saved.replace_schema_metadata(), invoke(batch.take(again), progress.add)]
    )
    order = list(range(batch.num_rows))
    for position, row in enumerate(again):
        order[row] = batch.num_rows + position
    return results.take(order)


def _raise_for_setup(results: pa.Table) -> None:
    """Raise an error that would fail every row."""
    names = set(results["error_type"].to_pylist())
    if len(names) == 1 and (name := names.pop()) in {error.__name__ for error in SETUP_ERRORS}:
        raise getattr(errors, name)(results["error"][0].as_py())
