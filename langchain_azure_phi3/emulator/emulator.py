"""The emulator: start an endpoint, inspect its requests, and make it fail."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from langchain_azure_phi3.emulator._deprecation import renamed_attributes, renamed_parameters
from langchain_azure_phi3.emulator.behavior import Behavior, JsonMode, ReasoningPlace, ToolMode
from langchain_azure_phi3.emulator.conversation import Responder
from langchain_azure_phi3.emulator.deployment import Deployment
from langchain_azure_phi3.emulator.faults import Fault, FaultName
from langchain_azure_phi3.emulator.framing import FramingName
from langchain_azure_phi3.emulator.model_errors import ModelErrorName, check_model_error
from langchain_azure_phi3.emulator.quota import Quota, QuotaPeriod
from langchain_azure_phi3.emulator.responder import respond
from langchain_azure_phi3.emulator.server_types import (
    ConstraintMode,
    FilterErrorFormat,
    ServerTypeName,
    StreamUsage,
)
from langchain_azure_phi3.emulator.upstream import Upstream
from langchain_azure_phi3.emulator.wire import Request

if TYPE_CHECKING:
    from langchain_azure_phi3.emulator.serving import Server, ServerThread
    from langchain_azure_phi3.emulator.transport import EmulatorTransport

_HOST = "127.0.0.1"
_MAX_SERVED_REQUESTS = 1000


@renamed_attributes(in_constructor=False, misbehave="inject_model_error", base="base_path")
class Emulator:
    """A Phi endpoint on this machine.

    ```python
    import httpx

    from langchain_azure_phi3.emulator import Emulator

    with Emulator("Phi-3-mini-4k-instruct") as phi:
        headers = {"authorization": f"Bearer {phi.key}"}
        print(httpx.get(f"{phi.endpoint}/info", headers=headers).text)
    ```

    Args:
        models: Names of models in Azure's catalog, in any case. The first is used unless a
            request names another. Default: `"Phi-3-mini-4k-instruct"`.
        deployment: A custom name for the first model, as on deployments and self-hosted servers:
            used in requests, in paths, and in lists of models.
        context: The context size of the first model on this server, if smaller than the model's.
        key: The valid API key. Default: 32 random characters.
        port: The port to listen on. 0: any free port.
        responder: Generates the responses: a function from a `Prompt` to a text or a
            `Generation`. It runs in a thread for each request, so it may block. Default: short
            deterministic responses that follow tools and schemas.
        upstream: Forwards prompts to a real model: the base URL of any server with OpenAI's chat
            completions, such as `"http://localhost:11434/v1"`.
        upstream_model: The model's name on that server. Default: the first that it lists.
        upstream_key: That server's key, if it requires one.
        server_type: `"serverless"`; managed compute by the age of its image
            (`"managed-2024-05"`, `"managed-2024-06"`, `"managed-2025-01"`,
            `"managed-2026-07"`, `"foundation-model-serve"`); `"foundry"`, `"openai-v1"`,
            `"azure-openai"`; or a self-hosted server (`"vllm"`, `"llama.cpp"`,
            `"ollama"`, `"openai-server"`).
        filter_error_format: The error for a filtered prompt: `"nested"` (Azure's how-tos),
            `"flat"` (its API reference), `"detailed"` (with categories and severities),
            `"managed"` (model servers), `"managed-flat"` (before version 0.2.16). Default: as the
            server type.
        include_filter_results: Whether responses include the results of the content filter.
        json_mode: Whether `response_format: json_object` is rejected (`"refuse"`, documented) or
            produces line feeds (`"flood"`, seen in PhiCookBook#73). Default: as the server
            type. Managed compute and self-hosted servers constrain the response to an object.
        constrained_decoding: What happens to a schema in `response_format`, `guided_json` or
            `structured_outputs`: it is enforced (`"enforce"`), ignored (`"ignore"`), or the
            request is rejected (`"reject"`). Default: as the server type.
        usage_in_streams: Where streams report usage: in the `"finish"` chunk, a `"separate"` last
            one, `"every"` one, or `"none"` unless `stream_options` requests it. Default: as the
            server type.
        framing: How events are written: any of `"bom"`, `"bytewise"`, `"comments"`, `"crlf"`,
            `"no-done"`, `"no-final-blank-line"`, `"no-space"`.
        tools: Whether `tools` and schemas are rejected (`"refuse"`, as Azure does for all Phi
            models) or accepted (`"native"`).
        reasoning: Where reasoning models put their reasoning: in the `"text"`, in `<think>` tags,
            or in the `"field"` `reasoning_content` (Azure's api-version 2025-04-01).
        model_errors: Mistakes of the model, one for each of the next responses, as in
            `inject_model_error`.
        max_body_bytes: The largest body of a request, in bytes. A larger one is not read and gets
            a 413.
        requests_per_minute: A quota of requests. Answers have Azure's `x-ratelimit-*` headers;
            when the quota is used up, requests get a 429 with `retry-after` until it resets.
        tokens_per_minute: A quota of tokens. A request counts when it is admitted: the tokens of
            its prompt plus `max_tokens` for each choice; without `max_tokens`, only its prompt.
        quota_period: Seconds between two resets of the quotas. Less than Azure's 60 makes tests
            of waiting shorter.
        chunk_delay: Seconds between two events of a stream.
        faults: Rates of random failures by status or name of a fault, such as
            `{"429": 0.05, "cut": 0.02}`. `fail(rate=...)` has more options.
        seed: Chooses the requests that fail, independently of their order.
        log: Called with one line for each request that came over a socket: method, path, model,
            status, tokens and milliseconds, with `-` for unknown values. For example, `print`.

    Raises:
        ValueError: An unknown model or option, or both `responder` and `upstream`.
    """

    @renamed_parameters(
        persona="responder",
        dialect="server_type",
        safety="filter_error_format",
        annotations="include_filter_results",
        misbehaves="model_errors",
        pace="chunk_delay",
    )
    def __init__(
        self,
        *models: str,
        deployment: str | None = None,
        context: int | None = None,
        key: str | None = None,
        port: int = 0,
        responder: Responder = respond,
        upstream: str | None = None,
        upstream_model: str | None = None,
        upstream_key: str | None = None,
        server_type: ServerTypeName = "serverless",
        filter_error_format: FilterErrorFormat | None = None,
        include_filter_results: bool = False,
        json_mode: JsonMode | None = None,
        constrained_decoding: ConstraintMode | None = None,
        usage_in_streams: StreamUsage | None = None,
        framing: FramingName | Iterable[FramingName] = (),
        tools: ToolMode = "refuse",
        reasoning: ReasoningPlace = "text",
        model_errors: ModelErrorName | Iterable[ModelErrorName] = (),
        max_body_bytes: int = 100_000_000,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        quota_period: float = 60.0,
        chunk_delay: float = 0.0,
        faults: Mapping[str, float] | None = None,
        seed: int = 0,
        log: Callable[[str], object] | None = None,
    ) -> None:
        behavior = Behavior(
            server_type=server_type,
            filter_error_format=filter_error_format,
            include_filter_results=include_filter_results,
            json_mode=json_mode,
            constrained_decoding=constrained_decoding,
            usage_in_streams=usage_in_streams,
            framing=frozenset([framing] if isinstance(framing, str) else framing),
            tools=tools,
            reasoning=reasoning,
            max_body_bytes=max_body_bytes,
        )
        self.key = secrets.token_hex(16) if key is None else key
        self._upstream: Upstream | None = None
        if upstream is not None:
            if responder is not respond:
                raise ValueError("Pass a responder or an upstream, not both.")
            responder = self._upstream = Upstream(upstream, model=upstream_model, key=upstream_key)
        quota = Quota(requests_per_minute, tokens_per_minute, quota_period)
        self._deployment = Deployment(
            models,
            self.key,
            behavior,
            quota,
            deployment=deployment,
            context=context,
            responder=responder,
            seed=seed,
        )
        for name, rate in ({} if faults is None else faults).items():
            self._deployment.fault_sampler.add(rate, Fault.parse(name))
        self.inject_model_error(
            *([model_errors] if isinstance(model_errors, str) else model_errors)
        )
        self._port = port
        self._chunk_delay = chunk_delay
        self._log = log
        self._server: Server | None = None
        self._thread: ServerThread | None = None
        self._is_in_process = False

    def __repr__(self) -> str:
        is_reachable = self._thread is not None or self._is_in_process
        endpoint = repr(self.endpoint) if is_reachable else "not started"
        return f"Emulator({self.model!r}, endpoint={endpoint})"

    @property
    def model(self) -> str:
        """The name of the default model in requests, which is the name of its deployment."""
        return self._deployment.models[0].name

    @property
    def endpoint(self) -> str:
        """The base URL. Without `start`, but with `transport()`, one for that transport.

        Raises:
            RuntimeError: The emulator is not started, or is stopped.
        """
        if self._thread is not None:
            return f"http://{_HOST}:{self._thread.port}{self.base_path}"
        if self._is_in_process:
            return f"http://phi.invalid{self.base_path}"  # RFC 2606: never resolves
        raise RuntimeError(
            "The emulator is not started, so it has no endpoint. Use `with Emulator() as phi:` or "
            "`phi.start()`, or call `phi.transport()` first to use it without a socket."
        )

    @property
    def base_path(self) -> str:
        """The path of the endpoint, empty on most server types."""
        return self._deployment.base_path

    @property
    def requests(self) -> list[Request]:
        """The requests received so far, in order. You may clear the list."""
        return self._deployment.requests

    @property
    def quota_periods(self) -> list[QuotaPeriod]:
        """The usage of the quotas in each period with requests."""
        return self._deployment.quota.periods

    @property
    def open_connections(self) -> int:
        """The number of open TCP connections."""
        return 0 if self._server is None else len(self._server.connections)

    def script(self, *texts: str) -> None:
        """Set the texts of the next responses. After them, the responder is used again."""
        self._deployment.script.extend(texts)

    def inject_model_error(self, *names: ModelErrorName, times: int = 1) -> None:
        """Make the model err in its next responses: each error in `times` responses, in order.

        A response uses up its error even if the error does not apply to it. Scripted responses do
        not use up errors.

        Args:
            names: `"prose"` puts text around the JSON; `"fence"` and `"unclosed fence"` put it
                into a Markdown block; `"wrong types"` writes numbers as strings, strings of
                digits as numbers, and the only item of a list for the list; `"bad values"` omits
                a required key; `"invented arguments"` adds some; `"unknown tool"` calls one;
                `"no call"` writes text; `"schema echo"` repeats the schema; `"two calls"`
                writes the call or object twice; `"single quotes"`, `"trailing comma"` and `"python
                literals"` write invalid JSON; `"cut off"` ends in the middle with `finish_reason`
                `length`; `"empty"` returns no text.
            times: How often each.

        Raises:
            ValueError: An unknown error. The message lists the known ones.
        """
        for name in [check_model_error(name) for name in names]:
            self._deployment.model_errors.extend([name] * times)

    @renamed_parameters(kind="name", spared="skip", at="fraction", share="rate")
    def fail(
        self,
        name: FaultName | None = None,
        *,
        status: int | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | str | None = None,
        times: int = 1,
        after: int = 0,
        after_bytes: int | None = None,
        fraction: float | None = None,
        seconds: float | None = None,
        skip: int = 0,
        rate: float | None = None,
    ) -> None:
        """Make the next requests fail. Failures are used up in the order in which they are set.

        Args:
            name: `"cut"` closes the connection in the middle, `"reset"` resets it, `"stall"`
                stops sending, `"hang"` never responds, `"refuse"` closes before any response,
                `"end"` ends the body early but cleanly, `"garble"` sends broken JSON, `"event"`
                sends `body` in the middle of a stream, `"html"` a login page, `"empty"` an empty
                200, `"short"` less than `content-length`.
            status: The status of an error response instead.
            body: The body: `str` and `bytes` unchanged, anything else as JSON.
            headers: Additional headers.
            retry_after: The header `retry-after`: seconds or a date.
            times: How many requests fail.
            after: How many events of a stream are sent before the fault.
            after_bytes: How many bytes of the body are sent before the fault, instead.
            fraction: Which fraction of the body is sent before the fault, instead.
            seconds: How long a stall lasts before the connection is closed. `None`: until the
                client disconnects.
            skip: How many requests succeed first.
            rate: Which fraction of all requests fails, chosen at random, instead of the next
                ones. Rates add up.

        Raises:
            ValueError: Neither `name` nor `status`, an unknown fault, or rates above 1.
        """
        failure = Fault(
            name=name,
            status=status,
            body=body,
            headers={} if headers is None else headers,
            retry_after=retry_after,
            after=after,
            after_bytes=after_bytes,
            fraction=fraction,
            seconds=seconds,
        )
        if rate is None:
            self._deployment.faults.extend([None] * skip + [failure] * times)
        else:
            self._deployment.fault_sampler.add(rate, failure)

    def clear_faults(self) -> None:
        """Remove unused failures and random ones."""
        self._deployment.faults.clear()
        self._deployment.fault_sampler.clear()

    def assert_all_used(self) -> None:
        """Check that no scripted response, model error or failure is left for later requests.

        Raises:
            AssertionError: Some are left. The message lists them.
        """
        left: dict[str, list[Any]] = {
            "scripted responses": list(self._deployment.script),
            "model errors": list(self._deployment.model_errors),
            "faults": [fault for fault in self._deployment.faults if fault is not None],
        }
        unused = [f"{name}: {items}" for name, items in left.items() if len(items) > 0]
        if len(unused) > 0:
            count = len(self.requests)
            raise AssertionError(
                f"Not used after {count} request{'' if count == 1 else 's'}: {'; '.join(unused)}."
            )

    def transport(self) -> "EmulatorTransport":
        """Return a transport for `httpx.Client` and `httpx.AsyncClient`, without a socket."""
        from langchain_azure_phi3.emulator.transport import EmulatorTransport

        self._is_in_process = True
        return EmulatorTransport(self._deployment)

    def start(self) -> Self:
        """Start listening, unless already started.

        Raises:
            ModuleNotFoundError: uvicorn is not installed.
            OSError: The port is in use.
        """
        if self._thread is None:
            self._server = self._create_server(_HOST, self._port)
            self._thread = _import_serving().ServerThread(self._server)
        return self

    def stop(self) -> None:
        """Stop listening and drop open connections, unless already stopped."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()
        if self._upstream is not None:
            self._upstream.close()

    def serve_forever(
        self,
        host: str = _HOST,
        port: int | None = None,
        *,
        listening: Callable[[str], object] | None = None,
    ) -> None:
        """Serve in this thread until Ctrl-C. Only the last 1,000 requests, or 100 MB, are kept.

        Args:
            host: The address to listen on.
            port: The port to listen on. Default: the constructor's.
            listening: Called with the endpoint's URL when clients can connect.

        Raises:
            ModuleNotFoundError: uvicorn is not installed.
            OSError: The port is in use.
        """
        self._deployment.max_requests = _MAX_SERVED_REQUESTS
        self._server = self._create_server(host, self._port if port is None else port)
        with self._server.bind() as bound, contextlib.suppress(KeyboardInterrupt):
            if listening is not None:
                address = f"[{host}]" if ":" in host else host
                listening(f"http://{address}:{bound.getsockname()[1]}{self.base_path}")
            asyncio.run(self._server.run(bound, asyncio.Event()))

    def _create_server(self, host: str, port: int) -> "Server":
        server_class: type[Server] = _import_serving().Server
        delay, log = self._chunk_delay, self._log
        return server_class(self._deployment, host=host, port=port, delay=delay, log=log)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)


def _import_serving() -> Any:
    try:
        from langchain_azure_phi3.emulator import serving
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'The emulator\'s server requires uvicorn: pip install "langchain-azure-phi3[emulator]"'
        ) from error
    return serving
