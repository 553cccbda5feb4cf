"""A job on a local Spark with two executors' threads: `... ENDPOINT KEY FOLDER STORE`.

It reads FOLDER/in and writes answers to FOLDER/out.
"""

import sys

from pyspark.sql import SparkSession

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.batch import invoke_dataframe
from langchain_azure_phi3.rate_limits import TokenRateLimiter


def main() -> None:
    """Answer all rows."""
    endpoint, key, folder, store = sys.argv[1:]
    spark = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    )
    model = ChatAzurePhi3(
        endpoint=endpoint,
        credential=key,
        temperature=0,
        rate_limiter=TokenRateLimiter(60_000, 60_000_000, store=store),
    )
    prompts = spark.read.parquet(f"{folder}/in").repartition(4)
    answers = invoke_dataframe(model, prompts, max_concurrency=8)
    answers.write.parquet(f"{folder}/out")
    spark.stop()


if __name__ == "__main__":
    main()
