"""One of several processes with one quota: `... ENDPOINT KEY STORE RPM TPM SECONDS COLOR`.

`sync` uses threads, `async` an event loop. It prints how many calls succeeded and failed.
"""

import asyncio
import sys
import threading
import time
from collections import Counter

from langchain_azure_phi3 import AzurePhi3Error, ChatAzurePhi3
from langchain_azure_phi3.rate_limits import TokenRateLimiter
from tests.scale_tests.conftest import ANSWER_TOKENS

CONCURRENCY = 12


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
    end = time.monotonic() + float(seconds)
    counts: Counter[str] = Counter()

    def run() -> None:
        while time.monotonic() < end:
            try:
                model.invoke("How many languages are there?")
                counts["ok"] += 1
            except AzurePhi3Error as error:
                counts[type(error).__name__] += 1

    async def arun() -> None:
        while time.monotonic() < end:
            try:
                await model.ainvoke("How many languages are there?")
                counts["ok"] += 1
            except AzurePhi3Error as error:
                counts[type(error).__name__] += 1

    async def arun_all() -> None:
        await asyncio.gather(*(arun() for _ in range(CONCURRENCY)))

    if mode == "async":
        asyncio.run(arun_all())
    else:
        threads = [threading.Thread(target=run) for _ in range(CONCURRENCY)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sys.stdout.write(f"{dict(counts)}\n")


if __name__ == "__main__":
    main()
