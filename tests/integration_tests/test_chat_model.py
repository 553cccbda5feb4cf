"""`ChatAzurePhi3` over a socket: the requests it sends and the answers it returns."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import (
    CALL_MODES,
    STREAM_MODES,
    call_model,
    merge_chunks,
)

PROMPT = [
    SystemMessage("You are a helpful assistant."),
    HumanMessage("How many languages are in the world?"),
]
ANSWER = "There are about 7,000 languages, and naïve counts differ: 語, язык, 🙂."


def model_for(phi: Emulator, **settings: Any) -> ChatAzurePhi3:
    """A chat model for `phi`."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **settings)


# -- requests ------------------------------------------------------------------------------------

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


def test_construction_sends_nothing(phi: Emulator) -> None:
    """Other integrations request /info here, and fail behind a slow proxy."""
    model_for(phi)

    assert [] == phi.requests


def test_unset_parameters_are_not_sent(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Null is a 422 for some parameters and an extra parameter for others."""
    model.invoke("Hi", temperature=None, seed=None)

    assert {"messages": [{"role": "user", "content": "Hi"}]} == phi.requests[-1].json
    assert "extra-parameters" not in phi.requests[-1].headers


def test_zeros_are_sent(phi: Emulator) -> None:
    """Zero is a value."""
    model_for(phi, **PARAMETERS).invoke("Hi")

    assert {"messages": [{"role": "user", "content": "Hi"}], **PARAMETERS} == phi.requests[-1].json


async def test_call_parameters_override_the_models(phi: Emulator) -> None:
    """In every call mode, with zeros too."""
    model = model_for(phi, temperature=1, max_tokens=9)
    for mode in CALL_MODES:
        await call_model(model, mode, "Hi", temperature=0, max_tokens=0, model="Phi-4")

        sent = phi.requests[-1].json
        assert (0, 0, "Phi-4") == (sent["temperature"], sent["max_tokens"], sent["model"]), mode


STOPS: list[tuple[list[str] | None, list[str] | None, list[str] | None]] = [
    (["a"], None, ["a"]),
    (None, ["b"], ["b"]),
    (["a"], ["b", "a"], ["a", "b"]),
    (["a"], [], None),
    (None, None, None),
]


def test_stop_sequences_of_model_and_call_combine(phi: Emulator) -> None:
    """Each is sent once; an empty list in the call drops the model's."""
    for of_model, of_call, expected in STOPS:
        model_for(phi, stop=of_model).invoke("Hi", stop=of_call)

        assert expected == phi.requests[-1].json.get("stop"), (of_model, of_call)


EXTRAS = {"logprobs": True, "top_logprobs": 2, "logit_bias": {"5": -100.0}, "n": 2}


def test_extra_parameters_bring_their_header(phi: Emulator) -> None:
    """Set in the constructor, in `model_extras` or in a call."""
    prompts = [[HumanMessage("Hi")]]
    model_for(phi, **EXTRAS).generate(prompts)
    model_for(phi, model_extras=EXTRAS).generate(prompts)
    model_for(phi).generate(prompts, **EXTRAS)

    for request in phi.requests:
        assert "pass-through" == request.headers["extra-parameters"]
        assert EXTRAS == {key: request.json[key] for key in EXTRAS}


def test_unknown_call_parameters_are_extra_parameters(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As with LangChain's other models."""
    model.bind(top_k=5).invoke("Hi")

    assert 5 == phi.requests[-1].json["top_k"]
    assert "pass-through" == phi.requests[-1].headers["extra-parameters"]


def test_own_extra_parameters_header_is_always_sent(phi: Emulator) -> None:
    """With extra parameters and without."""
    model = model_for(phi, extra_parameters="drop")

    model.invoke("Hi")
    model.invoke("Hi", logprobs=True)

    assert ["drop", "drop"] == [r.headers["extra-parameters"] for r in phi.requests]


def test_headers_of_user_and_deployment_are_sent(phi: Emulator) -> None:
    """`azureml-model-deployment` selects one of the deployments behind an endpoint."""
    model_for(phi, deployment="blue", default_headers={"x-team": "search"}).invoke("Hi")

    sent = phi.requests[-1].headers
    assert ("blue", "search") == (sent["azureml-model-deployment"], sent["x-team"])


def test_fields_are_configurable_at_run_time(phi: Emulator, model: ChatAzurePhi3) -> None:
    """`configurable_fields` rebuilds the model with the fields of the call."""
    flexible = model.configurable_fields(temperature=ConfigurableField(id="temperature"))

    flexible.with_config(configurable={"temperature": 0}).invoke("Hi")

    assert 0 == phi.requests[-1].json["temperature"]


def test_system_messages_become_user_messages_on_request(phi: Emulator) -> None:
    """For deployments that drop the system role."""
    model_for(phi, system_message_mode="user").invoke(PROMPT)

    assert ["user"] == [message["role"] for message in phi.requests[-1].json["messages"]]


def test_stream_usage_requests_usage(phi: Emulator) -> None:
    """`stream_options` is an extra parameter of the Inference API, so its header goes along."""
    answer = merge_chunks(list(model_for(phi, stream_usage=True).stream(PROMPT)))

    assert {"include_usage": True} == phi.requests[-1].json["stream_options"]
    assert "pass-through" == phi.requests[-1].headers["extra-parameters"]
    assert answer.usage_metadata is not None


async def test_own_httpx_clients_are_used_and_left_open(phi: Emulator) -> None:
    """Their headers are sent, and they stay open."""
    headers = {"x-own": "yes"}
    client = httpx.Client(transport=phi.transport(), headers=headers)
    async_client = httpx.AsyncClient(transport=phi.transport(), headers=headers)
    model = ChatAzurePhi3(
        endpoint="https://phi.example",
        credential=phi.key,
        http_client=client,
        http_async_client=async_client,
    )
    for mode in CALL_MODES:
        phi.script(ANSWER)

        assert ANSWER == (await call_model(model, mode, PROMPT)).text, mode
        assert "yes" == phi.requests[-1].headers["x-own"], mode

    assert not client.is_closed
    assert not async_client.is_closed
    client.close()  # noqa: ASYNC212 -- in process
    await async_client.aclose()


# -- responses -----------------------------------------------------------------------------------


def comparable(message: AIMessage) -> dict[str, Any]:
    """The parts of an answer that are the same for every request."""
    metadata = {k: v for k, v in message.response_metadata.items() if k not in ("id", "request_id")}
    return {
        "text": message.text,
        "blocks": [
            {k: v for k, v in block.items() if k != "index"} for block in message.content_blocks
        ],
        "usage": message.usage_metadata,
        "metadata": metadata,
    }


@pytest.mark.parametrize("version", [None, "v1"])
async def test_every_call_mode_returns_the_same(phi: Emulator, version: str | None) -> None:
    """Text, content blocks, usage and metadata; merged streams equal complete answers."""
    model = model_for(phi, output_version=version, logprobs=True)
    phi.script(*[ANSWER] * 5)

    first = comparable(model.invoke(PROMPT))

    assert ANSWER == first["text"]
    assert (
        first["usage"]["input_tokens"] + first["usage"]["output_tokens"]
        == (first["usage"]["total_tokens"])
    )
    expected = {"model_name", "model_provider", "finish_reason", "logprobs"}
    assert expected <= first["metadata"].keys()
    for mode in CALL_MODES:
        assert first == comparable(await call_model(model, mode, PROMPT)), mode


def test_streaming_setting_makes_invoke_stream(phi: Emulator) -> None:
    """The answer is the same."""
    phi.script(ANSWER, ANSWER)

    complete = model_for(phi).invoke(PROMPT)
    streamed = model_for(phi, streaming=True).invoke(PROMPT)

    assert phi.requests[-1].json["stream"] is True
    assert comparable(complete) == comparable(streamed)


def test_last_chunk_is_marked_and_has_usage(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Consumers read both from it; no chunk follows."""
    phi.script(ANSWER)

    chunks = list(model.stream(PROMPT))

    assert ["last"] == [chunk.chunk_position for chunk in chunks if chunk.chunk_position]
    assert "last" == chunks[-1].chunk_position
    assert [chunks[-1].usage_metadata] == [c.usage_metadata for c in chunks if c.usage_metadata]


async def test_usage_is_found_wherever_servers_put_it() -> None:
    """On the finishing chunk, on a chunk of its own, or as a running total on every chunk."""
    found = []
    for place in ("finish", "separate", "every"):
        with Emulator(usage_in_streams=place) as phi:  # type: ignore[arg-type]
            phi.script(*[ANSWER] * 3)
            complete = model_for(phi).invoke(PROMPT).usage_metadata
            for mode in STREAM_MODES:
                answer = await call_model(model_for(phi), mode, PROMPT)
                assert complete == answer.usage_metadata, (place, mode)
            found.append(complete)

    assert None not in found


def test_missing_usage_is_none() -> None:
    """It is never estimated."""
    with Emulator(usage_in_streams="none") as phi:
        answer = merge_chunks(list(model_for(phi).stream(PROMPT)))

    assert answer.usage_metadata is None


FRAMINGS = ("bom", "bytewise", "comments", "crlf", "no-done", "no-final-blank-line", "no-space")


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_every_event_framing_is_read(framing: str) -> None:
    """Servers differ in line ends, spaces, comments and the end of the stream."""
    with Emulator(framing=framing) as phi:
        for mode in STREAM_MODES:
            phi.script(ANSWER)
            answer = await call_model(model_for(phi), mode, PROMPT)

            assert (ANSWER, "stop") == (answer.text, answer.response_metadata["finish_reason"])


def test_generate_returns_every_choice(model: ChatAzurePhi3) -> None:
    """Each choice is a generation; only the first has the usage of the request."""
    result = model.generate([[HumanMessage("Hi")]], n=3)

    messages = [generation.message for generation in result.generations[0]]
    assert 3 == len({message.id for message in messages})
    assert [True, False, False] == [message.usage_metadata is not None for message in messages]


def test_batch_usage_is_the_sum(model: ChatAzurePhi3) -> None:
    """`llm_output` of two prompts has twice the tokens of one."""
    once, twice = (model.generate([PROMPT] * times).llm_output for times in (1, 2))

    assert once is not None
    assert twice is not None
    assert {k: 2 * v for k, v in once["token_usage"].items()} == twice["token_usage"]
    assert once["model_name"] == twice["model_name"] == "Phi-3-mini-4k-Instruct"


def test_usage_callbacks_know_the_model(model: ChatAzurePhi3) -> None:
    """LangChain's own counter reads the model name and the usage from the message."""
    callback = UsageMetadataCallbackHandler()

    answer = model.invoke(PROMPT, config={"callbacks": [callback]})

    counted = callback.usage_metadata["Phi-3-mini-4k-Instruct"]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == counted["total_tokens"] > 0


class GenerationInfo(BaseCallbackHandler):
    """Keeps the `generation_info` of finished runs."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Called once for each run."""
        self.found.append(response.generations[0][0].generation_info)


async def test_callbacks_get_the_finish_reason(model: ChatAzurePhi3) -> None:
    """The `generation_info` is the same in every call mode."""
    callback = GenerationInfo()
    for mode in CALL_MODES:
        await call_model(model, mode, PROMPT, config={"callbacks": [callback]})

    assert [{"finish_reason": "stop"}] * 4 == callback.found


async def test_model_info_is_fetched_on_request(model: ChatAzurePhi3) -> None:
    """Sync and async."""
    for info in (model.get_model_info(), await model.aget_model_info()):
        assert ("Phi-3-mini-4k-Instruct", "chat-completions", "Microsoft") == (
            info.model_name,
            info.model_type,
            info.model_provider_name,
        )


# -- LangChain and event loops -------------------------------------------------------------------


def test_model_runs_in_a_chain(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Prompt, model, parser."""
    phi.script(ANSWER)
    chain = ChatPromptTemplate.from_template("How many {what}?") | model | StrOutputParser()

    assert ANSWER == chain.invoke({"what": "languages"})
    assert "How many languages?" == phi.requests[-1].json["messages"][0]["content"]


class Echo:
    """A transport that answers with the last message of the request."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        text = httpx.Response(200, content=request.content).json()["messages"][-1]["content"]
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return httpx.Response(200, json={"id": "1", "model": "m", "choices": [choice]})


async def test_batch_answers_keep_their_order() -> None:
    """Sync and async, with many requests at once."""
    transport = httpx.MockTransport(Echo())
    model = ChatAzurePhi3(
        endpoint="https://phi.example",
        credential="key",
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
    )
    prompts = [f"question {number}" for number in range(20)]

    answers = [*model.batch(prompts), *await model.abatch(prompts)]

    assert prompts * 2 == [answer.text for answer in answers]


async def test_async_calls_start_no_thread(
    model: ChatAzurePhi3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fallback to an executor costs twenty times as much for each chunk."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a thread was started")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    await model.ainvoke("Hi")
    async for _ in model.astream("Hi"):
        pass


def test_one_model_works_in_successive_loops(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As in notebooks and test runners; connections do not outlive their loop."""
    phi.script("one", "two", "three")

    assert ["one", "two", "three"] == [asyncio.run(model.ainvoke("Hi")).text for _ in range(3)]


async def stream_texts(model: ChatAzurePhi3, mode: str) -> AsyncIterator[str]:
    """The texts of a sync or an async stream."""
    if mode == "stream":
        for chunk in model.stream(PROMPT):
            yield chunk.text
        return
    async for chunk in model.astream(PROMPT):
        yield chunk.text


async def test_streams_yield_text_piece_by_piece(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The pieces are the server's."""
    for mode in STREAM_MODES:
        phi.script("one two three")

        texts = [text async for text in stream_texts(model, mode) if text]
        assert ["one", " two", " three"] == texts, mode
