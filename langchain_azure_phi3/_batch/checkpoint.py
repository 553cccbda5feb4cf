"""Saves results batch by batch, so that a stopped job can continue."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from langchain_azure_phi3._batch.prompts import prompt_digest
from langchain_azure_phi3.errors import InvalidInputError

_DIGEST = b"langchain-azure-phi3 digest"


class Checkpoint:
    """A folder with one Parquet file for each batch of results.

    A file is created when all rows of its batch have results, and is always complete.
    """

    def __init__(self, folder: Path, columns: Sequence[str], settings: str) -> None:
        """Create the folder if necessary.

        Args:
            folder: The folder of the files.
            columns: The columns that identify the rows.
            settings: Other values that must not change between two runs.

        Raises:
            OSError: The folder cannot be created.
        """
        self.folder = folder
        self._columns = columns
        self._settings = settings
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, index: int, batch: pa.Table) -> pa.Table | None:
        """Read the results of a batch; return `None` if it was not finished.

        Raises:
            InvalidInputError: The file cannot be read, or belongs to other rows or settings.
        """
        path = self._path(index)
        if not path.exists():
            return None
        try:
            results = pq.read_table(path, partitioning=None)
        except (pa.ArrowException, OSError) as error:
            raise InvalidInputError(
                f"The checkpoint {path} cannot be read: {error}. Delete this file to call the "
                "model again for its rows; all other files remain valid."
            ) from error
        if (results.schema.metadata or {}).get(_DIGEST) != self._digest(batch):
            raise InvalidInputError(
                f"The checkpoint {path} belongs to other rows, or to another prompt column, schema "
                "or number of rows per batch. Restore them, or use a new folder."
            )
        return results

    def save(self, index: int, batch: pa.Table, results: pa.Table) -> None:
        """Write the results of a batch.

        Raises:
            OSError: The file cannot be written; the files of other batches are not affected.
        """
        path = self._path(index)
        draft = path.with_suffix(".draft")
        try:
            # The digest lets `load` detect another table.
            metadata = {_DIGEST: self._digest(batch)}
            with draft.open("wb") as file:
                pq.write_table(results.replace_schema_metadata(metadata), file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f"The checkpoint cannot be written ({error.strerror or error}). The batches "
                "before it are saved. Solve the problem, and run the same program again",
                str(path),
            ) from error

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:08}.parquet"

    def _digest(self, batch: pa.Table) -> bytes:
        rows: list[Any] = batch.select(self._columns).to_pylist()
        digests = "".join(prompt_digest(row, self._settings) for row in rows)
        return hashlib.sha256(digests.encode()).hexdigest().encode()
