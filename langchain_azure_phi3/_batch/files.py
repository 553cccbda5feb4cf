"""Reads and writes tables in pieces: Parquet, CSV and JSON lines."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from langchain_azure_phi3.errors import InvalidInputError

_SCAN_ROWS = 256


class TableFile(NamedTuple):
    """A table in a file.

    Attributes:
        schema: Its columns.
        num_rows: The number of its rows.
        pieces: Reads it from the start, in pieces of any size.
    """

    schema: pa.Schema
    num_rows: int
    pieces: Callable[[], Iterator[pa.Table]]

    def batches(self, rows: int) -> Iterator[pa.Table]:
        """Yield the table in batches of `rows` rows; the last one may have fewer."""
        held, count = [self.schema.empty_table()], 0
        for piece in self.pieces():
            held.append(piece)
            count += piece.num_rows
            while count >= rows:
                joined = pa.concat_tables(held)
                yield joined.slice(0, rows)
                count -= rows
                # An empty slice would keep its table in memory.
                held = [joined.slice(rows) if count else self.schema.empty_table()]
        if count:
            yield pa.concat_tables(held)


def open_table(path: Path) -> TableFile:
    """Open a table in a file, in the format of the file's suffix.

    CSV columns are strings, so that ids such as `007` are not changed.

    Raises:
        InvalidInputError: The suffix is unknown, or the file is not a table.
        OSError: The file cannot be read.
    """
    reader: Callable[[Path], TableFile] = _by_suffix(path, _READERS)
    path.open("rb").close()  # because Arrow's errors do not name the file
    try:
        return reader(path)
    except (pa.ArrowException, ValueError) as error:
        raise InvalidInputError(f"The file {path} cannot be read: {error}.") from error


def write_table(path: Path, schema: pa.Schema, pieces: Iterable[pa.Table]) -> None:
    """Write a table to a file, in the format of its suffix; the file is created when complete.

    Raises:
        InvalidInputError: The suffix is unknown, or the format cannot represent a column.
        OSError: The file cannot be written.
    """
    writer = _by_suffix(path, _WRITERS)
    draft = path.with_name(f".{path.name}.draft")
    try:
        writer(draft, schema, pieces)
        draft.replace(path)
    except pa.ArrowException as error:
        raise InvalidInputError(f"The file {path} cannot be written: {error}.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot be written: {reason}", str(path)) from error
    finally:
        draft.unlink(missing_ok=True)


def check_suffix(path: Path) -> None:
    """Check that a file with this name can be written.

    Raises:
        InvalidInputError: The suffix is unknown.
    """
    _by_suffix(path, _WRITERS)


def _by_suffix(path: Path, table: dict[str, Any]) -> Any:
    found = table.get(path.suffix.lower())
    if found is None:
        raise InvalidInputError(
            f"The format of {path} is unknown. Use a name that ends in {', '.join(table)}."
        )
    return found


def _open_parquet(path: Path) -> TableFile:
    def pieces() -> Iterator[pa.Table]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_SCAN_ROWS):
                yield pa.Table.from_batches([batch])

    with pq.ParquetFile(path) as file:
        return TableFile(file.schema_arrow.remove_metadata(), file.metadata.num_rows, pieces)


def _open_csv(path: Path) -> TableFile:
    with pc.open_csv(path) as reader:
        names = reader.schema.names
    options = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    parsing = pc.ParseOptions(newlines_in_values=True)

    def pieces() -> Iterator[pa.Table]:
        with pc.open_csv(path, convert_options=options, parse_options=parsing) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    schema = pa.schema([(name, pa.string()) for name in names])
    return TableFile(schema, sum(piece.num_rows for piece in pieces()), pieces)


def _open_jsonl(path: Path) -> TableFile:
    schema, rows = pa.schema([]), 0
    for objects in _json_objects(path):
        rows += len(objects)
        schema = _merge_schemas(schema, objects)

    def pieces() -> Iterator[pa.Table]:
        for objects in _json_objects(path):
            columns = [
                pa.array([_cell(item.get(field.name), field) for item in objects], field.type)
                for field in schema
            ]
            yield pa.table(columns, schema=schema)

    return TableFile(schema, rows, pieces)


def _json_objects(path: Path) -> Iterator[list[dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        lines = (line for line in file if line.strip())
        while block := list(islice(lines, _SCAN_ROWS)):
            objects = [json.loads(line) for line in block]
            if not all(isinstance(item, dict) for item in objects):
                raise ValueError("a line is not a JSON object")
            yield objects


def _merge_schemas(schema: pa.Schema, objects: list[dict[str, Any]]) -> pa.Schema:
    """Return the columns of all objects; columns without one simple type become JSON text."""
    types = {field.name: field.type for field in schema}
    for name in dict.fromkeys(name for item in objects for name in item):
        try:
            found = pa.array([item.get(name) for item in objects]).type
            merged = _common_type(types.get(name, pa.null()), found)
        except pa.ArrowException:
            merged = pa.string()
        types[name] = merged
    return pa.schema(list(types.items()))


def _common_type(known: pa.DataType, found: pa.DataType) -> pa.DataType:
    if pa.types.is_nested(found):
        return pa.string()
    fields = [pa.schema([("x", each)]) for each in (known, found)]
    return pa.unify_schemas(fields, promote_options="permissive").field("x").type


def _cell(value: Any, field: pa.Field) -> Any:
    is_text = value is None or isinstance(value, str) or not pa.types.is_string(field.type)
    return value if is_text else json.dumps(value, ensure_ascii=False)


def _write_parquet(path: Path, schema: pa.Schema, pieces: Iterable[pa.Table]) -> None:
    with pq.ParquetWriter(path, schema) as writer:
        for piece in pieces:
            writer.write_table(piece)


def _write_csv(path: Path, schema: pa.Schema, pieces: Iterable[pa.Table]) -> None:
    with pc.CSVWriter(path, schema) as writer:
        for piece in pieces:
            for batch in piece.to_batches():
                if batch.num_rows:  # for an empty batch, pyarrow before 21 repeats the previous one
                    writer.write_batch(batch)


def _write_jsonl(path: Path, _schema: pa.Schema, pieces: Iterable[pa.Table]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for piece in pieces:
            for row in piece.to_pylist():
                file.write(json.dumps(row, ensure_ascii=False, default=_to_text) + "\n")


def _to_text(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


_READERS = {".parquet": _open_parquet, ".csv": _open_csv, ".jsonl": _open_jsonl}
_WRITERS = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_jsonl}
