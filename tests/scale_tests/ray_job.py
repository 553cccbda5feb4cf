"""A job on a local Ray: `python -m tests.scale_tests.ray_job ENDPOINT KEY FOLDER WORKERS STORE`.

It reads FOLDER/in, and writes answers to FOLDER/out and its checkpoint to FOLDER/checkpoint; run
again, it continues.
"""

import sys
import time

import ray

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.batch import invoke_dataset
from langchain_azure_phi3.rate_limits import TokenRateLimiter


def main() -> None:
    """Answer the rows that are not written yet."""
    endpoint, key, folder, workers, store = sys.argv[1:]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    limiter = TokenRateLimiter(60_000, 60_000_000, store=store) if store else None
    model = ChatAzurePhi3(
        endpoint=endpoint, credential=key, temperature=0, rate_limiter=limiter, max_retries=1
    )
    started = time.perf_counter()
    answers = invoke_dataset(
        model,
        ray.data.read_parquet(f"{folder}/in"),
        id_column="id",
        checkpoint=f"{folder}/checkpoint",
        workers=int(workers),
        max_concurrency=16,
    )
    answers.write_parquet(f"{folder}/out")
    sys.stdout.write(f"{time.perf_counter() - started}\n")


if __name__ == "__main__":
    main()
