"""A started emulator with a client at its door."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator

Json = dict[str, Any]

AZURES_QUESTION = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "How many languages are in the world?"},
]
PASS_THROUGH = {"extra-parameters": "pass-through"}


class Desk:
    """One emulator and one client that holds its key."""

    def __init__(self, phi: Emulator, http: httpx.Client) -> None:
        self.phi = phi
        self.http = http

    def ask(
        self,
        content: Any = "Hello",
        *,
        path: str = "/chat/completions",
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> httpx.Response:
        """Ask one question; a `messages` field replaces it."""
        body = {"messages": [{"role": "user", "content": content}], **fields}
        return self.http.post(path, json=body, headers=headers)

    def said(self, content: Any = "Hello", **fields: Any) -> str:
        """The text of the answer."""
        text: str = self.choice(content, **fields)["message"]["content"]
        return text

    def choice(self, content: Any = "Hello", **fields: Any) -> Json:
        """The first choice of the answer."""
        response = self.ask(content, headers=PASS_THROUGH, **fields)
        assert response.status_code == 200, response.text
        choice: Json = response.json()["choices"][0]
        return choice

    def chunks(self, content: Any = "Hello", **fields: Any) -> list[Json]:
        """The chunks of a stream, which must end as it should."""
        response = self.ask(content, headers=PASS_THROUGH, stream=True, **fields)
        assert response.status_code == 200, response.text
        *events, done, rest = response.text.split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]


@pytest.fixture
def open_desk() -> Iterator[Callable[..., Desk]]:
    """Make desks; the arguments are the emulator's."""
    with ExitStack() as stack:

        def opened(*models: str, **options: Any) -> Desk:
            phi = stack.enter_context(Emulator(*models, **options))
            key = {"authorization": f"Bearer {phi.key}"}
            client = httpx.Client(base_url=phi.endpoint, headers=key, timeout=5)
            return Desk(phi, stack.enter_context(client))

        yield opened


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    """A desk with Phi-3-mini-4k-instruct."""
    return open_desk("Phi-3-mini-4k-instruct")
