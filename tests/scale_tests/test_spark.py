"""Tables on a real local Spark, whose Python workers share a quota."""

import sys
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3._batch.results import RESULT_SCHEMA
from langchain_azure_phi3.batch import invoke_dataframe
from tests.scale_tests.conftest import Redis, Start, StartEmulator, wait, write_prompts


def test_job_answers_every_row(
    emulator: StartEmulator, start: Start, redis: Redis, tmp_path: Path
) -> None:
    """With a tenth of the requests failing, and the types that the results have everywhere.

    Each attempt of each executor counts in one Redis, and tokens do as well.
    """
    phi = emulator(faults={"500": 0.05, "cut": 0.05}, seed=5)
    write_prompts(tmp_path / "in", 400)
    python = {"PYSPARK_PYTHON": sys.executable}

    wait(start("spark_job", phi.endpoint, phi.key, tmp_path, redis.uri, **python))

    assert redis.increments > len(phi.requests) >= 400
    table = ds.dataset(tmp_path / "out", format="parquet").to_table()
    assert sorted(table["id"].to_pylist()) == sorted(f"row-{n}" for n in range(400))
    assert table["error_type"].null_count == 400
    for prompt, answer in zip(
        table["prompt"].to_pylist(), table["answer"].to_pylist(), strict=True
    ):
        assert answer == f"You wrote: {prompt}"
    assert {name: table.schema.field(name).type for name in RESULT_SCHEMA.names} == {
        field.name: field.type for field in RESULT_SCHEMA
    }


def test_tables_that_cannot_be_answered_are_refused() -> None:
    """Before the job starts."""
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    )
    model = ChatAzurePhi3(endpoint="http://127.0.0.1:9/v1", credential="")
    try:
        for columns, message in [
            (["text"], "no column 'prompt'"),
            (["prompt", "answer"], "answer"),
        ]:
            frame = spark.createDataFrame([("a",) * len(columns)], columns)
            with pytest.raises(InvalidInputError, match=message):
                invoke_dataframe(model, frame)
    finally:
        spark.stop()
