"""Settings, messages and a call's arguments become one request."""

import json
import socket
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_azure_phi3 import ContextLengthError, InvalidInputError
from langchain_azure_phi3._request.build import (
    ChatRequest,
    EndpointFeatures,
    RequestSettings,
    build_request,
    fit_to_context,
)
from langchain_azure_phi3.models import find_model
from langchain_azure_phi3.tokens import TokenCounter

Json = dict[str, Any]

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
JSON_OBJECT = {"type": "json_object"}
USAGE = {"include_usage": True}
PASS = {"extra-parameters": "pass-through"}
CALL = {"name": "weather", "args": {"city": "Ulm"}, "id": "c1", "type": "tool_call"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


class Row(NamedTuple):
    """What is given to `build_request`, and what the request holds besides the messages."""

    payload: Json
    headers: Json = {}  # noqa: RUF012
    settings: Json = {}  # noqa: RUF012
    endpoint: Json = {}  # noqa: RUF012
    call: Json = {}  # noqa: RUF012
    stream: bool = False


def build(
    messages: list[BaseMessage] | None = None,
    call: Mapping[str, Any] | None = None,
    *,
    endpoint: Mapping[str, Any] | None = None,
    stream: bool = False,
    **settings: Any,
) -> ChatRequest:
    """A request, of a question unless other messages are given."""
    features = EndpointFeatures(**(endpoint or {}))
    given = [HumanMessage("Hi")] if messages is None else messages
    return build_request(
        RequestSettings(endpoint=features, **settings), given, call or {}, stream=stream
    )


REFUSED_CALLS: dict[str, tuple[Json, Json, str]] = {
    "temperature of text": ({"temperature": "hot"}, {}, "arguments of the call: temperature must"),
    "temperature that is not a number": ({"temperature": float("nan")}, {}, "temperature must"),
    "no completion": ({"n": 0}, {}, "n must"),
    "empty stop sequence": ({"stop": [""]}, {}, r"stop\[0\] must"),
    "negative corrections": ({"max_corrections": -1}, {}, "max_corrections must"),
    "unknown header": ({"extra_parameters": "maybe"}, {}, "extra_parameters must"),
    "tools that are not a list": ({"tools": TOOL}, {}, "tools must"),
    "extras that set messages": (
        {"model_extras": {"messages": [], "stream": True}},
        {},
        r"model_extras cannot set messages, stream\.",
    ),
    "extras of the model that stream": (
        {},
        {"parameters": {"model_extras": {"stream": True}}},
        r"model_extras cannot set stream\.",
    ),
    "top_logprobs alone": ({"top_logprobs": 2}, {}, r"top_logprobs needs logprobs=True\."),
    "JSON mode of a Phi": (
        {"response_format": JSON_OBJECT},
        {"model": "Phi-4"},
        "Phi-4 has no JSON mode: .* with_structured_output",
    ),
    "JSON mode of an unnamed model": (
        {},
        {"response_format": JSON_OBJECT},
        "A Phi deployment has no JSON mode",
    ),
    "no model where one is required": (
        {},
        {"endpoint": {"name": "Foundry resource", "model_field": "required"}},
        "The Foundry resource needs model=",
    ),
}


def test_impossible_call_is_refused() -> None:
    """Before anything is sent, in a sentence that names the parameter."""
    for name, (call, settings, message) in REFUSED_CALLS.items():
        with pytest.raises(InvalidInputError, match=message):
            pytest.fail(f"{name}: {build(call=call, **settings).payload}")


def test_validation_errors_hide_values_like_keys() -> None:
    """Whatever argument they were passed as; shorter texts and numbers are shown."""
    for call in (
        {"temperature": "canary-7d1f0a93c5e8b246"},
        {"stop": {"key": "canary"}},
        {"max_tokens": ["canary"]},
        {"logit_bias": {"50256": ("canary",)}},
        {"model_extras": "canary"},
    ):
        with pytest.raises(InvalidInputError) as caught:
            build(call=call)
        assert "canary" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="not 'hot'"):
        build(call={"temperature": "hot"})


def test_stream_of_several_completions_is_refused() -> None:
    """Wherever `n` comes from."""
    for call in ({"n": 2}, {"model_extras": {"n": 2}}):
        with pytest.raises(InvalidInputError, match="A stream has one completion"):
            build(call=call, stream=True)


def test_empty_conversation_is_refused() -> None:
    """Servers answer 422 to it; instructions for tools are no conversation either."""
    for call in ({}, {"tools": [TOOL]}):
        with pytest.raises(InvalidInputError, match="There is no message to send"):
            build([], call)


PAYLOADS: dict[str, Row] = {
    "nothing set": Row({}),
    "model": Row({"model": "Phi-4"}, settings={"model": "Phi-4"}),
    "model of the call": Row(
        {"model": "Phi-4"}, settings={"model": "Phi-3"}, call={"model": "Phi-4"}
    ),
    "model that the endpoint does not expect": Row(
        {}, settings={"model": "Phi-4"}, endpoint={"model_field": "omitted"}
    ),
    "model that the endpoint requires": Row(
        {"model": "Phi-4"}, settings={"model": "Phi-4"}, endpoint={"model_field": "required"}
    ),
    "parameters of the model": Row(
        {"temperature": 0, "seed": 7}, settings={"parameters": {"temperature": 0, "seed": 7}}
    ),
    "parameters of the call": Row(
        {"temperature": 0, "max_tokens": 5},
        settings={"parameters": {"temperature": 1, "max_tokens": 5}},
        call={"temperature": 0, "max_tokens": None},
    ),
    "extra parameter": Row(
        {"logprobs": True, "top_logprobs": 2}, PASS, call={"logprobs": True, "top_logprobs": 2}
    ),
    "unknown parameter": Row({"min_p": 0.1}, PASS, call={"min_p": 0.1}),
    "parameter native to the endpoint": Row(
        {"logprobs": True},
        endpoint={"native_parameters": frozenset({"logprobs"})},
        call={"logprobs": True},
    ),
    "header of the user": Row(
        {"n": 2}, {"extra-parameters": "drop"}, {"extra_parameters": "drop"}, call={"n": 2}
    ),
    "header of the call, in another spelling": Row(
        {}, PASS, {"extra_parameters": "drop"}, call={"extra_parameters": "Pass_Through"}
    ),
    "extras of model and call": Row(
        {"a": 1, "b": 2, "c": None, "temperature": 1},
        PASS,
        {"parameters": {"temperature": 0, "model_extras": {"a": 1, "b": 1}}},
        call={"model_extras": {"b": 2, "c": None, "temperature": 1}},
    ),
    "extras by LangChain's name": Row({"a": 1}, PASS, call={"model_kwargs": {"a": 1}}),
    "JSON mode forced by extras": Row(
        {"response_format": JSON_OBJECT}, call={"model_extras": {"response_format": JSON_OBJECT}}
    ),
    "deployment": Row({}, {"azureml-model-deployment": "blue"}, {"deployment": "blue"}),
    "stop sequences of model and call": Row(
        {"stop": ["a", "b", "c"]}, settings={"stop": ["a", "b"]}, call={"stop": ["b", "c"]}
    ),
    "stop sequence as text": Row({"stop": ["end"]}, call={"stop": "end"}),
    "stop sequences switched off": Row({}, settings={"stop": ["a"]}, call={"stop": []}),
    "arguments that are not sent": Row({}, call={"max_corrections": 3, "tool_choice": None}),
    "stream": Row({"stream": True}, stream=True),
    "stream with native usage": Row(
        {"stream": True, "stream_options": USAGE},
        endpoint={"native_parameters": frozenset({"stream_options"})},
        stream=True,
    ),
    "stream with usage as extra parameter": Row(
        {"stream": True, "stream_options": USAGE}, PASS, {"stream_usage": True}, stream=True
    ),
    "stream without usage": Row(
        {"stream": True},
        settings={"stream_usage": False},
        endpoint={"native_parameters": frozenset({"stream_options"})},
        stream=True,
    ),
    "stream with options of the user": Row(
        {"stream": True, "stream_options": {"include_usage": False}},
        PASS,
        {"stream_usage": True},
        call={"stream_options": {"include_usage": False}},
        stream=True,
    ),
    "text as response format": Row(
        {"response_format": {"type": "text"}}, call={"response_format": {"type": "text"}}
    ),
    "response format of the model, native": Row(
        {"response_format": JSON_OBJECT},
        settings={"tool_calling": "native", "response_format": JSON_OBJECT},
    ),
    "native tools": Row(
        {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
        {"extra-parameters": "pass-through"},
        {"tool_calling": "native"},
        call={"tools": [TOOL], "parallel_tool_calls": False},
    ),
    "native tool that is required": Row(
        {
            "tools": [TOOL],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
        },
        settings={"tool_calling": "native"},
        call={"tools": [TOOL], "tool_choice": "weather"},
    ),
    "prompted tools of an unknown model": Row(
        {"model": "other"},
        settings={"model": "other"},
        call={"tools": [TOOL], "tool_choice": "any"},
    ),
    "tools switched off": Row(
        {}, settings={"tool_calling": "native"}, call={"tools": [TOOL], "tool_choice": "none"}
    ),
    "prompted tools and format": Row({}, call={"tools": [TOOL], "response_format": JSON_OBJECT}),
}


@pytest.mark.parametrize("row", PAYLOADS.values(), ids=PAYLOADS)
def test_request_holds_exactly_what_was_requested(row: Row) -> None:
    """All fields besides the messages, and all headers."""
    request = build(call=row.call, endpoint=row.endpoint, stream=row.stream, **row.settings)

    fields = {name: value for name, value in request.payload.items() if name != "messages"}
    assert fields == row.payload
    assert request.headers == row.headers


def test_tool_calling_follows_model_and_endpoint() -> None:
    """An unknown name is that of a deployment of some Phi."""
    native = {
        ("auto", None, True): False,
        ("auto", "Phi-4", True): False,
        ("auto", "other", True): False,
        ("auto", "other", False): False,
        ("native", "Phi-4", False): True,
        ("prompted", "other", True): False,
    }

    for (tool_calling, model, has_tools), expected in native.items():
        request = build(
            call={"tools": [TOOL]},
            endpoint={"has_tools": has_tools},
            tool_calling=tool_calling,
            model=model,
        )
        assert ("tools" in request.payload) is expected
        assert request.has_native_output is expected


def test_prompted_output_stays_with_the_request() -> None:
    """The response is parsed by it; a call without tools and format leaves none."""
    prompted = build(call={"tools": [TOOL], "tool_choice": "any", "response_format": JSON_OBJECT})

    assert prompted.output is not None
    assert [tool.name for tool in prompted.output.allowed_tools] == ["weather"]
    assert prompted.output.requires_tool_call
    assert prompted.output.schema == {}
    assert build().output is None


def test_corrections_of_the_call_win() -> None:
    """Zero as well, which switches them off."""
    calls: tuple[Json, ...] = ({}, {"max_corrections": None}, {"max_corrections": 0})

    assert [build(call=c, max_corrections=2).max_corrections for c in calls] == [2, 2, 0]


def test_request_knows_how_its_model_writes() -> None:
    """An unknown model may write reasoning, and JSON for calls."""
    known = {
        None: (None, "plain", True),
        "other": (None, "plain", True),
        "Phi-4": ("Phi-4", "plain", False),
        "phi-4-mini": ("Phi-4-mini-instruct", "phi-4-mini", False),
        "Phi-4-reasoning": ("Phi-4-reasoning", "plain", True),
    }

    for name, expected in known.items():
        request = build(model="Phi-3", call={"model": name}) if name else build()
        phi = None if request.phi is None else request.phi.name
        assert request.model == name
        assert (phi, request.tool_format, request.parses_reasoning) == expected
    assert build(on_content_filter="return").on_content_filter == "return"


# -- The /score route ------------------------------------------------------------------------------

SCORE = {"is_score_route": True, "model_field": "omitted"}


def test_score_route_refuses_what_it_lacks() -> None:
    """In words that tell the way out."""
    refused: list[tuple[Json, str]] = [
        ({"n": 2}, "Leave n out"),
        ({"tools": [TOOL]}, "does not accept tool_choice, tools.* 'auto'"),
        ({"response_format": JSON_OBJECT}, "does not accept response_format"),
    ]

    for call, message in refused:
        request = build(call=call, endpoint=SCORE, tool_calling="native")
        with pytest.raises(InvalidInputError, match=message):
            request.wire_payload(request.payload)


def test_score_route_has_a_form_of_its_own() -> None:
    """With its own names, and without fields that it does not have."""
    request = build(
        call={
            "model": "Phi-4",
            "max_tokens": 5,
            "n": 1,
            "seed": 7,
            "response_format": {"type": "text"},
        },
        endpoint=SCORE,
        stream=True,
    )

    assert request.is_score_route
    assert request.wire_payload(request.payload) == {
        "input_data": {
            "input_string": [{"role": "user", "content": "Hi"}],
            "parameters": {"max_new_tokens": 5, "seed": 7},
        }
    }


def test_temperature_decides_about_sampling_on_score_route() -> None:
    """Unless the user does: servers that sample by default would ignore the temperature 0."""
    for call, samples in (
        ({"temperature": 0}, False),
        ({"temperature": 0.5}, True),
        ({"temperature": 0.5, "do_sample": False}, False),
    ):
        request = build(call=call, endpoint=SCORE)
        parameters = request.wire_payload(request.payload)["input_data"]["parameters"]
        assert parameters == {**call, "do_sample": samples}


def test_other_routes_take_the_payload_itself() -> None:
    """Nothing is copied."""
    request = build()

    assert request.wire_payload(request.payload) is request.payload


# -- What building a request costs -----------------------------------------------------------------


class _CountedList(list[BaseMessage]):
    """A list that counts the passes over it."""

    passes = 0

    def __iter__(self) -> Iterator[BaseMessage]:
        self.passes += 1
        return super().__iter__()

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("a message was looked up")


def _agent_conversation() -> list[BaseMessage]:
    """A conversation with everything that is converted."""
    use = {"type": "tool_use", "id": "c2", "name": "draw", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c2", "content": [IMAGE]}
    return [
        SystemMessage("Be brief."),
        HumanMessage([{"type": "text", "text": "Look: <|image_1|>"}, IMAGE]),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("18 degrees", tool_call_id="c1", name="weather"),
        AIMessage([use]),
        HumanMessage([result]),
    ]


def test_placeholders_in_tools_claim_no_image() -> None:
    """Neither in the prompt nor in the request's own field; those of text models stay."""
    function = {"name": "draw", "description": "See <|image_1|>.", "parameters": {}}
    for model in ("Phi-4-multimodal-instruct", None, "Phi-4"):
        for tool_calling in ("native", "prompted"):
            settings = RequestSettings(model=model, tool_calling=tool_calling)
            call = {"tools": [{"type": "function", "function": function}]}
            payload = json.dumps(build_request(settings, [HumanMessage("Hi")], call).payload)
            assert ("<|image_1|>" in payload) == (model == "Phi-4")
            assert ("<image_1>" in payload) == (model != "Phi-4")


def test_building_makes_one_pass_without_side_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the messages, for each model and tool format; nothing is looked up on the network."""
    monkeypatch.setattr(socket, "socket", None)
    for model in (None, "Phi-3-vision-128k-instruct", "Phi-4-multimodal-instruct"):
        for tool_calling in ("native", "prompted"):
            for mode in ("system", "user"):
                messages = _CountedList(_agent_conversation())
                call = {"tools": [deepcopy(TOOL)], "stop": ["a"], "model_extras": {"a": [1]}}
                build(
                    messages,
                    call,
                    model=model,
                    tool_calling=tool_calling,
                    system_message_mode=mode,
                )
                assert messages.passes == 1
                assert list(messages) == _agent_conversation()
                assert call == {"tools": [TOOL], "stop": ["a"], "model_extras": {"a": [1]}}


# -- The model's context ---------------------------------------------------------------------------


def test_bound_of_prompt_tokens_is_never_too_low() -> None:
    """No count that is meant to be too low exceeds it, for any text."""
    phi = find_model("Phi-4")
    for text in ("", "Hello", "你好" * 50, "\n" * 300, "\N{GRINNING FACE}" * 40):
        request = build([SystemMessage(text), HumanMessage(text)], model="Phi-4")
        fewest = replace(phi, context=0) if phi is not None else None
        with pytest.raises(ContextLengthError) as caught:
            TokenCounter(fewest).fit_max_tokens(request.payload, lower=False)
        assert request.max_prompt_tokens is not None
        assert _lowest(caught.value) <= request.max_prompt_tokens


def _lowest(error: ContextLengthError) -> int:
    """The lowest number of tokens that the error states."""
    return int(str(error).split("at least ")[1].split(", and")[0].replace(",", ""))


def test_prompts_beyond_plain_text_have_no_bound() -> None:
    """Images, calls and tools have to be counted."""
    conversations: list[list[BaseMessage]] = [
        [HumanMessage([IMAGE])],
        [AIMessage("", tool_calls=[CALL])],
    ]

    for messages in conversations:
        assert build(messages, tool_calling="native").max_prompt_tokens is None
    assert build(call={"tools": [TOOL]}, tool_calling="native").max_prompt_tokens is None
    assert build(call={"tools": [TOOL]}).max_prompt_tokens is not None


def test_prompt_beyond_the_context_is_refused() -> None:
    """Of a known model; of an unknown one no context is known."""
    long = [HumanMessage("word " * 5_000)]
    settings = RequestSettings(model="Phi-3-mini-4k-instruct")

    with pytest.raises(ContextLengthError, match=r"context of 4,096.*Nothing was sent\."):
        fit_to_context(build_request(settings, long, {}), settings)
    for name in (None, "other", "Phi-3-mini-128k-instruct"):
        settings = RequestSettings(model=name)
        request = build_request(settings, long, {})
        assert fit_to_context(request, settings).payload == request.payload


def test_max_tokens_is_lowered_to_what_fits() -> None:
    """Only on request, and in a copy."""
    settings = RequestSettings(model="Phi-3-mini-4k-instruct", parameters={"max_tokens": 4_000})
    request = build_request(settings, [HumanMessage("word " * 1_000)], {})

    assert fit_to_context(request, settings) == request
    fitted = fit_to_context(request, replace(settings, fit_max_tokens=True))
    assert 2_000 < fitted.payload["max_tokens"] < 3_096
    assert request.payload["max_tokens"] == 4_000
    assert fitted.payload["messages"] == request.payload["messages"]
