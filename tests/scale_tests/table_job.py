"""A job on one machine: `python -m tests.scale_tests.table_job ENDPOINT KEY FOLDER`.

It reads FOLDER/in, and writes answers to FOLDER/out.parquet and its checkpoint to
FOLDER/checkpoint; run again, it continues.
"""

import sys

import pyarrow.parquet as pq

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.batch import invoke_table


def main() -> None:
    """Answer the rows that are not saved yet."""
    endpoint, key, folder = sys.argv[1:]
    answers = invoke_table(
        ChatAzurePhi3(endpoint=endpoint, credential=key),
        pq.read_table(f"{folder}/in"),
        id_column="id",
        checkpoint=f"{folder}/checkpoint",
        max_row_retries=5,
    )
    pq.write_table(answers, f"{folder}/out.parquet")


if __name__ == "__main__":
    main()
