"""What servers of one's own report: their models, the context they run with, and their timings.

The responses have the forms of vLLM, llama.cpp's server and Ollama.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from langchain_azure_phi3 import (
    BadRequestError,
    ChatAzurePhi3,
    ContextLengthError,
    InvalidInputError,
    NotFoundError,
    diagnose,
)
from tests.http_server import json_server
from tests.integration_tests.call_modes import CALL_MODES, call_error, call_model

NEEDS_MODEL = {"error": {"message": "model is required", "type": "api_error"}}
OVERFLOW = (
    "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens "
    "({} in the messages, {} in the completion). Please reduce the length of the messages."
)
TIMINGS = {"prompt_n": 12, "prompt_ms": 30.5, "predicted_n": 5, "predicted_per_second": 41.2}
DURATIONS = {"total_duration": 3_000, "load_duration": 1_000, "eval_duration": 2_000}


def completion(model: str, **fields: Any) -> httpx.Response:
    """A response of that model."""
    choice = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}
    return httpx.Response(200, json={"model": model, "choices": [choice], **fields})


class Server:
    """A server on localhost that lists models and requires a name, as Ollama does."""

    def __init__(self, *listed: dict[str, Any], reported: str | None = None) -> None:
        self.paths: list[str] = []
        self.models: list[str | None] = []
        self._listed = listed
        self._reported = reported

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.paths.append(request.url.path)
        if request.method == "GET":
            return httpx.Response(200, json={"object": "list", "data": list(self._listed)})
        body = json.loads(request.content)
        self.models.append(body.get("model"))
        if "model" not in body:
            return httpx.Response(400, json=NEEDS_MODEL)
        if body["model"] not in [entry["id"] for entry in self._listed]:
            message = f"model '{body['model']}' not found"
            return httpx.Response(404, json={"error": {"message": message}})
        return completion(self._reported or body["model"])

    def connect(self, **settings: Any) -> ChatAzurePhi3:
        """A model whose requests end here."""
        return connect(self, **settings)


def connect(handler: Any, **settings: Any) -> ChatAzurePhi3:
    """A model whose requests the handler answers."""
    given = {"endpoint": "http://localhost:8000/v1", "max_retries": 0, **settings}
    return ChatAzurePhi3(
        http_client=httpx.Client(transport=httpx.MockTransport(handler)),
        http_async_client=httpx.AsyncClient(transport=httpx.MockTransport(handler)),
        **given,
    )


# -- names ---------------------------------------------------------------------------------------


async def test_the_only_listed_model_is_requested() -> None:
    """Where the server requires a name and none was given; later requests name it at once."""
    for number, mode in enumerate(CALL_MODES):
        server = Server({"id": "phi4-mini:latest"})
        endpoint = f"http://localhost:{8100 + number}/v1"

        for _ in range(2):
            answer = await call_model(server.connect(endpoint=endpoint), mode, "Hi")
            assert answer.text == "Hi"

        assert server.models == [None, "phi4-mini:latest", "phi4-mini:latest"]
        assert server.paths.count("/v1/models") == 1
        profile = server.connect(endpoint=endpoint).profile
        assert profile is not None
        assert profile["max_input_tokens"] == 131_072


async def test_a_replaced_model_is_found() -> None:
    """The server runs another one by now; of two, none is requested."""
    for number, mode in enumerate(CALL_MODES):
        endpoint = f"http://localhost:{8300 + number}/v1"
        before, after = Server({"id": "phi4"}), Server({"id": "phi4-mini"})
        both = Server({"id": "phi4-reasoning"}, {"id": "phi4"})

        for server in (before, after):
            assert (await call_model(server.connect(endpoint=endpoint), mode, "Hi")).text == "Hi"
        error = await call_error(both.connect(endpoint=endpoint), mode, "Hi")

        assert after.models == ["phi4", "phi4-mini"]
        assert "The server lists: phi4-reasoning, phi4." in str(error)
        await call_error(both.connect(endpoint=endpoint), mode, "Hi")
        assert both.models == ["phi4-mini", None]


async def test_errors_list_the_models_of_the_server() -> None:
    """For a missing name where there are several, and for an unknown name."""
    for mode in CALL_MODES:
        server = Server({"id": "phi4"}, {"id": "phi4-mini"})

        missing = await call_error(server.connect(), mode, "Hi")
        unknown = await call_error(server.connect(model="phi-5"), mode, "Hi")

        assert isinstance(missing, BadRequestError)
        assert isinstance(unknown, NotFoundError)
        for error in (missing, unknown):
            assert str(error).endswith(". The server lists: phi4, phi4-mini.")
        assert server.models == [None, "phi-5"]


def test_without_a_list_the_first_error_remains() -> None:
    """A server without that route, or with no model."""
    for listing in (httpx.Response(404, text="nothing here"), httpx.Response(200, json={})):

        def handle(request: httpx.Request, listing: httpx.Response = listing) -> httpx.Response:
            return listing if request.method == "GET" else httpx.Response(400, json=NEEDS_MODEL)

        with pytest.raises(BadRequestError, match=r"model is required\.?$"):
            connect(handle).invoke("Hi")


def test_other_refusals_ask_for_no_list() -> None:
    """Only those that are about the name."""
    bodies = ("Invalid temperature for this model", "Tools are not supported by the model")
    for body in bodies:
        paths: list[str] = []

        def handle(
            request: httpx.Request, body: str = body, paths: list[str] = paths
        ) -> httpx.Response:
            paths.append(request.url.path)
            return httpx.Response(400, json={"error": {"message": body}})

        with pytest.raises(BadRequestError):
            connect(handle).invoke("Hi")
        assert paths == ["/v1/chat/completions"]


# -- limits --------------------------------------------------------------------------------------

VLLM = {"id": "house-phi", "root": "microsoft/Phi-4-mini-instruct", "max_model_len": 4_096}


async def test_model_info_reads_the_list() -> None:
    """In vLLM, it has the model behind a name of one's own, and the context that it runs with."""
    server = Server(VLLM, {"id": "other"}, reported="house-phi")
    model = server.connect(model="house-phi")

    for info in (model.get_model_info(), await model.aget_model_info()):
        assert info.model_name == "house-phi"
        assert info.base_model == "microsoft/Phi-4-mini-instruct"
        assert info.context == 4_096

    assert model.profile is not None
    assert model.profile["name"] == "Phi-4-mini-instruct"
    assert model.profile["max_input_tokens"] == 4_096
    with pytest.raises(ContextLengthError, match="has a context of 4,096"):
        model.invoke("word " * 5_000)
    assert server.models == []
    assert model.invoke("word " * 3_000).text == "Hi"


def test_model_info_needs_a_listed_model() -> None:
    """One of several has to be named, and be there; entries without a name do not count."""
    server = Server(VLLM, {"id": "other"}, {"id": ""})

    with pytest.raises(InvalidInputError, match=r"several models: house-phi, other\. Pass model="):
        server.connect().get_model_info()
    with pytest.raises(NotFoundError, match="does not list the model 'phi-5'"):
        server.connect(model="phi-5").get_model_info()


async def test_an_overflow_teaches_the_context() -> None:
    """Later prompts that cannot fit are refused before sending, also by other models."""
    for number, mode in enumerate(CALL_MODES):
        sent: list[int] = []

        def handle(request: httpx.Request, sent: list[int] = sent) -> httpx.Response:
            sent.append(len(request.content))
            if len(request.content) < 10_000:
                return completion("house-phi")
            return httpx.Response(400, json={"message": OVERFLOW.format(3000, 0)})

        settings = {"model": "house-phi", "endpoint": f"http://localhost:{8200 + number}/v1"}
        first = await call_error(connect(handle, **settings), mode, "word " * 3_000)
        again = await call_error(connect(handle, **settings), mode, "word " * 3_000)

        assert isinstance(first, ContextLengthError)
        assert isinstance(again, ContextLengthError)
        assert "the deployment has a context of 2,048" in str(again)
        assert len(sent) == 1
        assert (await call_model(connect(handle, **settings), mode, "word " * 1_000)).text == "Hi"


def test_an_overflow_names_max_tokens() -> None:
    """Where it is the reason, and only there."""
    for prompt, max_tokens, named in ((20, 2_980, True), (1_000, 2_000, True), (3_000, 10, False)):

        def handle(
            _: httpx.Request, prompt: int = prompt, max_tokens: int = max_tokens
        ) -> httpx.Response:
            return httpx.Response(400, json={"message": OVERFLOW.format(prompt, max_tokens)})

        with pytest.raises(ContextLengthError) as caught:
            connect(handle, model="house-phi", max_tokens=max_tokens).invoke("Hi")
        assert (f"max_tokens={max_tokens:,} counts towards" in str(caught.value)) == named
        assert ("fit_max_tokens=True" in str(caught.value)) == named


@contextmanager
def llama_cpp() -> Iterator[str]:
    """The URL of a server with llama.cpp's routes."""
    routes: dict[str, Any] = {
        "/v1/models": {"data": [{"id": "phi-4-mini.gguf", "meta": {"n_ctx_train": 131_072}}]},
        "/props": {"default_generation_settings": {"n_ctx": 2_048}, "total_slots": 1},
    }

    def respond(method: str, path: str) -> bytes:
        if method == "GET":
            return json.dumps(routes[path]).encode()
        return completion("phi-4-mini.gguf").content

    with json_server(respond) as url:
        yield url


def test_doctor_reads_llama_cpps_props() -> None:
    """They have the context that the server runs with; the list has the trained one."""
    with llama_cpp() as endpoint:
        report = diagnose({"endpoint": endpoint, "credential": ""}, timeout=5)

    found = {finding.step: finding.detail for finding in report.findings}
    assert found["model"] == "Phi-4-mini-instruct, a context of 2,048 tokens on this server"


# -- timings -------------------------------------------------------------------------------------


async def test_timings_are_in_the_metadata() -> None:
    """llama.cpp's and Ollama's; of a stream those of its last chunk."""

    def handle(request: httpx.Request) -> httpx.Response:
        if not json.loads(request.content).get("stream"):
            return completion("phi4", timings=TIMINGS, **DURATIONS)
        early = {"choices": [{"index": 0, "delta": {"content": "Hi"}}], "timings": {"prompt_n": 1}}
        last = {"choices": [], "timings": TIMINGS, **DURATIONS}
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        events = "".join(f"data: {json.dumps(event)}\n\n" for event in (early, end, last))
        return httpx.Response(200, text=events + "data: [DONE]\n\n")

    for mode in CALL_MODES:
        answer = await call_model(connect(handle, model="phi4"), mode, "Hi")
        assert answer.response_metadata["timings"] == TIMINGS
        assert DURATIONS.items() <= answer.response_metadata.items()
