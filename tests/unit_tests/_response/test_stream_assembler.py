"""Streams become LangChain's chunks, which add up to the complete response."""

import json
from typing import Any

import pytest

from langchain_azure_phi3 import ContentFilterError, InvalidResponseError
from langchain_azure_phi3._request.build import ChatRequest, EndpointFeatures
from langchain_azure_phi3._response.complete import parse_completion
from langchain_azure_phi3._response.stream_assembler import StreamAssembler
from tests.unit_tests._response.wire import (
    CITY,
    COUNTS,
    INFO,
    PROVIDER,
    USAGE,
    WEATHER,
    WEATHER_CALL,
    Json,
    ai,
    ai_chunk,
    assemble,
    body,
    chat_request,
    deltas,
    merge,
)

INVALID_CALL = WEATHER_CALL.replace('"Ulm"', "{}")
JSON_OBJECT = {"type": "json_object"}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}
AUTO: Json = {"tools": [WEATHER]}
REQUIRED: Json = {"tools": [WEATHER], "tool_choice": "any"}
BOTH: Json = {"tools": [WEATHER], "response_format": JSON_SCHEMA}


def test_stream_without_a_choice_is_an_error() -> None:
    """Also where chunks of other content came."""
    streams: list[list[Json]] = [
        [],
        [{"choices": [], "usage": USAGE}],
        [{"choices": [{"index": 0, "delta": None, "finish_reason": None}]}],
    ]
    for bodies in streams:
        with pytest.raises(InvalidResponseError, match="ended without a choice"):
            assemble(chat_request(), bodies)


def test_filtered_stream_is_an_error() -> None:
    """With the text that was received and the categories, which may come in several chunks."""
    bodies = deltas("Once ", "upon", reason="content_filter")
    for category, each in zip(("hate", "violence"), bodies[1:], strict=True):
        results = {category: {"filtered": category == "violence"}}
        each["choices"][0]["content_filter_results"] = results

    with pytest.raises(ContentFilterError) as caught:
        assemble(chat_request(), bodies)

    assert (caught.value.partial, caught.value.request_id) == ("Once upon", "r1")
    assert {each.category: each.filtered for each in caught.value.filters} == {
        "hate": False,
        "violence": True,
    }


def test_filtered_stream_is_returned_on_request() -> None:
    """The finish reason says so."""
    request = chat_request(on_content_filter="return")

    merged = merge(assemble(request, deltas("Once", reason="content_filter")))

    assert merged.text == "Once"
    assert merged.generation_info == {"finish_reason": "content_filter"}


def test_text_is_passed_on_as_it_arrives() -> None:
    """Everything that is known only at the end comes in one last chunk."""
    assembler = StreamAssembler(chat_request({"model": "Phi-4"}))
    first, second, reason, usage = deltas("Hel", "lo", usage=USAGE)

    assert assembler.has_choice is False
    assert [chunk.text for chunk in assembler.feed(first, INFO)] == ["Hel"]
    assert assembler.has_choice is True
    assert [chunk.text for chunk in assembler.feed(second, INFO)] == ["lo"]
    assert (assembler.feed(reason, INFO), assembler.feed(usage, INFO)) == ([], [])
    assert assembler.received_text == "Hello"

    (last,) = assembler.finish()
    message = ai_chunk(last)
    assert (message.content, message.chunk_position) == ("", "last")
    assert last.generation_info == {"finish_reason": "stop"}
    assert message.usage_metadata == COUNTS
    assert message.response_metadata == {
        **PROVIDER,
        "model_name": "Phi-4",
        "token_usage": USAGE,
    }


def test_reasoning_is_passed_on_as_it_arrives() -> None:
    """From a field or from tags."""
    field = {"content": None, "reasoning_content": "Hm. "}

    chunks = assemble(chat_request(), deltas(field, "<think>So", ".</think>", "Hi"))

    reasoning = [chunk.message.additional_kwargs.get("reasoning_content") for chunk in chunks]
    assert reasoning == ["Hm. ", "So", ".", None, None]
    assert merge(chunks).text == "Hi"


def test_last_usage_of_a_stream_counts() -> None:
    """Some servers repeat a running total, or write null."""
    running = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    bodies = deltas("a", "b", usage=USAGE)
    for each, usage in zip(bodies, (running, None), strict=False):
        each["usage"] = usage

    merged = merge(assemble(chat_request(), bodies))

    assert ai_chunk(merged).usage_metadata == COUNTS


def test_usage_of_earlier_attempts_is_added() -> None:
    """The figure covers all attempts of a request."""
    assembler = StreamAssembler(chat_request())
    for each in deltas("a", usage=USAGE):
        assembler.feed(each, INFO)

    (last,) = assembler.finish(previous_usage={**COUNTS})  # type: ignore[typeddict-item]

    assert ai_chunk(last).usage_metadata == {name: 2 * n for name, n in COUNTS.items()}


def test_native_calls_keep_their_pieces() -> None:
    """Each call has one id, in its first piece; calls without ids get unique ones."""

    def piece(index: int, arguments: str, **fields: Any) -> Json:
        return {"index": index, "function": {"arguments": arguments, **fields}}

    bodies = deltas(
        {"tool_calls": [{**piece(0, "", name="f"), "id": "c1"}, piece(1, "", name="g")]},
        {"tool_calls": [{**piece(0, '{"a"'), "id": "c1"}, {**piece(1, "{}"), "id": "late"}]},
        {"tool_calls": [piece(0, ": 1}")]},
    )

    message = ai_chunk(merge(assemble(chat_request(), bodies)))

    assert [(c["name"], c["args"]) for c in message.tool_calls] == [("f", {"a": 1}), ("g", {})]
    first, second = (str(call["id"]) for call in message.tool_calls)
    assert first == "c1"
    assert second.startswith("call_")
    assert "late" not in second


def test_log_probabilities_stay_with_their_chunk() -> None:
    """LangChain adds them up."""
    bodies = deltas("a", "b")
    for each, token in zip(bodies, "ab", strict=False):
        each["choices"][0]["logprobs"] = {"content": [{"token": token}]}

    chunks = assemble(chat_request(), bodies)

    assert chunks[0].generation_info == {"logprobs": {"content": [{"token": "a"}]}}
    assert merge(chunks).generation_info == {
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": "a"}, {"token": "b"}]},
    }


def test_other_choices_of_a_stream_are_ignored() -> None:
    """A stream has one completion."""
    bodies = deltas("a")
    bodies[0]["choices"].append({"index": 1, "delta": {"content": "b"}})
    del bodies[0]["choices"][0]["index"]

    assert merge(assemble(chat_request(), bodies)).text == "a"


def test_complete_response_can_stand_for_a_stream() -> None:
    """From a server that ignores `stream`; a choice without a message is an error there too."""
    complete = body("Hi", message={"tool_calls": [{"id": "c", "function": {"name": "f"}}]})

    message = ai_chunk(merge(assemble(chat_request(), [{**complete, "usage": USAGE}])))

    assert (message.content, message.usage_metadata) == ("Hi", COUNTS)
    assert [(call["name"], call["id"]) for call in message.tool_calls] == [("f", "c")]
    with pytest.raises(InvalidResponseError, match="a choice without a message"):
        assemble(chat_request(), [body("", choice={"message": None})])


def test_score_route_can_stand_for_a_stream() -> None:
    """It never streams."""
    request = chat_request(endpoint=EndpointFeatures(is_score_route=True))

    assert merge(assemble(request, [{"output": "Hi"}])).text == "Hi"


def test_required_output_is_held_until_it_is_there() -> None:
    """After text, which may be reasoning, only the end tells; optional calls hold no text."""
    for call, pieces, expected in (
        (REQUIRED, [WEATHER_CALL, " Done."], [False] * 2),
        (REQUIRED, ["I ", "look. ", WEATHER_CALL, " Done."], [True] * 4),
        (AUTO, ["I ", "look. ", WEATHER_CALL, " Done."], [False] * 4),
        (AUTO, ['{"name": "dice", "arguments": {}}\n', "Done."], [True] * 2),
    ):
        assembler = StreamAssembler(chat_request(call), corrects=True)
        holding = []
        for each in deltas(*pieces)[:-1]:
            assembler.feed(each, INFO)
            holding.append(assembler.is_holding)
        assert holding == expected


ANSWERS: list[tuple[str, Json, str, str]] = [
    ("text", {}, " Hello  wörld 🙂\n", "stop"),
    ("reasoning", {}, "\n<think>a < b</think>\n\n Hello.", "stop"),
    ("reasoning that is cut off", {}, "<think>Hm.</th", "length"),
    ("calls", AUTO, f"{WEATHER_CALL}\n{WEATHER_CALL}", "stop"),
    ("call after text", AUTO, f"<think>Hm.</think>I look. {WEATHER_CALL}", "stop"),
    ("call of an unknown tool", AUTO, WEATHER_CALL.replace("weather", "dice"), "stop"),
    ("call that is cut off", AUTO, WEATHER_CALL[:-5], "length"),
    ("JSON that is no call", AUTO, 'Use {"a": 1}, or [].', "stop"),
    ("required call", REQUIRED, f"Sure. {WEATHER_CALL} Done.", "stop"),
    ("required call that is missing", REQUIRED, "<think>Hm.</think>It rains.", "stop"),
    (
        "required call that is invalid",
        REQUIRED,
        f"a {WEATHER_CALL.replace(chr(34) + 'Ulm' + chr(34), '{}')} b",
        "stop",
    ),
    ("object", {"tools": [], "response_format": JSON_OBJECT}, 'So: {"a": [1, {}]} Done.', "stop"),
    (
        "object in a fence",
        {"tools": [], "response_format": JSON_SCHEMA},
        '```json\n{"city": "Ulm"}\n```',
        "stop",
    ),
    ("object that is missing", {"tools": [], "response_format": JSON_OBJECT}, "No object.", "stop"),
    (
        "object that does not fit",
        {"tools": [], "response_format": JSON_SCHEMA},
        '{"town": 1}',
        "stop",
    ),
    (
        "object that is cut off",
        {"tools": [], "response_format": JSON_SCHEMA},
        '{"city": "U',
        "length",
    ),
    ("tools and format: object", BOTH, 'Well: {"city": "Ulm"}', "stop"),
    ("tools and format: call", BOTH, WEATHER_CALL, "stop"),
    (
        "call in the model's own format",
        {**AUTO, "model": "phi-4-mini"},
        f"<|tool_call|>[{WEATHER_CALL}]<|/tool_call|>",
        "stop",
    ),
]


def _decode(arguments: str) -> Any:
    """Arguments without the JSON string that streams need around them."""
    try:
        decoded = json.loads(arguments)
    except ValueError:
        return arguments
    return _decode(decoded) if isinstance(decoded, str) else decoded


def _summary(generation: Any) -> Json:
    """A generation without generated ids and without what only streams or only responses have."""
    message = ai(generation)
    metadata = dict(message.response_metadata)
    errors = metadata.pop("tool_call_errors", {})
    assert set(errors) == {call["id"] for call in message.invalid_tool_calls}
    return {
        "text": message.content,
        "extra": message.additional_kwargs,
        "calls": [(call["name"], call["args"]) for call in message.tool_calls],
        "invalid": [(c["name"], _decode(str(c["args"]))) for c in message.invalid_tool_calls],
        "errors": list(errors.values()),
        "metadata": metadata,
        "info": generation.generation_info,
    }


def _streamed(request: ChatRequest, pieces: list[str], reason: str) -> tuple[Json, Any, str]:
    """A stream's summary, what it lacks, and its text to quote."""
    assembler = StreamAssembler(request, corrects=True)
    chunks = [c for each in deltas(*pieces, reason=reason) for c in assembler.feed(each, INFO)]
    chunks += assembler.finish()
    return _summary(merge(chunks)), assembler.unmet_requirement, assembler.raw_text


def test_streamed_and_complete_results_are_equal() -> None:
    """Cut at every point of the text, and sent by the character."""
    for name, call, text, reason in ANSWERS:
        request = chat_request(call)
        complete = parse_completion(body(text, choice={"finish_reason": reason}), INFO, request)
        expected = _summary(complete.generations[0])
        unmet = complete.unmet_requirement
        cuts = ([text[:cut], text[cut:]] for cut in range(len(text) + 1))

        for pieces in (list(text), *cuts):
            streamed, lacking, raw_text = _streamed(request, pieces, reason)
            assert (streamed, lacking) == (expected, unmet), (name, pieces)
            assert unmet is None or raw_text == complete.raw_text, (name, pieces)
