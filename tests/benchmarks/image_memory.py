"""The memory that one image of 10 MB needs on its way into a request.

Run it from the root of the repository:

    python -m tests.benchmarks.image_memory

The figures are peaks of `tracemalloc`, as multiples of the image's base64 (4/3 of its bytes).
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
    b'{"choices": [{"index": 0, "message": {"content": "An image."}, "finish_reason": "stop"}]}'
)


def peak_of(work: Callable[[], Any]) -> tuple[Any, int]:
    """Return the result of `work`, and the peak of the bytes that it allocated."""
    gc.collect()
    tracemalloc.start()
    result = work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak


def measure() -> dict[str, float]:
    """Return the peak of each step, in multiples of the base64."""
    data = png_of(4000, 3000).ljust(MEGABYTES * 1_000_000, b"\0")
    size = 4 * len(data) / 3
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=ANSWER))
    model = ChatAzurePhi3(
        endpoint="https://phi.eastus2.models.ai.azure.com",
        credential="key",
        model="Phi-3-vision-128k-instruct",
        http_client=httpx.Client(transport=transport),
    )
    model.invoke("Imports and clients are not measured.")
    block, encoding = peak_of(lambda: image_block(data))
    question = [HumanMessage(["What is this?", block])]
    counting = peak_of(lambda: model.get_num_tokens_from_messages(question))[1]
    calling = peak_of(lambda: model.invoke(question))[1]
    return {
        "image_block": encoding / size,
        "get_num_tokens_from_messages": counting / size,
        "invoke": calling / size,
    }


def main() -> None:
    """Print the table."""
    print(f"An image of {MEGABYTES} MB: peak of allocated bytes, as multiples of its base64.")
    for step, multiple in measure().items():
        print(f"  {step:<30}{multiple:5.2f}")


if __name__ == "__main__":
    main()
