"""The wire's JSON is read in every form that servers write it."""

import json
from typing import Any

import pytest
from langchain_core.utils.json import parse_partial_json

from langchain_azure_phi3 import InvalidResponseError, ModelInfo
from langchain_azure_phi3._response.model_info import parse_model_info
from langchain_azure_phi3._response.wire_response import (
    choice_logprobs,
    content_text,
    invalid_arguments_text,
    parse_usage,
    reasoning_content,
    response_metadata,
    sorted_choices,
    to_token_usage,
    tool_call_chunks,
    tool_calls,
    total_usage,
)
from langchain_azure_phi3._types import ResponseInfo
from tests.unit_tests._response.wire import COUNTS, INFO, USAGE, Json


def counts(given: int, produced: int, total: int, **details: Any) -> Json:
    """LangChain's form of a usage."""
    return {"input_tokens": given, "output_tokens": produced, "total_tokens": total, **details}


def call(arguments: Any, **fields: Any) -> Json:
    """A message with one call."""
    return {"tool_calls": [{"function": {"name": "f", "arguments": arguments}, **fields}]}


def test_model_info_without_a_name_is_an_error() -> None:
    """The rest is of no use then."""
    bodies: list[Json] = [{}, {"model_name": ""}, {"model_name": 7}]
    for found in bodies:
        with pytest.raises(InvalidResponseError, match="without a model_name") as caught:
            parse_model_info(found, INFO)
        assert (caught.value.request_id, caught.value.body) == ("r1", found)


def test_model_info_may_lack_the_rest() -> None:
    """Managed compute leaves the provider out, or empty."""
    complete = {"model_name": "m", "model_type": "chat-completion", "model_provider_name": "MS"}

    assert parse_model_info(complete, INFO) == ModelInfo("m", "chat-completion", "MS")
    assert parse_model_info({"model_name": "m", "model_provider_name": ""}, INFO) == ModelInfo("m")


USAGES: list[tuple[Any, Json | None]] = [
    ({"prompt_tokens": 19, "total_tokens": 91, "completion_tokens": 72}, counts(19, 72, 91)),
    ({"prompt_tokens": "19", "completion_tokens": "72"}, counts(19, 72, 91)),
    ({"prompt_tokens": 19, "total_tokens": 91}, counts(19, 72, 91)),
    ({"completion_tokens": 72, "total_tokens": 91}, counts(19, 72, 91)),
    ({"total_tokens": 91}, counts(91, 0, 91)),
    ({"prompt_tokens": 19}, counts(19, 0, 19)),
    ({"completion_tokens": 72}, counts(0, 72, 72)),
    ({"prompt_tokens": 19, "completion_tokens": 0, "total_tokens": 19}, counts(19, 0, 19)),
    ({"prompt_tokens": 19, "completion_tokens": None, "total_tokens": 19}, counts(19, 0, 19)),
    (
        {
            "prompt_tokens": 19,
            "completion_tokens": 72,
            "total_tokens": 91,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": None},
            "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
        },
        counts(
            19,
            72,
            91,
            input_token_details={"cache_read": 4},
            output_token_details={"reasoning": 5, "audio": 0},
        ),
    ),
    ({"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": []}, counts(1, 1, 2)),
    ({}, None),
    ({"prompt_tokens": "many"}, None),
    ({"prompt_tokens": float("inf")}, None),
    (None, None),
    ([], None),
]


def test_usage_is_read_in_every_form() -> None:
    """Missing figures follow from the others; without any figure there is no usage."""
    for usage, expected in USAGES:
        assert parse_usage({"usage": usage}) == expected
    assert parse_usage({}) is None


def test_usages_add_up() -> None:
    """An unknown one counts as none; details add up as well."""
    usage = parse_usage({"usage": {**USAGE, "prompt_tokens_details": {"cached_tokens": 1}}})
    assert usage is not None

    both = total_usage(usage, usage)

    assert both == counts(6, 4, 10, input_token_details={"cache_read": 2})
    assert total_usage(None, usage) == total_usage(usage, None) == usage
    assert total_usage(None, None) is None
    assert to_token_usage(usage) == {**USAGE, "prompt_tokens_details": {"cached_tokens": 1}}
    assert COUNTS.items() <= usage.items()


def test_text_is_read_in_every_form() -> None:
    """A leading space, which Phi often writes, stays."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "x"}, "y"]
    forms: list[tuple[Any, str]] = [
        ("word", "word"),
        (" a", " a"),
        (None, ""),
        (parts, "aby"),
        (7, "7"),
        ({"text": "a"}, "a"),
        ({"a": [1]}, '{"a": [1]}'),
        ([1, 2], "[1, 2]"),
    ]

    assert [content_text({"content": form}) for form, _ in forms] == [text for _, text in forms]
    assert content_text({}) == ""


def test_fields_of_other_types_are_ignored() -> None:
    """Null, or something that is not what the field is for."""
    for value in (None, 7, [], "x"):
        assert choice_logprobs({"logprobs": value}) == {}
    for value in (None, 7, []):
        assert reasoning_content({"reasoning_content": value}) == ""
        assert response_metadata({"model": value, "id": value}, ResponseInfo()) == {}
    assert response_metadata({"prompt_annotations": [1]}, INFO) == {
        "request_id": "r1",
        "prompt_filter_results": [1],
    }


def test_choices_are_sorted_by_their_index() -> None:
    """Servers list them in any order, and leave the index out for a single one."""
    choices = [{"index": 2, "a": 2}, "junk", {"a": 0}, {"index": "1", "a": 1}]

    assert [choice["a"] for choice in sorted_choices({"choices": choices})] == [0, 1, 2]
    for empty in (None, {}, [], "x", ["x"]):
        assert sorted_choices({"choices": empty}) == []


def test_missing_calls_are_written_in_many_ways() -> None:
    """Null, an empty list, or something that is not a call."""
    for calls in (None, [], "x", [None], [{"type": "function"}], [{"function": None}]):
        assert tool_calls({"tool_calls": calls}) == ([], [])
        assert tool_call_chunks({"tool_calls": calls}) == []


def test_call_has_its_arguments_as_an_object() -> None:
    """They come as JSON text, and from some servers as an object."""
    for arguments in ('{"a": 1}', {"a": 1}):
        assert tool_calls(call(arguments, id="c1")) == (
            [{"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}],
            [],
        )
    for arguments in ("", None):
        assert tool_calls(call(arguments))[0][0]["args"] == {}


def test_call_without_an_object_is_invalid() -> None:
    """It is kept as it came, with the reason and an id."""
    for arguments in ("{", "[1]", "7", "[" * 100_000):
        valid, (invalid,) = tool_calls(call(arguments))
        assert valid == []
        assert (invalid["name"], invalid["args"]) == ("f", arguments)
        assert "not a JSON object" in str(invalid["error"])
        assert str(invalid["id"]).startswith("call_")


def test_generated_call_ids_are_unique() -> None:
    """Across responses."""
    ids = [tool_calls(call("{}", id=given))[0][0]["id"] for given in (None, "", 7)]

    assert len(set(ids)) == 3


def test_pieces_of_calls_keep_what_they_carry() -> None:
    """The first has id and name, the others arguments; one without an index has its position."""
    first = {"id": "c1", "index": 0, "function": {"name": "f", "arguments": ""}}
    second = {"index": 0, "function": {"arguments": '{"a"'}}
    third = {"function": {"arguments": {"a": 1}}}

    pieces = tool_call_chunks({"tool_calls": [first, second, third]})

    assert [(p["name"], p["args"], p["id"], p["index"]) for p in pieces] == [
        ("f", "", "c1", 0),
        (None, '{"a"', None, 0),
        (None, '{"a": 1}', None, 2),
    ]


def test_invalid_arguments_never_parse_as_an_object() -> None:
    """LangChain would consider the call valid when it merges a stream."""
    for arguments, raw in (({"ü": 1}, ""), (None, '{"a": 1'), (None, ""), (None, "oops"), ({}, "")):
        text = invalid_arguments_text(arguments, raw)
        assert not isinstance(_parsed(text), dict)
        assert text
    assert json.loads(invalid_arguments_text({"ü": 1}, "")) == '{"ü": 1}'
    assert invalid_arguments_text(None, "oops") == "oops"


def _parsed(text: str) -> Any:
    try:
        return parse_partial_json(text)
    except ValueError:
        return None
