"""One of several processes with one quota: `... ENDPOINT KEY STORE RPM TPM SECONDS MODE`.

`sync` uses threads, `async` an event loop. It prints how many calls succeeded and failed.
"""

import asyncio
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_azure_phi3 import AzurePhi3Error, ChatAzurePhi3
from langchain_azure_phi3.rate_limits import TokenRateLimiter
from tests.scale_tests.conftest import ANSWER_TOKENS

CONCURRENCY = 12


def run(model: ChatAzurePhi3, end: float, counts: Counter[str]) -> None:
    """Call the model until the end, in a thread."""
    while time.monotonic() < end:
        try:
            model.invoke("How many languages are there?")
            counts["ok"] += 1
        except AzurePhi3Error as error:
            counts[type(error).__name__] += 1


async def arun(model: ChatAzurePhi3, end: float, counts: Counter[str]) -> None:
    """The same in an event loop."""
    while time.monotonic() < end:
        try:
            await model.ainvoke("How many languages are there?")
            counts["ok"] += 1
        except AzurePhi3Error as error:
            counts[type(error).__name__] += 1


async def arun_all(*arguments: Any) -> None:
    """Many calls at the same time, in an event loop."""
    await asyncio.gather(*(arun(*arguments) for _ in range(CONCURRENCY)))


def main() -> None:
    """Call the model as fast as the quota allows."""
    endpoint, key, store, rpm, tpm, seconds, mode = sys.argv[1:]
    model = ChatAzurePhi3(
        endpoint=endpoint,
        credential=key,
        model="Phi-3-mini-4k-instruct",
        max_tokens=ANSWER_TOKENS,
        rate_limiter=TokenRateLimiter(int(rpm), int(tpm), store=store, key="test"),
    )
    counts: Counter[str] = Counter()
    arguments = (model, time.monotonic() + float(seconds), counts)
    if mode == "async":
        asyncio.run(arun_all(*arguments))
    else:
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            list(pool.map(lambda _: run(*arguments), range(CONCURRENCY)))
    sys.stdout.write(f"{dict(counts)}\n")


if __name__ == "__main__":
    main()
