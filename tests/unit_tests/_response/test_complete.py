"""Complete responses become generations."""

import pytest

from langchain_azure_phi3 import ContentFilterError, InvalidResponseError, ServerError
from langchain_azure_phi3._request.build import EndpointFeatures
from langchain_azure_phi3._response.complete import parse_completion
from langchain_azure_phi3._types import ResponseInfo
from tests.unit_tests._response.wire import (
    COUNTS,
    INFO,
    PROVIDER,
    USAGE,
    WEATHER,
    WEATHER_CALL,
    Json,
    ai,
    body,
    chat_request,
)

FILTERED = {
    "finish_reason": "content_filter",
    "content_filter_results": {"violence": {"filtered": True, "severity": "high"}},
}


def test_response_without_choices_is_an_error() -> None:
    """With what is known of the response."""
    empty: list[Json] = [{}, {"choices": []}, {"choices": None}, {"choices": ["x"]}]
    for found in empty:
        with pytest.raises(InvalidResponseError, match="no choices") as caught:
            parse_completion(found, ResponseInfo(200, "r1"), chat_request())
        error = caught.value
        assert (error.status_code, error.request_id, error.body) == (200, "r1", found)


def test_choice_without_a_message_is_an_error() -> None:
    """Unless the filter left it out: managed compute answers any failure so."""
    with pytest.raises(InvalidResponseError, match="a choice without a message"):
        parse_completion({"choices": [{"finish_reason": "stop"}]}, INFO, chat_request())

    filtered = {"choices": [{"finish_reason": "content_filter"}]}
    request = chat_request(on_content_filter="return")
    assert ai(parse_completion(filtered, INFO, request).generations[0]).content == ""


def test_filtered_completion_is_an_error() -> None:
    """With the text before the filter, the categories and the usage."""
    found = body("Once upon", choice=FILTERED, usage=USAGE)

    with pytest.raises(ContentFilterError, match="on_content_filter='return'") as caught:
        parse_completion(found, INFO, chat_request())

    error = caught.value
    assert (error.partial, error.usage_metadata, error.stage) == ("Once upon", COUNTS, "completion")
    assert (error.code, error.request_id, error.body) == ("content_filter", "r1", found)
    assert [each.category for each in error.filters if each.filtered] == ["violence"]


def test_filtered_completion_is_returned_on_request() -> None:
    """The finish reason says so."""
    request = chat_request(on_content_filter="return")

    completion = parse_completion(body("Once upon", choice=FILTERED), INFO, request)

    assert completion.generations[0].text == "Once upon"
    assert completion.generations[0].generation_info == FILTERED


def test_failed_score_route_is_an_error() -> None:
    """It fails with status 200: an empty object, or the word None."""
    request = chat_request(endpoint=EndpointFeatures(is_score_route=True))
    failed: list[tuple[Json, str]] = [
        ({}, "200 with an empty object"),
        ({"output": "None"}, "output 'None'"),
        ({"output": None, "message": {}}, "output None"),
    ]

    for found, message in failed:
        with pytest.raises(ServerError, match=message):
            parse_completion(found, INFO, request)


def test_score_route_response_is_read() -> None:
    """The text stands outside the message; `None` is a word where there is a message."""
    request = chat_request(endpoint=EndpointFeatures(is_score_route=True))
    call = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    found = {
        "output": "None",
        "message": {"role": "assistant"},
        "tool_calls": [call],
        "reasoning_content": "Hm.",
        "finish_reason": "stop",
        "usage": USAGE,
        "id": "i1",
    }

    completion = parse_completion(found, INFO, request)

    message = ai(completion.generations[0])
    assert (message.content, message.tool_calls[0]["id"]) == ("None", "c1")
    assert message.additional_kwargs == {"reasoning_content": "Hm."}
    assert message.response_metadata == {**PROVIDER, "id": "i1", "request_id": "r1"}
    assert completion.generations[0].generation_info == {"finish_reason": "stop"}
    assert completion.usage == COUNTS
    assert parse_completion({"output": "Hi"}, INFO, request).generations[0].text == "Hi"


def test_generation_holds_what_the_response_states() -> None:
    """Text, metadata, finish reason, log probabilities and usage."""
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1}]}
    results = {"hate": {"filtered": False}}
    found = body(
        " Hi",
        choice={"logprobs": logprobs, "content_filter_results": results},
        model="phi-4",
        id="i1",
        system_fingerprint="fp",
        prompt_filter_results=[{"prompt_index": 0}],
        usage=USAGE,
    )

    completion = parse_completion(found, INFO, chat_request(model="other"))

    (generation,) = completion.generations
    assert generation.text == " Hi"
    assert generation.generation_info == {
        "finish_reason": "stop",
        "logprobs": logprobs,
        "content_filter_results": results,
    }
    assert ai(generation).response_metadata == {
        **PROVIDER,
        "model_name": "phi-4",
        "id": "i1",
        "request_id": "r1",
        "system_fingerprint": "fp",
        "prompt_filter_results": [{"prompt_index": 0}],
    }
    assert completion.usage == COUNTS


def test_bare_response_has_the_requested_model() -> None:
    """Where the server states nothing."""
    completion = parse_completion(body("Hi"), ResponseInfo(), chat_request(model="Phi-4"))

    (generation,) = completion.generations
    assert ai(generation).response_metadata == {**PROVIDER, "model_name": "Phi-4"}
    assert ai(generation).additional_kwargs == {}
    assert (completion.usage, completion.unmet_requirement, completion.raw_text) == (None, None, "")


def test_several_choices_are_generations_in_order() -> None:
    """Each with metadata of its own."""
    choices = [{"index": i, "message": {"content": text}} for i, text in ((1, "b"), (0, "a"))]

    completion = parse_completion({"choices": choices}, INFO, chat_request({"n": 2}))

    first, second = completion.generations
    assert [first.text, second.text] == ["a", "b"]
    assert ai(first).response_metadata == ai(second).response_metadata
    assert ai(first).response_metadata is not ai(second).response_metadata


def test_reasoning_is_separated_from_the_text() -> None:
    """From a field, from tags, or from both; a model without reasoning keeps its tags."""
    tagged = "<think>a</think>b"
    field = {"reasoning_content": "Hm. "}

    for model, message, expected in (
        ("Phi-4-reasoning", {}, ("a", "b")),
        (None, field, ("Hm. a", "b")),
        ("Phi-4", field, ("Hm. ", tagged)),
        ("Phi-4", {}, (None, tagged)),
    ):
        completion = parse_completion(
            body(tagged, message=message), INFO, chat_request(model=model)
        )
        found = ai(completion.generations[0])
        assert (found.additional_kwargs.get("reasoning_content"), found.content) == expected


def test_native_and_prompted_calls_are_tool_calls() -> None:
    """Native ones first; those without an id get one."""
    native = [
        {"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}},
        {"id": "c2", "function": {"name": "weather", "arguments": "{"}},
    ]

    completion = parse_completion(
        body(f"I look.\n{WEATHER_CALL}", message={"tool_calls": native}),
        INFO,
        chat_request({"tools": [WEATHER]}),
    )

    message = ai(completion.generations[0])
    assert [call["args"] for call in message.tool_calls] == [{"city": "Bonn"}, {"city": "Ulm"}]
    first, second = (call["id"] for call in message.tool_calls)
    assert first == "c1"
    assert second is not None
    assert second.startswith("call_")
    assert [call["id"] for call in message.invalid_tool_calls] == ["c2"]
    assert message.text.strip() == "I look."


def test_ids_of_prompted_calls_are_unique() -> None:
    """Across responses, so that an agent's results match."""
    request = chat_request({"tools": [WEATHER]})
    text = f"{WEATHER_CALL}\n{WEATHER_CALL}"

    messages = [ai(parse_completion(body(text), INFO, request).generations[0]) for _ in "ab"]

    assert len({call["id"] for message in messages for call in message.tool_calls}) == 4


def test_invalid_prompted_call_states_its_error() -> None:
    """On the call, and in the metadata by id, where a stream has it as well."""
    request = chat_request({"tools": [WEATHER]})
    text = '{"name": "weather", "arguments": {"city": {}}}'

    message = ai(parse_completion(body(text), INFO, request).generations[0])

    (call,) = message.invalid_tool_calls
    assert message.tool_calls == []
    assert call["error"]
    assert message.response_metadata["tool_call_errors"] == {call["id"]: call["error"]}


def test_missing_call_is_an_unmet_requirement() -> None:
    """Of the first choice that misses it, with its text to quote."""
    request = chat_request({"tools": [WEATHER], "tool_choice": "any", "n": 4})
    found = body(WEATHER_CALL)
    for index, text in enumerate(("<think>Hm.</think>No.", WEATHER_CALL, "Never."), 1):
        found["choices"].append({"index": index, "message": {"content": text}})

    completion = parse_completion(found, INFO, request)

    assert completion.unmet_requirement is not None
    assert "no tool call" in completion.unmet_requirement
    assert completion.raw_text == "No."
    first, second, third, _ = map(ai, completion.generations)
    for accepted in (first, third):
        assert "unmet_requirement" not in accepted.response_metadata
    assert second.response_metadata["unmet_requirement"] == completion.unmet_requirement
    assert second.content == "No."


def test_required_object_is_the_only_text() -> None:
    """Compact JSON; the words around it are dropped."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    json_schema = {"type": "json_schema", "json_schema": {"schema": schema}}
    for response_format in ({"type": "json_object"}, json_schema):
        request = chat_request({"tools": [], "response_format": response_format})
        found = body('Sure:\n```json\n{"a": 1}\n```\nDone.')

        completion = parse_completion(found, INFO, request)

        assert completion.generations[0].text == '{"a":1}'
        assert completion.unmet_requirement is None
