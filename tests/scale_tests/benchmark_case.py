"""One measured job in a process of its own: `... NAME ENDPOINT FOLDER ROWS`; prints JSON.

The time is that of the calls: engines are started before, and answer a few rows to start their
workers. The CPU is that of this process and of all that it started.
"""

import asyncio
import contextlib
import io
import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.batch import invoke_dataframe, invoke_dataset, invoke_table
from langchain_azure_phi3.cli import main as run_command

CONCURRENCY = 64
Job = Callable[[ChatAzurePhi3, Path], None]


def with_invoke_table(model: ChatAzurePhi3, source: Path) -> None:
    """This package, on one machine."""
    invoke_table(model, pq.read_table(source), progress=False, max_concurrency=CONCURRENCY)


def with_abatch(model: ChatAzurePhi3, source: Path) -> None:
    """LangChain's own way, without a table around it."""
    prompts = pq.read_table(source)["prompt"].to_pylist()
    asyncio.run(model.abatch(prompts, {"max_concurrency": CONCURRENCY}))


def with_command(model: ChatAzurePhi3, source: Path) -> None:
    """The command line, which reads and writes in pieces."""
    target = source.parent / f"{source.stem}-{time.time_ns()}.parquet"
    arguments = ["--endpoint", model.endpoint, "--concurrency", str(CONCURRENCY), "--no-progress"]
    with contextlib.redirect_stderr(io.StringIO()):
        run_command(["batch", str(source), str(target), *arguments])


def with_ray(workers: int, model: ChatAzurePhi3, source: Path) -> None:
    """Ray Data with so many workers."""
    import ray

    ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
    options = {"workers": workers, "max_concurrency": CONCURRENCY}
    invoke_dataset(model, ray.data.read_parquet(str(source)), **options).materialize()


def with_ray_llm(model: ChatAzurePhi3, source: Path) -> None:
    """Ray's own HTTP stage."""
    import ray
    from ray.data.llm import HttpRequestProcessorConfig, build_processor

    ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
    config = HttpRequestProcessorConfig(
        url=f"{model.endpoint}/chat/completions", batch_size=64, concurrency=1, max_retries=2
    )
    processor = build_processor(
        config,
        preprocess=lambda row: {
            "payload": {"messages": [{"role": "user", "content": row["prompt"]}]}
        },
        postprocess=lambda row: {"answer": row["http_response"]["choices"][0]["message"]},
    )
    processor(ray.data.read_parquet(str(source)).repartition(16)).materialize()


def with_openaivec(model: ChatAzurePhi3, source: Path) -> None:
    """The package openaivec, with one row per request; its default is up to 128 rows."""
    import tiktoken.registry
    from openai import AsyncOpenAI
    from openaivec import AsyncBatchResponses, ResponseLimits

    # It estimates tokens with a table that it downloads; single bytes serve as well here.
    tiktoken.registry.ENCODINGS["bytes"] = tiktoken.Encoding(
        "bytes",
        pat_str=r"(?s:.)",
        mergeable_ranks={bytes([value]): value for value in range(256)},
        special_tokens={},
    )
    client = AsyncOpenAI(
        base_url=model.endpoint.replace("/complete/", "/responses/"), api_key="none"
    )
    calls = AsyncBatchResponses.of(
        client=client,
        model_name="none",
        system_message="Answer.",
        batch_size=1,
        max_concurrency=CONCURRENCY,
        limits=ResponseLimits(encoding_name="bytes"),
    )
    answers = asyncio.run(calls.parse(pq.read_table(source)["prompt"].to_pylist()))
    assert None not in answers


def with_spark(model: ChatAzurePhi3, source: Path) -> None:
    """Spark with two threads."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    frame = builder.getOrCreate().read.parquet(str(source)).repartition(2)
    answers = invoke_dataframe(model, frame, max_concurrency=CONCURRENCY)
    answers.write.mode("overwrite").parquet(str(source.parent / "spark"))


JOBS: dict[str, Job] = {
    "invoke_table": with_invoke_table,
    "the command batch": with_command,
    "model.abatch": with_abatch,
    "Ray, 1 worker": partial(with_ray, 1),
    "Ray, 2 workers": partial(with_ray, 2),
    "Ray, 4 workers": partial(with_ray, 4),
    "Spark, 2 threads": with_spark,
    "ray.data.llm, HTTP": with_ray_llm,
    "openaivec": with_openaivec,
}


def cpu_seconds() -> float:
    """What this process and all processes below it have used, also those that ended."""
    this = psutil.Process()
    used = 0.0
    for process in (this, *this.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += sum(process.cpu_times()[:4])  # user and system, of it and of ended children
    return used


def main() -> None:
    """Run a job and print its figures."""
    name, endpoint, folder, rows = sys.argv[1:]
    model = ChatAzurePhi3(endpoint=f"{endpoint}/complete/v1", credential="", temperature=0)
    warm, source = Path(folder) / "warm.parquet", Path(folder) / f"{rows}.parquet"
    JOBS[name](model, warm)
    started, used = time.perf_counter(), cpu_seconds()
    JOBS[name](model, source)
    figures = {
        "seconds": time.perf_counter() - started,
        "cpu": cpu_seconds() - used,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(f"\n{json.dumps(figures)}\n")


if __name__ == "__main__":
    main()
