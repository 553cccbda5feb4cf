"""`langchain-azure-phi3 batch`: calls the model for each row of a file, and writes the results."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from langchain_azure_phi3._batch.checkpoint import Checkpoint
from langchain_azure_phi3._batch.files import TableFile, check_suffix, open_table, write_table
from langchain_azure_phi3._batch.job import ROWS_PER_BATCH, iter_results
from langchain_azure_phi3._batch.progress import Progress
from langchain_azure_phi3._batch.results import Totals, append_columns, describe, output_schema
from langchain_azure_phi3._cli.options import make_model, read_schema
from langchain_azure_phi3.batch import BatchInvoker, open_checkpoint
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.rate_limits import TokenRateLimiter

INTERRUPTED = 130


def run_batch(options: argparse.Namespace) -> int:
    """Run the command, and return its exit status: 0, 1 for rows to repeat, or 130 for Ctrl-C.

    Raises:
        AzurePhi3Error: All rows of a batch failed because of the settings, such as a wrong key.
        InvalidInputError: An argument, the file or the checkpoint cannot be used.
        OSError: A file cannot be read or written; the checkpoint is not affected.
    """
    target = Path(options.target)
    check_suffix(target)
    table = open_table(Path(options.source))
    schema = output_schema(table.schema)
    model = make_model(options)
    model.rate_limiter = _limiter(options)
    invoker = BatchInvoker(
        model,
        prompt_column=options.prompt_column,
        schema=None if options.schema is None else read_schema(options.schema),
        max_concurrency=options.concurrency,
        max_row_retries=options.row_retries,
    )
    folder = Path(options.checkpoint or f"{options.target}.checkpoint")
    checkpoint = open_checkpoint(folder, invoker, table, options.id)
    try:
        totals = _answer(table, invoker, checkpoint, progress=not options.no_progress)
    except KeyboardInterrupt:
        _print(f"Stopped. Run the same command again to continue from {folder}.")
        return INTERRUPTED
    try:
        write_table(target, schema, _joined(table, checkpoint))
    except OSError:
        _print(f"All results are saved in {folder}. Run the same command again to write them.")
        raise
    _print(describe(totals))
    if totals["retryable"]:
        _print(
            f"{totals['retryable']:,} rows failed with a temporary error. Run the same command "
            "again to repeat only them."
        )
    return 1 if totals["retryable"] else 0


def _answer(
    table: TableFile, invoker: BatchInvoker, checkpoint: Checkpoint, *, progress: bool
) -> dict[str, Any]:
    totals = Totals()
    with Progress(table.num_rows, enabled=progress) as bar:
        batches = table.batches(ROWS_PER_BATCH)
        for results in iter_results(batches, invoker.results, checkpoint, bar):
            totals.add(results)
    return totals.as_dict()


def _joined(table: TableFile, checkpoint: Checkpoint) -> Iterator[pa.Table]:
    """Yield the rows with their results from the checkpoint."""
    for index, batch in enumerate(table.batches(ROWS_PER_BATCH)):
        results = checkpoint.load(index, batch)
        if results is None:
            raise InvalidInputError(
                f"The checkpoint {checkpoint.folder} lost rows while the command ran. Run the "
                "same command again to call the model for them."
            )
        yield append_columns(batch, results.replace_schema_metadata())


def _limiter(options: argparse.Namespace) -> TokenRateLimiter | None:
    quota = {"requests_per_minute": options.rpm, "tokens_per_minute": options.tpm}
    given = {name: value for name, value in quota.items() if value is not None}
    return TokenRateLimiter(**given, store=options.store) if given else None


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
