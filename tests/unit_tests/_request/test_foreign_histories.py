"""Histories and results of tools that other providers made are sent without an error."""

import base64
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, ToolMessage

from langchain_azure_phi3._request.build import RequestSettings, build_request
from langchain_azure_phi3._request.content import with_wire_media
from tests.unit_tests.images import base64_of

Json = dict[str, Any]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
WIRE_IMAGE = {
    "type": "image_url",
    "image_url": {"url": f"data:image/png;base64,{base64_of(PNG)}"},
}
VISION = "Phi-3.5-vision-instruct"


def build(messages: list[BaseMessage], **settings: Any) -> list[Json]:
    """The messages of a request, after LangChain's conversion."""
    converted = [with_wire_media(message) for message in messages]
    sent: list[Json] = build_request(RequestSettings(**settings), converted, {}).payload["messages"]
    return sent


# -- Assistant messages ----------------------------------------------------------------------------

METADATA = {"model_provider": "other"}

# What providers put next to the text of an answer.
INTERNAL: dict[str, list[Json]] = {
    "Anthropic": [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "s", "name": "web_fetch", "input": {"url": "u"}},
        {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": {"type": "x"}},
        {"type": "bash_code_execution_tool_result", "tool_use_id": "s", "content": []},
        {"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "m", "content": []},
        {"type": "input_json_delta", "partial_json": "{", "index": 3},
        {"type": "container_upload", "file_id": "f"},
        {"type": "compaction", "content": "x"},
    ],
    "OpenAI": [
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "file_search_call", "id": "f", "queries": ["q"]},
        {"type": "mcp_list_tools", "id": "l", "tools": []},
        {"type": "mcp_approval_request", "id": "a"},
        {"type": "computer_call", "id": "c", "action": {}},
        {"type": "local_shell_call", "id": "s"},
        {"type": "image_generation_call", "id": "i", "result": "AAAA"},
        {"type": "tool_search_output", "id": "t"},
        {"type": "refusal", "refusal": "No."},
    ],
    "Google": [
        {"type": "code_execution_result", "code_execution_result": "4", "outcome": 1},
        {"type": "executable_code", "executable_code": "2+2", "language": "PYTHON"},
        {"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}},
        {"type": "file_data", "file_uri": "gs://bucket/a.pdf"},
    ],
    "Bedrock": [
        {"type": "reasoning_content", "reasoning_content": {"text": "Hm."}},
        {"citationsContent": {"citations": []}},
        {"cachePoint": {"type": "default"}},
        {"guardContent": {"text": "x"}},
    ],
    "LangChain": [
        {"type": "server_tool_call", "id": "s", "name": "n", "args": {}},
        {"type": "server_tool_call_chunk", "args": "{"},
        {"type": "server_tool_result", "tool_call_id": "s", "status": "success", "output": 4},
        {"type": "non_standard", "value": {"type": "x"}},
        {"type": "non_standard_annotation", "value": {}},
        {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
        {"type": "image", "base64": "no image"},
        {"type": "audio", "file_id": "a"},
        {"type": "video", "url": "https://e.example/v.mp4"},
        {"type": "document", "source": {"type": "text", "data": "x"}},
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": ["text"], "text": "x"},
        {"type": "image", "source_type": ["url"]},
        {},
    ],
}


def test_internal_blocks_of_providers_are_left_out() -> None:
    """Alone, between texts, and all at once."""
    for blocks in [*INTERNAL.values(), [block for given in INTERNAL.values() for block in given]]:
        for given in [*([block] for block in blocks), blocks]:
            first = {"type": "text", "text": "It ", "citations": [{"type": "char_location"}]}
            content: list[Any] = [first, *given, {"type": "output_text", "text": "is 4."}]
            for message in (
                AIMessage(content, response_metadata=METADATA),
                ChatMessage(content, role="assistant", response_metadata=METADATA),
            ):
                assert build([message]) == [{"role": "assistant", "content": "It is 4."}], given
            (sent,) = build([AIMessage(given, response_metadata=METADATA)])  # type: ignore[arg-type]
            assert sent["content"] == ""


def test_bedrocks_texts_without_a_type_are_kept() -> None:
    """In assistant messages and in results of tools."""
    messages = [AIMessage([{"text": "One."}]), ToolMessage([{"text": "Two."}], tool_call_id="c")]

    assert [message["content"] for message in build(messages, tool_calling="native")] == [
        "One.",
        "Two.",
    ]


CALLS: dict[str, tuple[Json, str]] = {
    "Anthropic": ({"type": "tool_use", "id": "c", "name": "find", "input": {"a": 1}}, '{"a":1}'),
    "Anthropic, streamed": (
        {"type": "tool_use", "id": "c", "name": "find", "input": {}, "partial_json": '{"a": 1}'},
        '{"a":1}',
    ),
    "Anthropic, cut": (
        {"type": "tool_use", "id": "c", "name": "find", "input": {}, "partial_json": '{"a": '},
        '{"a": ',
    ),
    "Anthropic, without arguments": ({"type": "tool_use", "id": "c", "name": "find"}, "{}"),
    "OpenAI": (
        {"type": "function_call", "id": "i", "call_id": "c", "name": "find", "arguments": "{}"},
        "{}",
    ),
    "Google": ({"type": "function_call", "id": "c", "name": "find", "args": {"a": 1}}, '{"a":1}'),
    "LangChain": ({"type": "tool_call", "id": "c", "name": "find", "args": {"a": 1}}, '{"a":1}'),
}


def test_calls_as_blocks_are_calls() -> None:
    """Of each provider, if the message lists no calls of its own."""
    for name, (block, arguments) in CALLS.items():
        (sent,) = build([AIMessage([block])], tool_calling="native")
        function = {"name": "find", "arguments": arguments}
        assert sent["tool_calls"] == [{"id": "c", "type": "function", "function": function}], name


def test_calls_as_blocks_without_a_name_are_left_out() -> None:
    """And one without an id gets a generated one."""
    blocks = [{"type": "tool_use", "id": "c", "name": 1}, {"type": "tool_use", "name": "find"}]

    (sent,) = build([AIMessage(blocks)], tool_calling="native")  # type: ignore[arg-type]

    assert [call["id"] for call in sent["tool_calls"]] == ["call_find_0"]


# -- Results of tools ------------------------------------------------------------------------------


def test_results_that_cannot_be_sent_become_text() -> None:
    """In both modes, next to what can be sent."""
    content: list[Any] = [
        {"type": "text", "text": "Found:"},
        {"type": "resource_link", "uri": "https://e.example/a", "name": "a"},
        {"type": "json", "json": {"rows": 3}},
        {"type": "image", "base64": "broken"},
        {"type": "image", "file_id": "f"},
        {"type": ["x"]},
        "end",
    ]
    text = (
        'Found:\na: https://e.example/a\n{"rows":3}\nFile (4 bytes, not shown)\n'
        'File (stored under the id f, not shown)\n{"type":["x"]}\nend'
    )
    message = ToolMessage(content, tool_call_id="c", name="find")
    nested = HumanMessage([{"type": "tool_result", "tool_use_id": "c", "content": content}])

    for given in (message, nested):
        for model in (VISION, "Phi-4", None):
            (native,) = build([given], model=model, tool_calling="native")
            assert native["content"] == text
            (prompted,) = build([given], model=model, tool_calling="prompted")
            assert prompted["content"].endswith(f":\n{text}")


def test_results_in_wrong_types_become_text() -> None:
    """As Anthropic's blocks may hold them."""
    for content, text in ((5, "5"), ([5, None], "5\nnull"), ({"a": 1}, '{"a":1}'), (None, "")):
        block = {"type": "tool_result", "tool_use_id": "c", "content": content}
        (sent,) = build([HumanMessage([block])], tool_calling="native")
        assert sent["content"] == text


def test_images_of_results_are_found_in_each_form() -> None:
    """MCP's resources and Bedrock's blocks too."""
    data = base64.b64encode(PNG).decode()
    for block in (
        {"type": "image", "data": data, "mimeType": "image/png"},
        {"type": "resource", "resource": {"uri": "u", "mimeType": "image/png", "blob": data}},
        {"type": "non_standard", "value": {"type": "image", "base64": data}},
        {"image": {"format": "png", "source": {"bytes": PNG}}},
    ):
        sent = build([ToolMessage([block], tool_call_id="c")], model=VISION, tool_calling="native")  # type: ignore[list-item]
        assert sent[1]["content"][1:] == [WIRE_IMAGE]


def test_media_that_the_model_lacks_become_text() -> None:
    """A tool cannot know which model receives its screenshot."""
    message = ToolMessage(["Here.", WIRE_IMAGE], tool_call_id="c", name="draw")
    link = ToolMessage([{"type": "audio", "url": "https://e.example/a.mp3"}], tool_call_id="c")

    for tool_calling in ("native", "prompted"):
        (sent,) = build([message], model="Phi-4", tool_calling=tool_calling)
        assert sent["content"].endswith(f"Here.\nImage (image/png, {len(PNG)} bytes, not shown)")
        (sent,) = build([link], model=VISION, tool_calling=tool_calling)
        assert sent["content"].endswith("https://e.example/a.mp3")


def test_images_of_one_result_are_spread_over_messages() -> None:
    """Phi-3-vision accepts one in a message, and of a conversation the newest."""
    message = ToolMessage([WIRE_IMAGE, WIRE_IMAGE], tool_call_id="c", name="draw")

    for tool_calling in ("native", "prompted"):
        sent = build([message], model="Phi-3-vision-128k-instruct", tool_calling=tool_calling)
        contents = [wire["content"] for wire in sent if isinstance(wire["content"], list)]
        images = [sum(part == WIRE_IMAGE for part in content) for content in contents]
        assert sum(images) == 1
        assert images[-1] == 1


def test_file_names_that_are_no_unicode_are_sent() -> None:
    """Python reads undecodable bytes of Linux's file names as surrogates."""
    for content in ("caf\udce9.txt", [{"type": "text", "text": "caf\udce9.txt"}]):
        (sent,) = build([ToolMessage(content, tool_call_id="c")], tool_calling="native")  # type: ignore[arg-type]
        assert sent["content"] == "caf\ufffd.txt"
