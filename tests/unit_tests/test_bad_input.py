"""Whatever users, models and servers write: a request or a refusal, an answer or our error.

Nothing else may ever escape. `make fuzz` runs the same with more examples.
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
from tests.integration_tests.colours import COLOURS, ask
from tests.unit_tests.scripted import STREAM, Scripted, model_on

# -- the four kinds of questions -----------------------------------------------------------------


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


def asking(model: ChatAzurePhi3, how: str) -> Any:
    """The model, perhaps with tools or a shape."""
    tools = [get_weather, Person]
    ways = {
        "plain": lambda: model,
        "tools": lambda: model.bind_tools(tools),
        "demanded": lambda: model.bind_tools(tools, tool_choice="any"),
        "sole": lambda: model.bind_tools([get_weather], tool_choice="get_weather"),
        "format": lambda: model.bind_tools([get_weather], response_format=Person),
        "object": lambda: model.with_structured_output(Person),
        "typed": lambda: model.with_structured_output(Place, method="json_mode"),
        "by tool": lambda: model.with_structured_output(Person, method="function_calling"),
        "raw": lambda: model.with_structured_output(Person, include_raw=True),
    }
    return ways[how]()


WAYS = ("plain", "tools", "demanded", "sole", "format", "object", "typed", "by tool", "raw")
STRUCTURED = ("object", "typed", "by tool")


def outcome(
    model: ChatAzurePhi3, how: str, colour: str, question: Any = "Hi", /, **call: Any
) -> Any:
    """What comes of one question, which is checked: an answer, an object, or an error of ours."""
    asked = asking(model, how)
    if "stream" in colour and how not in WAYS[:5]:
        colour = "invoke"  # objects do not stream
    expected = (AzurePhi3Error, *((OutputParserException,) if how in STRUCTURED else ()))
    try:
        got = asyncio.run(ask(asked, colour, question, **call))
    except expected as error:
        check_error(error)
        return error
    if how in WAYS[:5]:
        check_message(got)
    elif how == "raw":
        check_message(got["raw"])
    else:
        assert isinstance(got, Person | dict)
    return got


def check_error(error: Exception) -> None:
    """A failure that can be shown, kept and sent on."""
    assert str(error) != ""
    if isinstance(error, AzurePhi3Error):
        assert json.dumps([error.usage_metadata, error.partial, error.retry_after])
        assert str(error) == str(pickle.loads(pickle.dumps(error)))


def check_message(message: Any) -> None:
    """An answer that every consumer can use."""
    assert isinstance(message, AIMessage)
    assert isinstance(message.content, str)
    assert isinstance(message.text, str)
    written = json.dumps(
        [message.response_metadata, message.usage_metadata, message.additional_kwargs]
    )
    assert json.loads(written)
    for call in message.tool_calls:
        assert isinstance(call["name"], str)
        assert isinstance(call["args"], dict)
        assert isinstance(call["id"], str)
    for broken in message.invalid_tool_calls:
        assert isinstance(broken["args"], str)
    for count in (message.usage_metadata or {}).values():
        assert isinstance(count, int | dict)
    message.model_dump_json()
    assert isinstance(message.content_blocks, list)
    message.pretty_repr()


# -- what users write ----------------------------------------------------------------------------

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
    lambda kind, rest: {"type": kind, **rest},
    BLOCK_TYPES | TEXT,  # LangChain itself fails at a type that cannot be hashed
    st.dictionaries(BLOCK_KEYS, ANYTHING, max_size=4),
)
CONTENT = TEXT | st.lists(TEXT | BLOCK, max_size=3)
NAMES = st.none() | TEXT
ARGUMENTS = st.dictionaries(TEXT, ANYTHING, max_size=3)


def of(kind: Any, **parts: Any) -> st.SearchStrategy[Any]:
    """Things of one kind, made of these parts."""
    return st.fixed_dictionaries(parts).map(lambda given: kind(**given))


CALLS = st.lists(of(tool_call, name=TEXT, args=ARGUMENTS, id=NAMES), max_size=2)
WRONG_CALLS = st.lists(
    of(invalid_tool_call, name=NAMES, args=NAMES, id=NAMES, error=NAMES), max_size=2
)
LEGACY = st.dictionaries(
    st.sampled_from(["function_call", "tool_calls", "reasoning_content"]), ANYTHING, max_size=2
)
MESSAGES = st.one_of(
    of(HumanMessage, content=CONTENT, name=NAMES),
    of(SystemMessage, content=CONTENT, name=NAMES),
    of(
        AIMessage,
        content=CONTENT,
        name=NAMES,
        tool_calls=CALLS,
        invalid_tool_calls=WRONG_CALLS,
        additional_kwargs=LEGACY.filter(lambda given: "tool_calls" not in given),
    ),
    of(AIMessageChunk, content=TEXT),
    of(
        ToolMessage,
        content=CONTENT,
        tool_call_id=TEXT,
        name=NAMES,
        status=st.sampled_from(["success", "error"]),
    ),
    of(FunctionMessage, content=CONTENT, name=TEXT),
    of(ChatMessage, content=CONTENT, role=TEXT | st.sampled_from(["user", "developer"])),
    of(RemoveMessage, id=TEXT),
)
COLOUR = st.sampled_from(COLOURS)
SPOKEN = {"choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}]}
ANSWER = [json.dumps(SPOKEN).encode()]


def check_sent(transport: Scripted) -> None:
    """Every request is JSON as Azure's schema has it."""
    for content in transport.sent:
        payload = json.loads(content)
        content.decode("utf-8")
        assert payload["messages"]
        for turn in payload["messages"]:
            assert isinstance(turn["role"], str)
            assert isinstance(turn["content"], str | list)


@given(st.lists(MESSAGES, max_size=4), st.sampled_from(WAYS), COLOUR, st.booleans())
def test_any_conversation_is_sent_or_refused(
    messages: list[BaseMessage], how: str, colour: str, folded: bool
) -> None:
    """All of LangChain's messages, with whatever users put into them."""
    transport = Scripted(ANSWER)
    model = model_on(transport, system_message_mode="user" if folded else "auto", max_corrections=0)

    got = outcome(model, how, colour, messages)

    check_sent(transport)
    assert transport.sent or isinstance(got, InvalidInputError)


PARAMETERS = st.sampled_from(
    [
        *("temperature", "top_p", "max_tokens", "presence_penalty", "frequency_penalty", "stop"),
        *("seed", "response_format", "logprobs", "top_logprobs", "logit_bias", "n", "top_k"),
        *("model", "model_extras", "extra_parameters", "tools", "tool_choice", "max_corrections"),
        *("parallel_tool_calls", "stream", "messages", "user", "x\ud83d", ""),
    ]
)
WRITTEN = st.sampled_from(
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


@given(st.dictionaries(PARAMETERS, WRITTEN | ANYTHING, max_size=3), COLOUR)
def test_any_parameter_of_a_call_is_sent_or_refused(call: dict[str, Any], colour: str) -> None:
    """Of the right type, the wrong one, or unknown."""
    transport = Scripted(ANSWER)
    # `stream` and `stop` are arguments of LangChain's own methods, with types of their own.
    call = {key: value for key, value in call.items() if key not in ("stream", "messages", "")}

    got = outcome(model_on(transport), "plain", colour, **call)

    check_sent(transport)
    assert transport.sent or isinstance(got, InvalidInputError)


SETTINGS = PARAMETERS | st.sampled_from(
    [
        *("endpoint", "credential", "api_key", "tool_calling", "timeout", "max_retries"),
        *("max_retry_wait", "default_headers", "deployment", "api_version", "credential_scopes"),
        *("on_content_filter", "system_message_mode", "streaming", "stream_usage"),
    ]
)
VALUES = (
    WRITTEN
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


@given(st.dictionaries(SETTINGS, VALUES, max_size=3), COLOUR)
def test_any_setting_makes_a_model_that_works_or_is_refused(
    given: dict[str, Any], colour: str
) -> None:
    """At construction or, at the latest, before anything is sent."""
    transport = Scripted(ANSWER)
    given = {key: value for key, value in given.items() if isinstance(key, str) and key != ""}
    try:
        model = model_on(transport).model_copy() if not given else made_of(transport, given)
    except InvalidInputError:
        return

    got = outcome(model, "plain", colour)

    check_sent(transport)
    assert transport.sent or isinstance(got, InvalidInputError)


def made_of(transport: Scripted, given: dict[str, Any]) -> ChatAzurePhi3:
    """A model of these settings, which asks `transport`."""
    usual = model_on(transport)
    clients = {name: getattr(usual, name) for name in ("http_client", "http_async_client")}
    own = {"endpoint": "https://phi.example", "credential": "canary-of-settings", **given}
    if "api_key" in given and "credential" not in given:
        del own["credential"]
    return ChatAzurePhi3(**own, **clients)


# -- what servers write --------------------------------------------------------------------------

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
    """A whole answer with all that answers may hold."""
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


def pieces_of(text: str) -> list[dict[str, Any]]:
    """The chunks of the same answer as a stream."""
    whole = completion(text)
    choice = whole["choices"][0]
    head = {key: whole[key] for key in ("id", "created", "model")}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text[at : at + 7]} for at in range(0, len(text), 7)]
    deltas += [{"tool_calls": [{"index": 0, **NATIVE}]}, {"reasoning_content": "Hm"}]
    chunks = [{**head, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    end = {"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": choice["logprobs"]}
    end["content_filter_results"] = choice["content_filter_results"]
    filters = {"choices": [], "prompt_filter_results": whole["prompt_filter_results"]}
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


def changed(value: Any, path: Sequence[Any], new: Any) -> Any:
    """A copy of a JSON value with another value at `path`; `...` takes it away."""
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and new is ...:
        del copied[path[0]]
    else:
        copied[path[0]] = changed(copied[path[0]], path[1:], new)
    return copied


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value with one to three of its nodes replaced or taken away."""
    for _ in range(draw(st.integers(1, 3))):
        paths = nodes(value)
        if paths:
            value = changed(value, draw(st.sampled_from(paths)), draw(st.just(...) | JSON))
    return value


def written(value: Any) -> bytes:
    """JSON as a careless server writes it."""
    return json.dumps(value, ensure_ascii=True).encode()


BODIES = st.one_of(
    st.sampled_from(TEXTS).map(completion).flatmap(mutated).map(written),
    JSON.map(written),
    st.binary(max_size=30),
    st.builds(
        lambda body, at, junk: body[:at] + junk + body[at:],
        st.sampled_from(TEXTS).map(completion).map(written),
        st.integers(0, 400),
        st.binary(max_size=4),
    ),
)
STATUSES = st.sampled_from([200, 200, 200, 200, 201, 204, 302, 400, 401, 422, 424, 429, 500])


@given(BODIES, STATUSES, st.sampled_from(WAYS), COLOUR)
def test_any_body_is_an_answer_or_our_error(
    body: bytes, status: int, how: str, colour: str
) -> None:
    """Arbitrary bytes, arbitrary JSON, and real completions with nodes changed."""
    transport = Scripted([body], status=status, headers={"content-type": "application/json"})

    outcome(model_on(transport), how, colour)


def framed(chunk: Any) -> bytes:
    """One event."""
    return b"data: " + (chunk if isinstance(chunk, bytes) else written(chunk)) + b"\n\n"


@st.composite
def event_streams(draw: st.DrawFn) -> list[bytes]:
    """A real stream with events changed, cut, doubled, exchanged or garbled; in odd pieces."""
    chunks = pieces_of(draw(st.sampled_from(TEXTS)))
    events = [framed(chunk) for chunk in chunks] + [framed(b"[DONE]")]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(events) - 1))
        other = draw(st.integers(0, len(events) - 1))
        kind = draw(st.sampled_from(["mutate", "drop", "double", "swap", "cut", "junk", "insert"]))
        if kind == "mutate" and at < len(chunks):
            events[at] = framed(draw(mutated(chunks[at])))
        elif kind == "drop" and len(events) > 1:
            del events[at]
        elif kind == "double":
            events.insert(at, events[at])
        elif kind == "swap":
            events[at], events[other] = events[other], events[at]
        elif kind == "cut":
            events[at] = events[at][: draw(st.integers(0, 40))]
        elif kind == "junk":
            where = draw(st.integers(0, 40))
            events[at] = events[at][:where] + draw(st.binary(max_size=4)) + events[at][where:]
        else:
            events.insert(at, framed(draw(JSON)))
    stream = b"".join(events)
    size = draw(st.sampled_from([1, 7, 1000, 10**6]))
    return [stream[at : at + size] for at in range(0, len(stream), size)]


@given(
    event_streams() | st.lists(st.binary(max_size=12), max_size=5),
    st.sampled_from(WAYS[:5]),
    st.sampled_from(["stream", "astream"]),
)
def test_any_stream_is_an_answer_or_our_error(pieces: list[bytes], how: str, colour: str) -> None:
    """Chunks merge, whatever the server left out, doubled or exchanged."""
    outcome(model_on(Scripted(pieces, headers=STREAM)), how, colour)


# -- what was found so ---------------------------------------------------------------------------


def named(name: str, **rest: Any) -> dict[str, Any]:
    """A native call, or a piece of one."""
    return {"type": "function", "function": {"name": name, "arguments": "{}"}, **rest}


@pytest.mark.parametrize("colour", COLOURS)
def test_native_calls_without_ids_get_different_ones(colour: str) -> None:
    """Agents answer a call by its id: two calls of one tool must not share it."""
    message = {"content": "", "tool_calls": [named("f"), named("f")]}
    body = written({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    got = outcome(model_on(Scripted([body])), "plain", colour)

    again = outcome(model_on(Scripted([body])), "plain", colour)

    calls = [*got.tool_calls, *again.tool_calls]
    assert [call["name"] for call in calls] == ["f"] * 4
    assert len({call["id"] for call in calls if call["id"]}) == 4


def test_an_id_that_comes_late_does_not_tear_a_call_in_two() -> None:
    """LangChain joins pieces of one index and one id."""
    more = {"index": 0, "id": "late", "function": {"arguments": "1}"}}
    first = {"index": 0, "function": {"name": "f", "arguments": '{"a": '}}
    choices = [{"index": 0, "delta": {"tool_calls": [piece]}} for piece in (first, more)]
    pieces = [framed({"choices": [choice]}) for choice in choices] + [framed(b"[DONE]")]

    got = outcome(model_on(Scripted(pieces, headers=STREAM)), "plain", "stream")

    (call,) = got.tool_calls
    assert (call["name"], call["args"]) == ("f", {"a": 1})
    assert call["id"] is not None
    assert call["id"].startswith("call_")


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"tools": [named("f") | {"function": {"name": "f", "description": 3}}]}, "description"),
        ({"tools": [named("f") | {"function": {"name": "f", "parameters": []}}]}, "parameters"),
        ({"stop": [{"type": "text"}]}, "stop"),
        ({"stop": 3}, "stop"),
    ],
)
def test_a_wrong_shape_is_named(call: dict[str, Any], reason: str) -> None:
    """Rather than met where it is used."""
    with pytest.raises(InvalidInputError, match=reason):
        model_on(Scripted(ANSWER)).invoke("Hi", **call)


@pytest.mark.parametrize("value", [object(), "\ud83d", {"a": {1, object()}}])
def test_arguments_that_are_no_json_name_their_call(value: Any) -> None:
    """In the history, where earlier calls stand."""
    history = AIMessage("", tool_calls=[tool_call(name="f", args={"a": value}, id="1")])

    with pytest.raises(InvalidInputError, match="the call of 'f'"):
        model_on(Scripted(ANSWER)).invoke([history])


def test_one_stop_as_a_plain_text_is_traced_as_one() -> None:
    """Not as its letters."""
    assert ["END"] == model_on(Scripted(ANSWER))._get_ls_params(stop="END")["ls_stop"]  # type: ignore[arg-type]
