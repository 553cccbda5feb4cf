"""The chat models that are compared, with what counts their requests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_azure_phi3 import ChatAzurePhi3
from tests.third_party.llama_server import KEY, MODEL, LlamaServer

MAX_TOKENS = 120
SEED = 1  # as in the server's settings
_TIMEOUT = 300

OURS = "langchain-azure-phi3"


class RequestCount:
    """Counts the completions that HTTP clients with its hook request."""

    def __init__(self) -> None:
        self.value = 0

    @property
    def hooks(self) -> dict[str, list[Callable[[httpx.Request], None]]]:
        """The event hooks of an `httpx.Client`."""
        return {"request": [self._add]}

    def _add(self, request: httpx.Request) -> None:
        self.value += request.url.path.endswith(("/chat/completions", "/api/chat"))


@dataclass(frozen=True)
class Contender:
    """A chat model and how it is asked for objects.

    Attributes:
        model: The chat model.
        count: How many requests it sent.
        method: The `method` of `with_structured_output`; `None` for the default.
    """

    model: BaseChatModel
    count: RequestCount
    method: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `with_structured_output`."""
        return {} if self.method is None else {"method": self.method}


def contenders(llama: LlamaServer) -> Mapping[str, Contender]:
    """All of them, by the name in the page."""
    return {
        f"{OURS}, prompt only": _ours(llama, constrained_decoding="off", max_corrections=0),
        f"{OURS}, constrained": _ours(llama, max_corrections=0),
        f"{OURS}, constrained and corrected": _ours(llama),
        # "json_schema" is the default of both packages.
        "langchain-openai, json_schema": _openai(llama, "json_schema"),
        "langchain-openai, function_calling": _openai(llama, "function_calling"),
        "langchain-ollama, json_schema": _ollama(llama, "json_schema"),
    }


def _ours(llama: LlamaServer, **settings: Any) -> Contender:
    count = RequestCount()
    client = httpx.Client(event_hooks=count.hooks, timeout=_TIMEOUT)
    given = llama.settings(max_tokens=MAX_TOKENS, http_client=client, **settings)
    return Contender(ChatAzurePhi3(**given), count)


def _openai(llama: LlamaServer, method: str) -> Contender:
    count = RequestCount()
    model = ChatOpenAI(
        base_url=llama.v1,
        api_key=SecretStr(KEY),
        model=MODEL,
        temperature=0,
        seed=SEED,
        max_tokens=MAX_TOKENS,  # type: ignore[call-arg]  # an alias
        max_retries=0,
        timeout=_TIMEOUT,
        http_client=httpx.Client(event_hooks=count.hooks, timeout=_TIMEOUT),
    )
    return Contender(model, count, method)


def _ollama(llama: LlamaServer, method: str) -> Contender:
    count = RequestCount()
    headers = {"authorization": f"Bearer {KEY}"}
    model = ChatOllama(
        base_url=llama.url,
        model=MODEL,
        temperature=0,
        seed=SEED,
        num_predict=MAX_TOKENS,
        client_kwargs={"headers": headers, "timeout": _TIMEOUT},
        sync_client_kwargs={"event_hooks": count.hooks},
    )
    return Contender(model, count, method)
