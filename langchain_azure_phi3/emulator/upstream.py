"""A real model behind the emulator: any server that implements OpenAI's chat completions.

The emulator still does authentication, routing, validation, extra parameters, content filtering,
framing and errors. The text, the finish reasons and the token counts come from the model.
Log-probabilities are not passed on, because a real model's tokens differ from the emulator's.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import httpx

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator import error_bodies
from langchain_azure_phi3.emulator.conversation import Generation, Prompt
from langchain_azure_phi3.emulator.error_bodies import ApiError
from langchain_azure_phi3.emulator.upstream_stream import reasoning_text, usage_details

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 600.0  # a model on a laptop may need minutes for a long prompt

# The emulator handles these itself.
_NOT_FORWARDED = frozenset(
    {"model", "stream", "n", "best_of", "stream_options", "logprobs", "top_logprobs"}
)
_MAX_QUOTED = 300


class Upstream:
    """A responder that forwards prompts to another server.

    Args:
        url: The base URL, such as `http://localhost:11434/v1`.
        model: The model's name on that server. Default: the first that it lists.
        key: That server's key, if it requires one.

    Raises:
        ValueError: `url` is not an http or https URL.
    """

    def __init__(self, url: str, *, model: str | None = None, key: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"upstream={url!r} is not an http URL. Pass the base URL of an OpenAI-compatible "
                "server, such as http://localhost:11434/v1."
            )
        self.url = url.rstrip("/").removesuffix("/chat/completions")
        self._model = model
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def __call__(self, prompt: Prompt) -> Generation:
        """Return the complete response, or raise an `ApiError`."""
        response = self._send(prompt, {})
        try:
            return _parse_completion(json.loads(response.read()))
        except (ValueError, LookupError, TypeError, AttributeError):
            raise _unexpected(f"200: {response.text[:_MAX_QUOTED]}") from None

    def stream(self, prompt: Prompt) -> Iterator[Json]:
        """Return the events of a streamed response, or raise an `ApiError` if there is none."""
        options = {"stream": True, "stream_options": {"include_usage": True}}
        return _read_events(self._send(prompt, options), self.url)

    def _send(self, prompt: Prompt, options: Json) -> httpx.Response:
        with _map_errors(self.url):
            parameters = {
                name: value
                for name, value in prompt.parameters.items()
                if name not in _NOT_FORWARDED and value is not None
            }
            messages = [message.payload for message in prompt.messages]
            payload = {"model": self._model_name(), "messages": messages, **parameters, **options}
            url = f"{self.url}/chat/completions"
            request = self._http.build_request("POST", url, json=payload, headers=self._headers)
            response = self._http.send(request, stream=True)
            if not response.is_success or len(options) == 0:
                with closing(response):
                    response.read()
            _raise_for_status(response)
        return response

    def close(self) -> None:
        """Close the connections to the server. The next request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    @property
    def _http(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                # The server knows its own limits. A proxy before this machine would see the key.
                self._client = httpx.Client(
                    mounts=dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]")),
                    timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
                    limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
                )
            return self._client

    def _model_name(self) -> str:
        if self._model is None:
            response = self._http.get(f"{self.url}/models", headers=self._headers)
            _raise_for_status(response)
            try:
                self._model = str(response.json()["data"][0]["id"])
            except (ValueError, LookupError, TypeError):
                raise _unexpected(f"no list of models: {response.text[:_MAX_QUOTED]}") from None
        return self._model


def _parse_completion(body: Json) -> Generation:
    choice = body["choices"][0]
    message = choice["message"]
    usage = body.get("usage") or {}
    tool_calls = tuple(
        (call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    )
    return Generation(
        message.get("content") or "",
        tokens=usage.get("completion_tokens"),
        reasoning=reasoning_text(message),
        tool_calls=tool_calls,
        truncated=choice.get("finish_reason") == "length",
        prompt_tokens=usage.get("prompt_tokens"),
        final=True,
        refusal=message.get("refusal") or "",
        usage_details=usage_details(usage),
    )


def _read_events(response: httpx.Response, url: str) -> Iterator[Json]:
    with closing(response), _map_errors(url):
        for line in response.iter_lines():
            data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
            if data == "[DONE]":
                return
            if data:
                try:
                    event = json.loads(data)
                except ValueError:
                    event = None
                if not isinstance(event, dict) or "error" in event:
                    raise _unexpected(f"the event: {data[:_MAX_QUOTED]}")
                yield event


@contextmanager
def _map_errors(url: str) -> Iterator[None]:
    """Report connection errors as a service reports failures of its backend."""
    try:
        yield
    except httpx.TimeoutException as problem:
        raise error_bodies.unavailable(504, f"{url} did not respond in time.") from problem
    except (httpx.RequestError, httpx.InvalidURL) as problem:
        raise error_bodies.unavailable(503, f"{url} cannot be reached: {problem}") from problem


def _raise_for_status(response: httpx.Response) -> None:
    """Pass on errors that the caller can fix; report others as failures of this service."""
    if response.is_success:
        return
    status = response.status_code
    if status in (400, 413, 422):
        raise error_bodies.engine_error(_error_message(response))
    if status == 429:
        retry_after = response.headers.get("retry-after")
        headers = {} if retry_after is None else {"retry-after": retry_after}
        body = {"error": {"code": "429", "message": _error_message(response)}}
        raise ApiError(429, body, headers)
    # A 401 or 404 would appear to be about this endpoint.
    raise _unexpected(f"{status}: {response.text[:_MAX_QUOTED]}")


def _unexpected(received: str) -> ApiError:
    return error_bodies.unavailable(
        500, f"Backend returned unexpected response. The upstream server returned {received}"
    )


def _error_message(response: httpx.Response) -> str:
    """Return the message in an error of any format."""
    try:
        body = response.json()
    except ValueError:
        return response.text[:_MAX_QUOTED]
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message") if isinstance(error, dict) else error
    return str(message if message is not None else body)
