"""A real model behind the emulator's API: any server that speaks OpenAI's chat completions.

What is in front stays Azure's: keys, routes, validation, extra parameters, the filter's triggers,
framing and errors. The words, the reasons why they end, and the token counts are the model's.
Log-probabilities are not passed on: those of a real model would not fit the pieces written here.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_azure_phi3.emulator import refusals
from langchain_azure_phi3.emulator.conversation import Prompt, Spoken
from langchain_azure_phi3.emulator.upstream_stream import LiveChoice, counts, worded
from langchain_azure_phi3.emulator.error_bodies import Refused
from langchain_azure_phi3.emulator.wire import Json

if TYPE_CHECKING:
    import httpx

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 600.0  # a model on a laptop may read a long prompt for minutes

# Answered here, or asked for in another way.
_NOT_PASSED_ON = frozenset(
    {"model", "stream", "n", "best_of", "stream_options", "logprobs", "top_logprobs"}
)
_SHOWN = 300


class Upstream:
    """A persona that asks another server, whole or in pieces.

    Args:
        url: Its base, such as `http://localhost:11434/v1`.
        model: What that server calls the model; default: the first that it lists.
        key: Its key, if it asks for one.

    Raises:
        ValueError: `url` is no http or https URL.
    """

    def __init__(self, url: str, *, model: str | None = None, key: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"upstream={url!r} is no URL: give the base of an OpenAI-compatible server, such "
                "as http://localhost:11434/v1"
            )
        self.url = url.rstrip("/").removesuffix("/chat/completions")
        self._model = model
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def __call__(self, prompt: Prompt) -> Spoken:
        """The whole answer.

        Raises:
            Refused: The server did not answer, or not with a completion.
        """
        import httpx

        with _failures(self.url):
            response = self._http.post(
                f"{self.url}/chat/completions", json=self._payload(prompt), headers=self._headers
            )
            _check(response)
            try:
                return _spoken(response.json())
            except (ValueError, LookupError, TypeError, AttributeError, httpx.DecodingError):
                raise _unexpected(f"200: {response.text[:_SHOWN]}") from None

    def stream(self, prompt: Prompt) -> LiveChoice:
        """The answer as it comes; the server has begun to give it when this returns.

        Raises:
            Refused: The server did not begin to answer.
        """
        options = {"stream": True, "stream_options": {"include_usage": True}}
        with _failures(self.url):
            payload = self._payload(prompt) | options
            request = self._http.build_request(
                "POST", f"{self.url}/chat/completions", json=payload, headers=self._headers
            )
            response = self._http.send(request, stream=True)
            if not response.is_success:
                with closing(response):
                    response.read()
                    _check(response)
        return LiveChoice(_events(response, self.url))

    def close(self) -> None:
        """Close the connections to the server; the next question opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    @property
    def _http(self) -> "httpx.Client":
        import httpx

        with self._lock:
            if self._client is None:
                # As many at once as are asked here: the server behind knows its own limits.
                self._client = httpx.Client(
                    timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
                    limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
                )
            return self._client

    def _payload(self, prompt: Prompt) -> Json:
        given = {
            name: value
            for name, value in prompt.parameters.items()
            if name not in _NOT_PASSED_ON and value is not None
        }
        messages = [turn.sent for turn in prompt.turns]
        return {"model": self._named(), "messages": messages, **given}

    def _named(self) -> str:
        if self._model is None:
            response = self._http.get(f"{self.url}/models", headers=self._headers)
            _check(response)
            try:
                self._model = str(response.json()["data"][0]["id"])
            except (ValueError, LookupError, TypeError):
                raise _unexpected(f"no list of models: {response.text[:_SHOWN]}") from None
        return self._model


def _spoken(body: Json) -> Spoken:
    choice = body["choices"][0]
    message = choice["message"]
    prompt_tokens, answer_tokens = counts(body.get("usage"))
    calls = tuple(
        (call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    )
    return Spoken(
        message.get("content") or "",
        tokens=answer_tokens,
        thoughts=worded(message),
        calls=calls,
        cut_off=choice.get("finish_reason") == "length",
        prompt_tokens=prompt_tokens,
        final=True,
    )


def _events(response: "httpx.Response", url: str) -> Iterator[Json]:
    """The JSON of each event; whatever ends the stream early is a failure."""
    with closing(response), _failures(url):
        for line in response.iter_lines():
            data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
            if data == "[DONE]":
                return
            if data:
                yield _event(data)


def _event(data: str) -> Json:
    try:
        event = json.loads(data)
    except ValueError:
        raise _unexpected(f"an event that is no JSON: {data[:_SHOWN]}") from None
    if not isinstance(event, dict) or "error" in event:
        raise _unexpected(f"an event: {data[:_SHOWN]}")
    return event


@contextmanager
def _failures(url: str) -> Iterator[None]:
    """Tell what goes wrong on the way to the server as a service tells what is behind it."""
    import httpx

    try:
        yield
    except httpx.TimeoutException as problem:
        raise refusals.unavailable(504, f"{url} did not answer in time.") from problem
    except (httpx.RequestError, httpx.InvalidURL) as problem:
        raise refusals.unavailable(503, f"{url} cannot be reached: {problem}") from problem


def _check(response: "httpx.Response") -> None:
    if response.is_success:
        return
    status = response.status_code
    said = f"{status}: {response.text[:_SHOWN]}"
    refused = _PASSED_ON.get(status)
    raise _unexpected(said) if refused is None else refused(_message(response), response)


def _limited(message: str, response: "httpx.Response") -> Refused:
    asked = response.headers.get("retry-after")
    headers: Mapping[str, str] = {} if asked is None else {"retry-after": asked}
    return Refused(429, {"error": {"code": "429", "message": message}}, headers)


def _refused(message: str, _: Any) -> Refused:
    return refusals.engine(message)


def _unexpected(said: str) -> Refused:
    # A wrong key or path of the server behind must not look like one of this endpoint.
    return refusals.unavailable(
        500, f"Backend returned unexpected response. The server behind this one said {said}"
    )


# What the caller can mend is passed on; all else is this service's own failure.
_PASSED_ON: Mapping[int, Callable[[str, Any], Refused]] = {
    400: _refused,
    413: _refused,
    422: _refused,
    429: _limited,
}


def _message(response: "httpx.Response") -> str:
    """The server's own words, out of the places where such servers put them."""
    try:
        body = response.json()
    except ValueError:
        return response.text[:_SHOWN]
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message") if isinstance(error, dict) else error
    return str(message if message is not None else body)
