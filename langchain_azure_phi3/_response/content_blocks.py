"""LangChain's standard content blocks of a response: reasoning, text, tool calls, a refusal."""

from typing import cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import content as blocks
from langchain_core.messages.block_translators import register_translator

from langchain_azure_phi3._response.refusal import find_refusal

PROVIDER = "azure_phi3"


def message_blocks(message: AIMessage) -> list[blocks.ContentBlock]:
    """Return the blocks of a complete message."""
    return [*_text_blocks(message), *_tool_call_blocks(message), *_refusal_blocks(message)]


def chunk_blocks(chunk: AIMessageChunk) -> list[blocks.ContentBlock]:
    """Return the blocks of a chunk; its tool calls are in pieces until the last chunk."""
    if chunk.chunk_position == "last":
        return message_blocks(chunk)
    found = _text_blocks(chunk)
    for piece in chunk.tool_call_chunks:
        block = blocks.ToolCallChunk(
            type="tool_call_chunk", id=piece["id"], name=piece["name"], args=piece["args"]
        )
        if piece["index"] is not None:
            # A string, because LangChain numbers the other blocks and merges equal indexes.
            block["index"] = f"lc_call_{piece['index']}"
        found.append(block)
    return found


def _text_blocks(message: AIMessage) -> list[blocks.ContentBlock]:
    found: list[blocks.ContentBlock] = []
    reasoning = message.additional_kwargs.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        found.append(blocks.ReasoningContentBlock(type="reasoning", reasoning=reasoning))
    if isinstance(message.content, str):
        if message.content:
            found.append(blocks.TextContentBlock(type="text", text=message.content))
        return found
    for item in message.content:
        block = {"type": "text", "text": item} if isinstance(item, str) else item
        found.append(cast("blocks.ContentBlock", block))
    return found


def _refusal_blocks(message: AIMessage) -> list[blocks.ContentBlock]:
    refusal = find_refusal(message)
    in_content = any(isinstance(b, dict) and b.get("type") == "refusal" for b in message.content)
    return [] if refusal is None or in_content else [cast("blocks.ContentBlock", refusal)]


def _tool_call_blocks(message: AIMessage) -> list[blocks.ContentBlock]:
    in_content = {
        block.get("id")
        for block in message.content
        if isinstance(block, dict) and block.get("type") == "tool_call"
    }
    return [
        blocks.ToolCall(type="tool_call", id=call["id"], name=call["name"], args=call["args"])
        for call in message.tool_calls
        if call["id"] not in in_content
    ]


register_translator(PROVIDER, message_blocks, chunk_blocks)
