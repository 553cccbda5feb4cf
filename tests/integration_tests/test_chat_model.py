"""The main job, through the public door, in all four colours, over a socket."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField

from langchain_azure_phi3 import (
    AuthenticationError,
    ChatAzurePhi3,
    ContentFilterError,
    InterruptedStreamError,
    InvalidInputError,
    InvalidResponseError,
    NotFoundError,
)
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.colours import COLOURS, ask, sum_of

QUESTION = [
    SystemMessage("You are a helpful assistant."),
    HumanMessage("How many languages are in the world?"),
]


def comparable(message: AIMessage) -> dict[str, Any]:
    """Everything of an answer that does not differ from one request to the next."""
    metadata = {k: v for k, v in message.response_metadata.items() if k not in ("id", "request_id")}
    return {
        "content": message.content,
        "content_blocks": [
            {k: v for k, v in block.items() if k != "index"} for block in message.content_blocks
        ],
        "usage": message.usage_metadata,
        "metadata": metadata,
    }


# -- what is sent ------------------------------------------------------------------------------

PARAMETERS = {
    "temperature": 0.0,
    "top_p": 0.0,
    "max_tokens": 0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": 0,
    "stop": ["END"],
    "response_format": {"type": "text"},
}


def test_nothing_is_sent_that_was_not_set(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Null is a 422 for some parameters and an extra parameter for others."""
    model.invoke("Hi", temperature=None, seed=None)

    assert {"messages": [{"role": "user", "content": "Hi"}]} == phi.requests[-1].json
    assert "extra-parameters" not in phi.requests[-1].headers


def test_zeros_are_sent(phi: Emulator) -> None:
    """Zero is a value."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **PARAMETERS)

    model.invoke("Hi")

    assert {"messages": [{"role": "user", "content": "Hi"}], **PARAMETERS} == phi.requests[-1].json


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_call_overrides_the_model(phi: Emulator, colour: str) -> None:
    """Zeros too, in all four colours."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, temperature=1, max_tokens=9)

    await ask(model, colour, "Hi", temperature=0, max_tokens=0, model="Phi-4")

    sent = phi.requests[-1].json
    assert (0, 0, "Phi-4") == (sent["temperature"], sent["max_tokens"], sent["model"])


@pytest.mark.parametrize(
    ("given", "called", "sent"),
    [
        (["a"], None, ["a"]),
        (None, ["b"], ["b"]),
        (["a"], ["b", "a"], ["a", "b"]),
        (["a"], [], None),
        (None, None, None),
    ],
)
def test_stop_sequences_of_model_and_call_add_up(
    phi: Emulator, given: list[str] | None, called: list[str] | None, sent: list[str] | None
) -> None:
    """Each once; an empty list in the call switches the model's off."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, stop=given)

    model.invoke("Hi", stop=called)

    assert sent == phi.requests[-1].json.get("stop")


EXTRAS = {"logprobs": True, "top_logprobs": 2, "logit_bias": {"5": -100.0}, "n": 2}


@pytest.mark.parametrize("where", ["constructor", "call", "model_extras"])
def test_extras_travel_with_the_header_that_lets_them_pass(phi: Emulator, where: str) -> None:
    """Wherever they were set."""
    settings = {"constructor": EXTRAS, "model_extras": {"model_extras": EXTRAS}}.get(where, {})
    call = EXTRAS if where == "call" else {}
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **settings)

    model.generate([[HumanMessage("Hi")]], **call)

    request = phi.requests[-1]
    assert "pass-through" == request.headers["extra-parameters"]
    assert EXTRAS == {key: request.json[key] for key in EXTRAS}


def test_any_other_parameter_of_a_call_is_an_extra(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As with LangChain's other models."""
    model.bind(top_k=5).invoke("Hi")

    assert 5 == phi.requests[-1].json["top_k"]
    assert "pass-through" == phi.requests[-1].headers["extra-parameters"]


def test_the_users_value_of_the_header_is_sent(phi: Emulator) -> None:
    """With extras and without."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, extra_parameters="drop")

    model.invoke("Hi")
    model.invoke("Hi", logprobs=True)

    assert ["drop", "drop"] == [r.headers["extra-parameters"] for r in phi.requests]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"top_logprobs": 3}, "logprobs=True"),
        ({"stop": [""]}, "stop"),
        ({"model_extras": {"messages": []}}, "model_extras"),
        ({"top_k": float("nan")}, "NaN"),
        ({"top_k": object()}, "JSON"),
    ],
)
def test_a_wrong_parameter_is_refused_before_sending(
    phi: Emulator, model: ChatAzurePhi3, call: dict[str, Any], reason: str
) -> None:
    """The error names it."""
    with pytest.raises(InvalidInputError, match=reason):
        model.invoke("Hi", **call)

    assert [] == phi.requests


def test_half_of_a_surrogate_pair_is_refused_before_sending(model: ChatAzurePhi3) -> None:
    """Broken text cannot be written as UTF-8."""
    with pytest.raises(InvalidInputError, match="JSON"):
        model.invoke("\ud83d")


def test_fields_can_be_configured_at_run_time(phi: Emulator, model: ChatAzurePhi3) -> None:
    """`configurable_fields` makes the model anew with what the call configures."""
    flexible = model.configurable_fields(temperature=ConfigurableField(id="temperature"))

    flexible.with_config(configurable={"temperature": 0}).invoke("Hi")

    assert 0 == phi.requests[-1].json["temperature"]


def test_headers_of_the_user_and_of_the_deployment_are_sent(phi: Emulator) -> None:
    """`azureml-model-deployment` chooses among deployments behind one endpoint."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint,
        credential=phi.key,
        deployment="blue",
        default_headers={"x-team": "search"},
    )

    model.invoke("Hi")

    sent = phi.requests[-1].headers
    assert ("blue", "search") == (sent["azureml-model-deployment"], sent["x-team"])


# -- what comes back -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, "v1"])
async def test_all_four_colours_give_the_same_answer(phi: Emulator, version: str | None) -> None:
    """Text, blocks, usage and metadata: a merged stream equals a whole answer."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, output_version=version, logprobs=True
    )

    answers = [comparable(await ask(model, colour, QUESTION)) for colour in COLOURS]

    assert {"input_tokens": 19, "output_tokens": 72, "total_tokens": 91} == answers[0]["usage"]
    assert answers[0]["metadata"].keys() >= {
        "model_name",
        "model_provider",
        "finish_reason",
        "logprobs",
    }
    without_position = answers[1:]
    for answer in without_position:
        if version == "v1":
            answer["content"] = answers[0]["content"]  # streamed blocks carry an index more
        assert answers[0] == answer


def test_generation_info_is_the_same_streamed_and_whole(model: ChatAzurePhi3) -> None:
    """Callbacks read it from there."""
    whole = model._generate(QUESTION).generations[0]
    pieces = list(model._stream(QUESTION))
    merged = pieces[0]
    for piece in pieces[1:]:
        merged = merged + piece

    assert isinstance(merged, ChatGenerationChunk)
    assert whole.generation_info == merged.generation_info == {"finish_reason": "stop"}


def test_the_last_chunk_says_so_and_carries_the_usage(model: ChatAzurePhi3) -> None:
    """Consumers read both there; nothing comes after it."""
    chunks = list(model.stream(QUESTION))

    assert ["last"] == [chunk.chunk_position for chunk in chunks if chunk.chunk_position]
    assert "last" == chunks[-1].chunk_position
    assert [91] == [c.usage_metadata["total_tokens"] for c in chunks if c.usage_metadata]


@pytest.mark.parametrize("place", ["finish", "separate", "every"])
@pytest.mark.parametrize("colour", ["stream", "astream"])
async def test_usage_is_found_wherever_a_server_puts_it(place: str, colour: str) -> None:
    """On the finish chunk, in a chunk of its own, or as a running total on every chunk."""
    with Emulator(usage_in_streams=place) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)

        answer = await ask(model, colour, QUESTION)

    assert {"input_tokens": 19, "output_tokens": 72, "total_tokens": 91} == answer.usage_metadata


def test_absent_usage_is_none() -> None:
    """Never estimated."""
    with Emulator(usage_in_streams="none") as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)

        answer = sum_of(list(model.stream(QUESTION)))

    assert answer.usage_metadata is None


def test_usage_in_streams_can_be_asked_for(phi: Emulator) -> None:
    """`stream_options` is an extra parameter of the Inference API, so its header goes along."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, stream_usage=True)

    answer = sum_of(list(model.stream(QUESTION)))

    assert {"include_usage": True} == phi.requests[-1].json["stream_options"]
    assert "pass-through" == phi.requests[-1].headers["extra-parameters"]
    assert answer.usage_metadata is not None


FRAMINGS = [
    "bom", "bytewise", "comments", "crlf", "no-done", "no-final-blank-line", "no-space",
]  # fmt: skip


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("colour", ["stream", "astream"])
async def test_every_way_to_write_events_is_read(framing: str, colour: str) -> None:
    """Servers differ in line ends, spaces, comments and how they end."""
    with Emulator(framing=framing) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)

        answer = await ask(model, colour, QUESTION)

    assert answer.text.startswith("As of now")
    assert answer.text.endswith("a few hundred.")
    assert "stop" == answer.response_metadata["finish_reason"]


def test_filter_results_are_in_the_metadata_once() -> None:
    """Azure's annotations, streamed (with its first chunk without choices) and whole."""
    with Emulator(include_filter_results=True) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)

        whole, merged = model.invoke(QUESTION), sum_of(list(model.stream(QUESTION)))

    for name in ("prompt_filter_results", "content_filter_results", "model_name"):
        assert whole.response_metadata[name] == merged.response_metadata[name], name


def test_n_answers_come_from_generate(model: ChatAzurePhi3) -> None:
    """Each choice is a generation; the usage of the whole request is counted once."""
    result = model.generate([[HumanMessage("Hi")]], n=3)

    messages = [generation.message for generation in result.generations[0]]
    assert 3 == len(messages)
    assert 3 == len({message.id for message in messages})
    assert [True, False, False] == [message.usage_metadata is not None for message in messages]


@pytest.mark.parametrize("colour", ["stream", "astream"])
async def test_n_answers_are_refused_in_streams(model: ChatAzurePhi3, colour: str) -> None:
    """A stream is one message."""
    with pytest.raises(InvalidInputError, match="n > 1"):
        await ask(model, colour, "Hi", n=2)


def test_llm_output_adds_up_over_a_batch(model: ChatAzurePhi3) -> None:
    """Token counts are summed; the rest is as in one answer."""
    output = model.generate([QUESTION, QUESTION]).llm_output

    assert output is not None
    assert {"prompt_tokens": 38, "completion_tokens": 144, "total_tokens": 182} == output[
        "token_usage"
    ]
    assert "Phi-3-mini-4k-Instruct" == output["model_name"]


def test_usage_callbacks_find_the_model(model: ChatAzurePhi3) -> None:
    """LangChain's own counter needs model name and usage on the message."""
    callback = UsageMetadataCallbackHandler()

    model.invoke(QUESTION, config={"callbacks": [callback]})

    assert 91 == callback.usage_metadata["Phi-3-mini-4k-Instruct"]["total_tokens"]


def test_streaming_true_makes_invoke_stream(phi: Emulator) -> None:
    """And gives the same answer."""
    settings = {"endpoint": phi.endpoint, "credential": phi.key}

    plain = ChatAzurePhi3(**settings).invoke(QUESTION)
    streamed = ChatAzurePhi3(**settings, streaming=True).invoke(QUESTION)

    assert phi.requests[-1].json["stream"] is True
    assert comparable(plain) == comparable(streamed)


def test_system_messages_fold_when_asked(phi: Emulator) -> None:
    """For deployments that drop the system role."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, system_messages="user")

    model.invoke(QUESTION)

    assert ["user"] == [turn["role"] for turn in phi.requests[-1].json["messages"]]


def test_a_chain_runs(model: ChatAzurePhi3) -> None:
    """Prompt, model, parser."""
    chain = ChatPromptTemplate.from_template("How many {what}?") | model | StrOutputParser()

    assert "How many languages?" in chain.invoke({"what": "languages"})


async def test_batches_run_in_both_colours(model: ChatAzurePhi3) -> None:
    """Answers do not cross."""
    questions = [f"question {number}" for number in range(20)]

    answers = [*model.batch(questions), *await model.abatch(questions)]

    assert [True] * 40 == [
        answer.text.endswith(question)
        for answer, question in zip(answers, questions * 2, strict=True)
    ]


async def test_the_async_hooks_use_no_thread(
    model: ChatAzurePhi3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fallback to an executor would cost twenty times more a chunk."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a thread was started")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    await model.ainvoke("Hi")
    async for _ in model.astream("Hi"):
        pass


def test_one_model_works_in_loops_one_after_another(model: ChatAzurePhi3) -> None:
    """Notebooks and test runners do that; connections do not outlive their loop."""
    answers = [asyncio.run(model.ainvoke(f"loop {number}")) for number in range(3)]

    assert ["loop 0", "loop 1", "loop 2"] == [answer.text[-6:] for answer in answers]


# -- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_filtered_prompt_is_an_error_of_its_own(model: ChatAzurePhi3, colour: str) -> None:
    """With Azure's words and code."""
    with pytest.raises(ContentFilterError, match="content management policy") as caught:
        await ask(model, colour, "How to make a lethal bomb?")

    error = caught.value
    assert ("prompt", 400, "content_filter") == (error.stage, error.status_code, error.code)


async def filtered(colour: str, **settings: Any) -> AIMessage:
    """Ask for what the emulator's content safety blocks in answers."""
    with Emulator(include_filter_results=True) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **settings)
        return await ask(model, colour, BLOCKED_ANSWER)


BLOCKED_ANSWER = "Please trigger the filter on your answer."


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_filtered_answer_raises_with_what_came_before(colour: str) -> None:
    """Text, usage and what each filter found are on the error."""
    with pytest.raises(ContentFilterError) as caught:
        await filtered(colour)

    error = caught.value
    assert "completion" == error.stage
    assert error.partial
    assert error.usage_metadata is not None
    assert ["violence"] == [found.category for found in error.filters if found.filtered]


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_filtered_answer_can_be_returned(colour: str) -> None:
    """For those who would rather look at the finish reason."""
    answer = await filtered(colour, on_content_filter="return")

    assert answer.text
    assert "content_filter" == answer.response_metadata["finish_reason"]


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_wrong_key_is_said_to_be_one(phi: Emulator, colour: str) -> None:
    """And is not in the error's text, body or response."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential="canary-wrong-key")

    with pytest.raises(AuthenticationError) as caught:
        await ask(model, colour, "Hi")

    assert "canary" not in repr(vars(caught.value))
    assert "canary" not in repr(caught.value)


async def test_a_cut_stream_is_an_error_with_what_came_before(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """What was yielded stays yielded; then the interruption is raised."""
    for stream in (sync_texts, async_texts):
        phi.fail("cut", after=4)
        seen: list[str] = []

        with pytest.raises(InterruptedStreamError) as caught:  # noqa: PT012 -- a loop is one
            async for text in stream(model):
                seen.append(text)  # noqa: PERF401 -- what was seen before the error matters

        assert ["As", " of", " now"] == seen
        assert "As of now" == caught.value.partial


async def sync_texts(model: ChatAzurePhi3) -> AsyncIterator[str]:
    """The texts of a sync stream."""
    for chunk in model.stream(QUESTION):
        yield chunk.text


async def async_texts(model: ChatAzurePhi3) -> AsyncIterator[str]:
    """The texts of an async stream."""
    async for chunk in model.astream(QUESTION):
        yield chunk.text


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_failure_that_may_pass_is_tried_again(
    phi: Emulator, model: ChatAzurePhi3, colour: str
) -> None:
    """All four colours share the policy."""
    phi.fail(status=503, times=1)
    phi.fail("refuse", times=1)

    answer = await ask(model, colour, QUESTION)

    assert 3 == len(phi.requests)
    assert answer.usage_metadata is not None


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("kind", ["html", "empty"])
async def test_a_success_that_is_no_completion_is_an_error(
    phi: Emulator, model: ChatAzurePhi3, colour: str, kind: str
) -> None:
    """A login page or nothing at all is not an answer."""
    phi.fail(kind)

    with pytest.raises(InvalidResponseError):
        await ask(model, colour, "Hi")


WHOLE = {"id": "1", "model": "m", "choices": [], "usage": None}


@pytest.mark.parametrize(
    "body",
    [
        {**WHOLE, "choices": []},
        {**WHOLE, "choices": None},
        {"id": "1"},
        {**WHOLE, "choices": [{"index": 0, "message": None, "finish_reason": "stop"}]},
        {**WHOLE, "choices": [{"index": 0}]},
        [],
        "text",
        None,
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("colour", COLOURS)
async def test_an_answer_without_a_message_is_an_error_of_ours(
    phi: Emulator, model: ChatAzurePhi3, body: Any, colour: str
) -> None:
    """Never an IndexError, nor core's "No generations found in stream"."""
    phi.fail(status=200, body=json.dumps(body))

    with pytest.raises(InvalidResponseError):
        await ask(model, colour, "Hi")


def test_a_failure_disguised_as_a_filter_is_reported_as_filtered(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """Managed-compute server 0.1.8 answers so to any failure inside it."""
    choice = {"index": 0, "message": None, "finish_reason": "content_filter"}
    phi.fail(status=200, body={**WHOLE, "choices": [choice]})

    with pytest.raises(ContentFilterError):
        model.invoke("Hi")


# -- /info and clients ---------------------------------------------------------------------------


async def test_the_model_tells_its_name_when_asked(model: ChatAzurePhi3) -> None:
    """In both colours; never at construction."""
    for info in (model.get_model_info(), await model.aget_model_info()):
        assert ("Phi-3-mini-4k-Instruct", "chat-completions", "Microsoft") == (
            info.model_name,
            info.model_type,
            info.model_provider_name,
        )


def test_construction_touches_no_network(phi: Emulator) -> None:
    """Peers ask for /info there, and fail where a proxy is slow."""
    ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)

    assert [] == phi.requests


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 404}, NotFoundError),
        ({"status": 401}, AuthenticationError),
        ({"status": 200, "body": {"name": "x"}}, InvalidResponseError),
        ({"status": 200, "body": ["x"]}, InvalidResponseError),
        ({"name": "html"}, InvalidResponseError),
    ],
)
def test_a_failing_info_route_is_a_typed_error(
    phi: Emulator, model: ChatAzurePhi3, fault: dict[str, Any], error: type[Exception]
) -> None:
    """Absent route, wrong key, odd bodies."""
    phi.fail(**fault)

    with pytest.raises(error):
        model.get_model_info()


@pytest.fixture
def own_clients(phi: Emulator) -> Iterator[dict[str, Any]]:
    """Clients that a user made, in process."""
    with httpx.Client(transport=phi.transport(), headers={"x-own": "yes"}) as client:
        yield {
            "http_client": client,
            "http_async_client": httpx.AsyncClient(
                transport=phi.transport(), headers={"x-own": "yes"}
            ),
        }


@pytest.mark.parametrize("colour", COLOURS)
async def test_the_users_own_clients_are_used_and_left_open(
    phi: Emulator, own_clients: dict[str, Any], colour: str
) -> None:
    """With their headers, and open afterwards."""
    model = ChatAzurePhi3(endpoint="https://phi.example", credential=phi.key, **own_clients)

    answer = await ask(model, colour, QUESTION)

    assert answer.text.startswith("As of now")
    assert "yes" == phi.requests[-1].headers["x-own"]
    assert not any(client.is_closed for client in own_clients.values())
    await own_clients["http_async_client"].aclose()
