"""Whatever users, models and servers send: the result is an answer or an error of this package.

No other exception may escape. `make fuzz` runs the same tests with more examples.
"""

import asyncio
import json
import pickle
from collections.abc import Sequence
from typing import Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call
from pydantic import BaseModel

from langchain_azure_phi3 import AzurePhi3Error, ChatAzurePhi3, InvalidInputError
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.unit_tests.scripted import STREAM, Scripted, model_on

# -- calls ---------------------------------------------------------------------------------------


def get_weather(city: str, days: int = 1) -> str:
    """What the weather in a city is."""
    return f"{city}: sunny for {days} days"


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


class Place(TypedDict):
    """Somewhere."""

    city: str


def with_output(model: ChatAzurePhi3, output: str) -> Any:
    """The model, with tools or structured output."""
    tools = [get_weather, Person]
    models = {
        "plain": lambda: model,
        "tools": lambda: model.bind_tools(tools),
        "required": lambda: model.bind_tools(tools, tool_choice="any"),
        "only tool": lambda: model.bind_tools([get_weather], tool_choice="get_weather"),
        "format": lambda: model.bind_tools([get_weather], response_format=Person),
        "object": lambda: model.with_structured_output(Person),
        "typed": lambda: model.with_structured_output(Place, method="json_mode"),
        "by tool": lambda: model.with_structured_output(Person, method="function_calling"),
        "raw": lambda: model.with_structured_output(Person, include_raw=True),
    }
    return models[output]()


MESSAGE_OUTPUTS = ("plain", "tools", "required", "only tool", "format")
STRUCTURED_OUTPUTS = ("object", "typed", "by tool")
OUTPUTS = (*MESSAGE_OUTPUTS, *STRUCTURED_OUTPUTS, "raw")


def call(
    model: ChatAzurePhi3, output: str, method: str, question: Any = "Hi", /, **kwargs: Any
) -> Any:
    """The checked result of one call: a message, an object, or an error of this package."""
    if "stream" in method and output not in MESSAGE_OUTPUTS:
        method = "invoke"  # objects do not stream
    parsing = (OutputParserException,) if output in STRUCTURED_OUTPUTS else ()
    try:
        result = asyncio.run(call_model(with_output(model, output), method, question, **kwargs))
    except (AzurePhi3Error, *parsing) as error:
        check_error(error)
        return error
    if output in MESSAGE_OUTPUTS:
        check_message(result)
    elif output == "raw":
        check_message(result["raw"])
    else:
        assert isinstance(result, Person | dict)
    return result


def check_error(error: Exception) -> None:
    """An error can be shown, stored and pickled."""
    assert str(error) != ""
    if isinstance(error, AzurePhi3Error):
        assert json.dumps([error.usage_metadata, error.partial, error.retry_after])
        assert str(error) == str(pickle.loads(pickle.dumps(error)))


def check_message(message: Any) -> None:
    """A message has the types that LangChain promises, and is JSON."""
    assert isinstance(message, AIMessage)
    assert isinstance(message.content, str)
    assert isinstance(message.text, str)
    assert json.dumps(
        [message.response_metadata, message.usage_metadata, message.additional_kwargs]
    )
    for valid_call in message.tool_calls:
        assert isinstance(valid_call["name"], str)
        assert isinstance(valid_call["args"], dict)
        assert isinstance(valid_call["id"], str)
    for invalid_call in message.invalid_tool_calls:
        assert isinstance(invalid_call["args"], str)
    for count in (message.usage_metadata or {}).values():
        assert isinstance(count, int | dict)
    message.model_dump_json()
    assert isinstance(message.content_blocks, list)
    message.pretty_repr()


# -- input of users ------------------------------------------------------------------------------

TEXT = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(categories=["Cs", "Lu", "Cc"]), max_size=3),
    st.sampled_from(["", " ", "\ud83d", "<|end|>", "```json\n{", "data: x"]),
    st.just(2_000).map("x".__mul__),
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.binary(max_size=4)
    | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXT, inner, max_size=3)
        | st.tuples(inner)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=6,
)
BLOCK_TYPES = st.sampled_from(
    [
        *("text", "image_url", "image", "audio", "input_audio", "tool_use", "tool_call", "file"),
        *("reasoning", "video", "text-plain", "non_standard", "thinking", "refusal", ""),
    ]
)
BLOCK_KEYS = st.sampled_from(
    [
        *("type", "text", "image_url", "url", "base64", "data", "source", "input", "id", "index"),
        *("mime_type", "source_type", "input_audio", "extras", "reasoning", "value"),
    ]
)
BLOCK = st.builds(
    lambda block_type, rest: {"type": block_type, **rest},
    BLOCK_TYPES | TEXT,  # LangChain itself fails at a type that cannot be hashed
    st.dictionaries(BLOCK_KEYS, ANYTHING, max_size=4),
)
CONTENT = TEXT | st.lists(TEXT | BLOCK, max_size=3)
NAMES = st.none() | TEXT
ARGUMENTS = st.dictionaries(TEXT, ANYTHING, max_size=3)


def instances_of(type_: Any, **fields: Any) -> st.SearchStrategy[Any]:
    """Instances of one type with these fields."""
    return st.fixed_dictionaries(fields).map(lambda given: type_(**given))


CALLS = st.lists(instances_of(tool_call, name=TEXT, args=ARGUMENTS, id=NAMES), max_size=2)
INVALID_CALLS = st.lists(
    instances_of(invalid_tool_call, name=NAMES, args=NAMES, id=NAMES, error=NAMES), max_size=2
)
LEGACY = st.dictionaries(
    st.sampled_from(["function_call", "tool_calls", "reasoning_content"]), ANYTHING, max_size=2
)
MESSAGES = st.one_of(
    instances_of(HumanMessage, content=CONTENT, name=NAMES),
    instances_of(SystemMessage, content=CONTENT, name=NAMES),
    instances_of(
        AIMessage,
        content=CONTENT,
        name=NAMES,
        tool_calls=CALLS,
        invalid_tool_calls=INVALID_CALLS,
        additional_kwargs=LEGACY.filter(lambda given: "tool_calls" not in given),
    ),
    instances_of(AIMessageChunk, content=TEXT),
    instances_of(
        ToolMessage,
        content=CONTENT,
        tool_call_id=TEXT,
        name=NAMES,
        status=st.sampled_from(["success", "error"]),
    ),
    instances_of(FunctionMessage, content=CONTENT, name=TEXT),
    instances_of(ChatMessage, content=CONTENT, role=TEXT | st.sampled_from(["user", "developer"])),
    instances_of(RemoveMessage, id=TEXT),
)
METHOD = st.sampled_from(CALL_MODES)
COMPLETION = {"choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}]}
ANSWER = [json.dumps(COMPLETION).encode()]


def check_sent(transport: Scripted) -> None:
    """Every request has the form of Azure's API."""
    for content in transport.sent:
        payload = json.loads(content)
        content.decode("utf-8")
        assert payload["messages"]
        for message in payload["messages"]:
            assert isinstance(message["role"], str)
            assert isinstance(message["content"], str | list)


@given(st.lists(MESSAGES, max_size=4), st.sampled_from(OUTPUTS), METHOD, st.booleans())
def test_any_conversation_is_sent_or_rejected(
    messages: list[BaseMessage], output: str, method: str, folded: bool
) -> None:
    """All of LangChain's messages, with arbitrary content."""
    transport = Scripted(ANSWER)
    model = model_on(transport, system_message_mode="user" if folded else "auto", max_corrections=0)

    result = call(model, output, method, messages)

    check_sent(transport)
    assert transport.sent or isinstance(result, InvalidInputError)


PARAMETERS = st.sampled_from(
    [
        *("temperature", "top_p", "max_tokens", "presence_penalty", "frequency_penalty", "stop"),
        *("seed", "response_format", "logprobs", "top_logprobs", "logit_bias", "n", "top_k"),
        *("model", "model_extras", "extra_parameters", "tools", "tool_choice", "max_corrections"),
        *("parallel_tool_calls", "stream", "messages", "user", "x\ud83d", ""),
    ]
)
PARAMETER_VALUES = st.sampled_from(
    [
        *("auto", "any", "get_weather", "pass-through", "Phi-4", "Phi-3-mini-4k-instruct", "1"),
        *({"type": "json_object"}, {"type": "json_schema", "json_schema": None}, {"type": "text"}),
        *([{"type": "function", "function": {"name": "f"}}], [{"function": {}}], [{}], [None]),
        *({"messages": []}, {"stream": True}, {"a": float("nan")}, {"type": "json_schema"}),
        *({"type": "function", "function": {"name": None}}, {"type": []}, {"name": []}, 0, 10**400),
        [{"type": "function", "function": {"name": "f", "parameters": [], "description": 3}}],
        [{"type": "function", "function": {"name": "f", "parameters": {"properties": 3}}}],
        {"type": "json_schema", "json_schema": {"schema": {"type": 3, "properties": []}}},
    ]
)


@given(st.dictionaries(PARAMETERS, PARAMETER_VALUES | ANYTHING, max_size=3), METHOD)
def test_any_parameter_is_sent_or_rejected(parameters: dict[str, Any], method: str) -> None:
    """Of the right type, the wrong one, or unknown."""
    transport = Scripted(ANSWER)
    # `stream` and `stop` are arguments of LangChain's own methods, with types of their own.
    own = {key: parameters[key] for key in parameters if key not in ("stream", "messages", "")}

    result = call(model_on(transport), "plain", method, **own)

    check_sent(transport)
    assert transport.sent or isinstance(result, InvalidInputError)


SETTINGS = PARAMETERS | st.sampled_from(
    [
        *("endpoint", "credential", "api_key", "tool_calling", "timeout", "max_retries"),
        *("max_retry_wait", "default_headers", "deployment", "api_version", "credential_scopes"),
        *("on_content_filter", "system_message_mode", "streaming", "stream_usage"),
    ]
)
VALUES = (
    PARAMETER_VALUES
    | ANYTHING
    | st.sampled_from(
        [
            *(
                "native",
                "prompted",
                (1, 2),
                -1,
                {"a": "b"},
                {"é": "ü"},
                {"a": "\n"},
                "https://[::1",
            ),
            *(
                "http://phi",
                "https://x:99999",
                "https://phi.services.ai.azure.com",
                b"key",
                "schlüssel",
            ),
        ]
    )
)


@given(st.dictionaries(SETTINGS, VALUES, max_size=3), METHOD)
def test_any_setting_works_or_is_rejected(fields: dict[str, Any], method: str) -> None:
    """At construction or, at the latest, before anything is sent."""
    transport = Scripted(ANSWER)
    fields = {key: fields[key] for key in fields if isinstance(key, str) and key != ""}
    try:
        model = model_on(transport).model_copy() if not fields else build_model(transport, fields)
    except InvalidInputError:
        return

    result = call(model, "plain", method)

    check_sent(transport)
    assert transport.sent or isinstance(result, InvalidInputError)


def build_model(transport: Scripted, fields: dict[str, Any]) -> ChatAzurePhi3:
    """A model with these settings over `transport`."""
    default = model_on(transport)
    clients = {name: getattr(default, name) for name in ("http_client", "http_async_client")}
    own = {"endpoint": "https://phi.example", "credential": "canary-of-settings", **fields}
    if "api_key" in fields and "credential" not in fields:
        del own["credential"]
    return ChatAzurePhi3(**own, **clients)


# -- output of servers ---------------------------------------------------------------------------

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["stop", "length", "content_filter", "assistant", "\ud83d", "1", "[DONE]"])
)
JSON_KEYS = st.sampled_from(
    [
        *("choices", "message", "delta", "content", "tool_calls", "function", "arguments", "name"),
        *("usage", "prompt_tokens", "completion_tokens", "total_tokens", "finish_reason", "index"),
        *("error", "object", "id", "model", "logprobs", "content_filter_results", "text", "type"),
        *("prompt_filter_results", "reasoning_content", "role", "completion_tokens_details"),
        *("prompt_tokens_details", "reasoning_tokens", "cached_tokens", "system_fingerprint"),
    ]
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JSON_KEYS, inner, max_size=4),
    max_leaves=10,
)
CALL = '{"name": "get_weather", "arguments": {"city": "Rom", "days": 2}}'
TEXTS = ("Grüße 😀", CALL, '{"name": "Ann", "age": 41}', f"<think>Hm</think>```json\n{CALL}\n```")
NATIVE = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
COUNTED = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
DETAILED = {**COUNTED, "completion_tokens_details": {"reasoning_tokens": 1}}


def completion(text: str) -> dict[str, Any]:
    """A complete answer with all that answers may hold."""
    message = {"role": "assistant", "content": text, "tool_calls": [NATIVE]}
    tokens = [{"token": "a", "logprob": -0.1, "bytes": None, "top_logprobs": []}]
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "phi",
        "choices": [
            {
                "index": 0,
                "message": {**message, "reasoning_content": "Hm"},
                "finish_reason": "stop",
                "logprobs": {"content": tokens},
                "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
            }
        ],
        "usage": DETAILED,
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
    }


def chunks_of(text: str) -> list[dict[str, Any]]:
    """The chunks of the same answer as a stream."""
    complete = completion(text)
    choice = complete["choices"][0]
    head = {key: complete[key] for key in ("id", "created", "model")}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text[at : at + 7]} for at in range(0, len(text), 7)]
    deltas += [{"tool_calls": [{"index": 0, **NATIVE}]}, {"reasoning_content": "Hm"}]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    end = {"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": choice["logprobs"]}
    end["content_filter_results"] = choice["content_filter_results"]
    filters = {"choices": [], "prompt_filter_results": complete["prompt_filter_results"]}
    return [filters, *chunks, {**head, "choices": [end]}, {"choices": [], "usage": DETAILED}]


def nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in items:
        found.append((*path, key))
        if isinstance(inner, dict | list):
            found += nodes(inner, (*path, key))
    return found


def replace_at(value: Any, path: Sequence[Any], new: Any) -> Any:
    """A copy of a JSON value with another value at `path`; `...` removes it."""
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new is ...:
        del copied[path[0]]
    else:
        copied[path[0]] = replace_at(copied[path[0]], path[1:], new)
    return copied


@st.composite
def mutations(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one to three of its nodes replaced or removed."""
    for _ in range(draw(st.integers(1, 3))):
        paths = nodes(value)
        if paths:
            value = replace_at(value, draw(st.sampled_from(paths)), draw(st.just(...) | JSON))
    return value


def to_json(value: Any) -> bytes:
    """JSON bytes, also of what JSON does not have, such as NaN."""
    return json.dumps(value, ensure_ascii=True).encode()


BODIES = st.one_of(
    st.sampled_from(TEXTS).map(completion).flatmap(mutations).map(to_json),
    JSON.map(to_json),
    st.binary(max_size=30),
    st.builds(
        lambda body, at, junk: body[:at] + junk + body[at:],
        st.sampled_from(TEXTS).map(completion).map(to_json),
        st.integers(0, 400),
        st.binary(max_size=4),
    ),
)
STATUSES = st.sampled_from([200, 200, 200, 200, 201, 204, 302, 400, 401, 422, 424, 429, 500])


@given(BODIES, STATUSES, st.sampled_from(OUTPUTS), METHOD)
def test_any_body_is_an_answer_or_error(body: bytes, status: int, output: str, method: str) -> None:
    """Arbitrary bytes, arbitrary JSON, and real completions with nodes changed."""
    transport = Scripted([body], status=status, headers={"content-type": "application/json"})

    call(model_on(transport), output, method)


def sse_event(chunk: Any) -> bytes:
    """One event."""
    return b"data: " + (chunk if isinstance(chunk, bytes) else to_json(chunk)) + b"\n\n"


@st.composite
def event_streams(draw: st.DrawFn) -> list[bytes]:
    """A real stream with events changed, cut, repeated, swapped or garbled, in odd pieces."""
    chunks = chunks_of(draw(st.sampled_from(TEXTS)))
    events = [sse_event(chunk) for chunk in chunks] + [sse_event(b"[DONE]")]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(events) - 1))
        other = draw(st.integers(0, len(events) - 1))
        change = draw(
            st.sampled_from(["mutate", "drop", "repeat", "swap", "cut", "junk", "insert"])
        )
        if change == "mutate" and at < len(chunks):
            events[at] = sse_event(draw(mutations(chunks[at])))
        elif change == "drop" and len(events) > 1:
            del events[at]
        elif change == "repeat":
            events.insert(at, events[at])
        elif change == "swap":
            events[at], events[other] = events[other], events[at]
        elif change == "cut":
            events[at] = events[at][: draw(st.integers(0, 40))]
        elif change == "junk":
            where = draw(st.integers(0, 40))
            events[at] = events[at][:where] + draw(st.binary(max_size=4)) + events[at][where:]
        else:
            events.insert(at, sse_event(draw(JSON)))
    stream = b"".join(events)
    size = draw(st.sampled_from([1, 7, 1000, 10**6]))
    return [stream[at : at + size] for at in range(0, len(stream), size)]


@given(
    event_streams() | st.lists(st.binary(max_size=12), max_size=5),
    st.sampled_from(MESSAGE_OUTPUTS),
    st.sampled_from(["stream", "astream"]),
)
def test_any_stream_is_an_answer_or_error(pieces: list[bytes], output: str, method: str) -> None:
    """Chunks merge, whatever the server omits, repeats or swaps."""
    call(model_on(Scripted(pieces, headers=STREAM)), output, method)


@pytest.mark.parametrize("method", CALL_MODES)
def test_deep_values_are_no_recursion_error(method: str) -> None:
    """In calls of models, native or in text, in metadata, and in calls of the history."""
    for depth in (10, 150, 300, 3_000):
        arguments = '{"a":' * depth + "1" + "}" * depth
        native = {"index": 0, "id": "c1", "function": {"name": "Person", "arguments": arguments}}
        text = f'{{"name": "Person", "arguments": {arguments}}}'
        for part, logprobs in (
            ({"content": "", "tool_calls": [native]}, "null"),
            ({"content": text}, "null"),
            ({"content": arguments}, "null"),
            ({"content": "Hi"}, arguments),
        ):
            choice = {"index": 0, "message": part, "delta": part, "finish_reason": "stop"}
            content = to_json({"choices": [{**choice, "logprobs": "?"}]})
            content = content.replace(b'"?"', logprobs.encode())
            pieces = [sse_event(content)] if "stream" in method else [content]
            for output in ("tools", "required", "object"):
                call(model_on(Scripted(pieces), max_corrections=0), output, method)
        value: Any = 1
        for _ in range(depth):
            value = {"a": value}
        history = AIMessage("", tool_calls=[tool_call(name="f", args={"a": value}, id="1")])
        for tool_calling in ("native", "prompted"):
            model = model_on(Scripted(ANSWER), tool_calling=tool_calling)
            result = call(model, "plain", method, [HumanMessage("Hi"), history])
            assert depth > 10 or isinstance(result, AIMessage)
            assert depth < 3_000 or isinstance(result, InvalidInputError)


# -- faults that these tests found ---------------------------------------------------------------


def native_call(name: str, **fields: Any) -> dict[str, Any]:
    """A native call, or a piece of one."""
    return {"type": "function", "function": {"name": name, "arguments": "{}"}, **fields}


def test_native_calls_without_ids_get_different_ones() -> None:
    """Agents answer a call by its id: two calls of one tool must not share it."""
    message = {"content": "", "tool_calls": [native_call("f"), native_call("f")]}
    body = to_json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    calls = []
    for method in CALL_MODES:
        calls += call(model_on(Scripted([body])), "plain", method).tool_calls

    assert [made["name"] for made in calls] == ["f"] * 2 * len(CALL_MODES)
    assert len({made["id"] for made in calls if made["id"]}) == len(calls)


def test_a_late_id_does_not_split_a_call() -> None:
    """LangChain joins pieces with the same index and id."""
    first = {"index": 0, "function": {"name": "f", "arguments": '{"a": '}}
    second = {"index": 0, "id": "late", "function": {"arguments": "1}"}}
    choices = [{"index": 0, "delta": {"tool_calls": [piece]}} for piece in (first, second)]
    events = [sse_event({"choices": [choice]}) for choice in choices] + [sse_event(b"[DONE]")]

    (made,) = call(model_on(Scripted(events, headers=STREAM)), "plain", "stream").tool_calls

    assert (made["name"], made["args"]) == ("f", {"a": 1})
    assert str(made["id"]).startswith("call_")


def test_a_parameter_of_a_wrong_type_is_named() -> None:
    """Before it is used."""
    for parameters, name in (
        ({"tools": [{"function": {"name": "f", "description": 3}}]}, "description"),
        ({"tools": [{"function": {"name": "f", "parameters": []}}]}, "parameters"),
        ({"stop": [{"type": "text"}]}, "stop"),
        ({"stop": 3}, "stop"),
    ):
        with pytest.raises(InvalidInputError, match=name):
            model_on(Scripted(ANSWER)).invoke("Hi", **parameters)  # type: ignore[arg-type]


def test_arguments_that_are_not_json_name_their_call() -> None:
    """In the history, where earlier calls stand."""
    for value in (object(), "\ud83d", {"a": {1, object()}}):
        history = AIMessage("", tool_calls=[tool_call(name="f", args={"a": value}, id="1")])

        with pytest.raises(InvalidInputError, match="the call of 'f'"):
            model_on(Scripted(ANSWER)).invoke([history])


def test_one_stop_text_is_traced_as_one() -> None:
    """Not as its letters."""
    assert ["END"] == model_on(Scripted(ANSWER))._get_ls_params(stop="END")["ls_stop"]  # type: ignore[arg-type]
