"""A client of an emulator, over the in-process transport or over a socket."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator

Json = dict[str, Any]

QUESTION = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "How many languages are in the world?"},
]
STREAM = {"messages": QUESTION, "stream": True}
PASS_THROUGH = {"extra-parameters": "pass-through"}


class Client:
    """An emulator and an HTTP client with its key."""

    def __init__(self, phi: Emulator, http: httpx.Client) -> None:
        self.phi = phi
        self.http = http

    def post(
        self,
        content: Any = "Hello",
        *,
        path: str | None = None,
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> httpx.Response:
        """Post one user message; a `messages` field replaces it."""
        body = {"messages": [{"role": "user", "content": content}], **fields}
        return self.http.post(path or "/chat/completions", json=body, headers=headers)

    def choice(self, content: Any = "Hello", **fields: Any) -> Json:
        """The first choice of a successful answer."""
        response = self.post(content, headers=PASS_THROUGH, **fields)
        assert response.status_code == 200, response.text
        choice: Json = response.json()["choices"][0]
        return choice

    def text(self, content: Any = "Hello", **fields: Any) -> str:
        """The text of a successful answer."""
        text: str = self.choice(content, **fields)["message"]["content"]
        return text

    def chunks(self, content: Any = "Hello", **fields: Any) -> list[Json]:
        """The chunks of a complete stream."""
        response = self.post(content, headers=PASS_THROUGH, stream=True, **fields)
        assert response.status_code == 200, response.text
        *events, done, rest = response.text.split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]


MakeClient = Callable[..., Client]


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    """Make clients; the arguments are the emulator's, and `socket`."""
    with ExitStack() as stack:

        def make(*models: str, socket: bool = False, **options: Any) -> Client:
            phi = Emulator(*models, **options)
            transport = None if socket else phi.transport()
            stack.callback(phi.stop)
            if socket:
                phi.start()
            headers = {"authorization": f"Bearer {phi.key}"}
            http = httpx.Client(
                base_url=phi.endpoint, headers=headers, timeout=5, transport=transport
            )
            return Client(phi, stack.enter_context(http))

        yield make


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    """A client of Phi-3-mini-4k-instruct, in process."""
    return make_client()


@pytest.fixture
def socket_client(make_client: MakeClient) -> Client:
    """The same over a socket."""
    return make_client(socket=True)
