"""The four ways to call a chat model: sync and async, complete and streamed."""

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_azure_phi3 import AzurePhi3Error

CALL_MODES = ("invoke", "ainvoke", "stream", "astream")
STREAM_MODES = ("stream", "astream")


async def call_model(model: Any, mode: str, prompt: Any, /, **kwargs: Any) -> AIMessage:
    """Return the answer to `prompt`; the chunks of a stream are merged."""
    if mode == "invoke":
        return model.invoke(prompt, **kwargs)
    if mode == "ainvoke":
        return await model.ainvoke(prompt, **kwargs)
    if mode == "stream":
        return merge_chunks(list(model.stream(prompt, **kwargs)))
    return merge_chunks([chunk async for chunk in model.astream(prompt, **kwargs)])


async def call_error(model: Any, mode: str, prompt: Any, /, **kwargs: Any) -> AzurePhi3Error:
    """Return the error that the call raises.

    Raises:
        AssertionError: The call returned an answer.
    """
    try:
        answer = await call_model(model, mode, prompt, **kwargs)
    except AzurePhi3Error as error:
        return error
    raise AssertionError(f"{mode} returned {answer!r} and raised nothing.")


def merge_chunks(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """Return the sum of a stream's chunks."""
    merged = chunks[0]
    for chunk in chunks[1:]:
        merged = merged + chunk
    return merged
