"""The four ways to ask one question."""

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk

COLOURS = ("invoke", "ainvoke", "stream", "astream")


async def ask(model: Any, colour: str, question: Any, /, **kwargs: Any) -> AIMessage:
    """One answer, in one of the four ways; a stream is merged."""
    if colour == "invoke":
        return model.invoke(question, **kwargs)
    if colour == "ainvoke":
        return await model.ainvoke(question, **kwargs)
    if colour == "stream":
        return sum_of(list(model.stream(question, **kwargs)))
    return sum_of([chunk async for chunk in model.astream(question, **kwargs)])


def sum_of(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """The merged stream."""
    merged = chunks[0]
    for chunk in chunks[1:]:
        merged = merged + chunk
    return merged
