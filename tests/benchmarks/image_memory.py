"""Bytes allocated for one picture of 10 MB on its way to the wire.

Run it from the root of the repository:

    python -m tests.benchmarks.image_memory

The figures are peaks by `tracemalloc`, as multiples of the picture's base64 (4/3 of its bytes).
"""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import httpx
from langchain_core.messages import HumanMessage

from langchain_azure_phi3 import ChatAzurePhi3, image_block
from tests.unit_tests.images import png_of

MEGABYTES = 10
ANSWER = (
    b'{"choices": [{"index": 0, "message": {"content": "A picture."}, "finish_reason": "stop"}]}'
)


def peak_of(work: Callable[[], Any]) -> tuple[Any, int]:
    """What a piece of work gives, and the most bytes that it held at once beyond those before."""
    gc.collect()
    tracemalloc.start()
    made = work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return made, peak


def measured() -> dict[str, float]:
    """Peaks by step, in multiples of the base64."""
    data = png_of(4000, 3000).ljust(MEGABYTES * 1_000_000, b"\0")
    size = 4 * len(data) / 3
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=ANSWER))
    model = ChatAzurePhi3(
        endpoint="https://phi.eastus2.models.ai.azure.com",
        credential="key",
        model="Phi-3-vision-128k-instruct",
        http_client=httpx.Client(transport=transport),
    )
    model.invoke("Imports and clients are not to be measured.")
    block, encoding = peak_of(lambda: image_block(data))
    question = [HumanMessage(["What is this?", block])]
    counting = peak_of(lambda: model.get_num_tokens_from_messages(question))[1]
    asking = peak_of(lambda: model.invoke(question))[1]
    return {
        "image_block": encoding / size,
        "get_num_tokens_from_messages": counting / size,
        "invoke": asking / size,
    }


def main() -> None:
    """Print the table."""
    print(f"A picture of {MEGABYTES} MB: peak of allocated bytes, as multiples of its base64.")
    for step, multiple in measured().items():
        print(f"  {step:<30}{multiple:5.2f}")


if __name__ == "__main__":
    main()
