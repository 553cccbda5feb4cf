"""An endpoint to start, to watch, and to break."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langchain_azure_phi3.emulator import misbehaviour
from langchain_azure_phi3.emulator import persona as personas
from langchain_azure_phi3.emulator.conversation import Persona
from langchain_azure_phi3.emulator.deployment import Deployment
from langchain_azure_phi3.emulator.server_types import SafetyShape, UsagePlace
from langchain_azure_phi3.emulator.faults import Fault, Kind
from langchain_azure_phi3.emulator.models import (
    Behaviour,
    JsonMode,
    ThoughtPlace,
    ToolMode,
)
from langchain_azure_phi3.emulator.upstream import Upstream
from langchain_azure_phi3.emulator.wire import Request

if TYPE_CHECKING:
    from langchain_azure_phi3.emulator.transport import EmulatorTransport
    from langchain_azure_phi3.emulator.serving import Server, ServerThread

_HOST = "127.0.0.1"
_REMEMBERED = 1000


class Emulator:
    """A Phi endpoint on this machine.

    ```python
    import httpx

    from langchain_azure_phi3.emulator import Emulator

    with Emulator("Phi-3-mini-4k-instruct") as phi:
        key = {"authorization": f"Bearer {phi.key}"}
        print(httpx.get(f"{phi.endpoint}/info", headers=key).text)
    ```

    Args:
        models: Names of Azure's catalogue, in any case; the first answers unless a request names
            another of them. Default: `"Phi-3-mini-4k-instruct"`.
        key: The key that opens it; default: 32 random characters.
        port: Where to listen; 0 takes a free port.
        persona: What the model says, as a function of a `Prompt`. Each request calls it on a
            thread of its own, so that it may take its time.
        upstream: A real model instead: the base URL of any server that speaks OpenAI's chat
            completions, such as `"http://localhost:11434/v1"`. The API, its quirks and failures
            stay the emulator's; words and token counts are the model's.
        upstream_model: What that server calls the model; default: the first that it lists.
        upstream_key: That server's key, if it asks for one.
        dialect: The kind of server: `"serverless"`; managed compute by the age of its image
            (`"managed-2024-05"`, `"managed-2024-06"`, `"managed-2026-07"`,
            `"foundation-model-serve"`); `"foundry"`, `"openai-v1"`, `"azure-openai"`, `"github"`;
            or a server on a desk (`"openai-server"`, `"ollama"`).
        safety: The shape of the error for a filtered prompt: `"nested"`, `"flat"`, `"detailed"`,
            `"managed"` or `"managed-flat"`. Default: the dialect's.
        annotations: Whether answers carry `prompt_filter_results` and `content_filter_results`.
        json_mode: Whether `response_format: json_object` is refused (`"refuse"`, documented) or
            answered with line feeds (`"flood"`, seen).
        usage_in_streams: `"finish"`, `"separate"`, `"every"` or `"none"`. Default: the dialect's.
        framing: How events are written: any of `"bom"`, `"bytewise"`, `"comments"`, `"crlf"`,
            `"no-done"`, `"no-final-blank-line"`, `"no-space"`.
        tools: Whether `tools` in a request are refused (`"refuse"`, as Azure does for every Phi
            model) or taken (`"native"`), together with `response_format`.
        reasoning: Where reasoning models put their thoughts: into the `"text"`, in `<think>` tags,
            or into the `"field"` `reasoning_content`.
        misbehaves: In which ways the model goes wrong, one for each of the next answers; the kinds
            are those of `misbehave`.
        pace: Seconds between two events of a stream.
        faults: Which share of all requests fails, and how: `{"429": 0.05, "cut": 0.02}`. A name is
            a status or a kind of `fail`, whose `share` says more.
        seed: Draws the requests that fail so. The same seed lets the same requests fail, in
            whatever order they arrive.

    Raises:
        ValueError: An unknown model or option; the message lists the known ones. Or a `persona`
            and an `upstream`, of which only one can speak.
    """

    def __init__(
        self,
        *models: str,
        key: str | None = None,
        port: int = 0,
        persona: Persona = personas.scripted,
        upstream: str | None = None,
        upstream_model: str | None = None,
        upstream_key: str | None = None,
        dialect: str = "serverless",
        safety: SafetyShape | None = None,
        annotations: bool = False,
        json_mode: JsonMode = "refuse",
        usage_in_streams: UsagePlace | None = None,
        framing: str | Iterable[str] = (),
        tools: ToolMode = "refuse",
        reasoning: ThoughtPlace = "text",
        misbehaves: str | Iterable[str] = (),
        pace: float = 0.0,
        faults: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        behaviour = Behaviour(
            dialect=dialect,
            safety=safety,
            annotations=annotations,
            json_mode=json_mode,
            usage_in_streams=usage_in_streams,
            framing=frozenset([framing] if isinstance(framing, str) else framing),
            tools=tools,
            reasoning=reasoning,
        )
        self.key = secrets.token_hex(16) if key is None else key
        self._upstream: Upstream | None = None
        if upstream is not None:
            if persona is not personas.scripted:
                raise ValueError("Either a persona speaks or an upstream: give one of them.")
            persona = self._upstream = Upstream(upstream, model=upstream_model, key=upstream_key)
        self._deployment = Deployment(
            models, self.key, speaks=persona, behaviour=behaviour, seed=seed
        )
        for name, share in ({} if faults is None else faults).items():
            self._deployment.lots.add(share, Fault.named(name))
        self.misbehave(*([misbehaves] if isinstance(misbehaves, str) else misbehaves))
        self._port = port
        self._pace = pace
        self._server: Server | None = None
        self._thread: ServerThread | None = None

    def __repr__(self) -> str:
        return f"Emulator({self.model!r}, endpoint={self.endpoint!r})"

    @property
    def model(self) -> str:
        """The default model's name in the catalogue."""
        return self._deployment.models[0].name

    @property
    def endpoint(self) -> str:
        """The base URL. While no server runs, one that only `transport()` can answer."""
        if self._thread is None:
            return f"http://phi.invalid{self.base}"  # RFC 2606: a name that never resolves
        return f"http://{_HOST}:{self._thread.port}{self.base}"

    @property
    def base(self) -> str:
        """What follows host and port in the endpoint; nothing on most kinds of servers."""
        return self._deployment.base

    @property
    def requests(self) -> list[Request]:
        """What arrived so far, in order; yours to clear."""
        return self._deployment.requests

    @property
    def open_connections(self) -> int:
        """How many TCP connections the server holds open now."""
        return 0 if self._server is None else len(self._server.connections)

    def script(self, *texts: str) -> None:
        """Let the next answers be these, word for word; then the persona speaks again."""
        self._deployment.script.extend(texts)

    def misbehave(self, *kinds: str, times: int = 1) -> None:
        """Let the model go wrong in its next answers, each kind in `times` answers, in order.

        An answer uses up its kind even where nothing in it can go wrong that way. Answers set by
        `script` use up none.

        Args:
            kinds: `"prose"` puts words around the JSON; `"fence"` and `"unclosed fence"` put it
                into a Markdown block; `"wrong types"` writes numbers as strings, strings of
                digits as numbers, the only item of a list for the list; `"bad values"` leaves a
                required key out; `"invented arguments"` adds some; `"unknown tool"` calls one;
                `"no call"` answers in words; `"schema echo"` repeats the schema; `"two calls"`
                writes two; `"single quotes"`, `"trailing comma"` and `"python literals"` write
                what only looks like JSON; `"cut off"` ends in the middle with `finish_reason`
                `length`; `"empty"` says nothing.
            times: How often each.

        Raises:
            ValueError: An unknown kind.
        """
        for kind in [misbehaviour.checked(kind) for kind in kinds]:
            self._deployment.misbehaviours.extend([kind] * times)

    def fail(
        self,
        *,
        status: int | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | str | None = None,
        times: int = 1,
        kind: Kind | None = None,
        after: int = 0,
        after_bytes: int | None = None,
        at: float | None = None,
        seconds: float | None = None,
        spared: int = 0,
        share: float | None = None,
    ) -> None:
        """Let the next requests fail; failures are used up in the order in which they were set.

        Args:
            status: Answer with this status.
            body: With this body: `str` and `bytes` as they are, anything else as JSON.
            headers: And these headers.
            retry_after: Seconds, or a date, for the header `retry-after`.
            times: How many requests fail.
            kind: Fail otherwise: `"cut"` closes the connection in the middle, `"reset"` resets it,
                `"stall"` stops sending, `"hang"` never answers, `"refuse"` closes before any
                answer, `"end"` ends the body early but cleanly, `"garble"` sends broken JSON,
                `"event"` sends `body` in the middle of a stream, `"html"` a login page, `"empty"`
                nothing with status 200, `"short"` less than `content-length` says.
            after: How many events of a stream get through first.
            after_bytes: How many bytes of a body get through first, instead.
            at: Which part of a body gets through first, instead: 0.5 breaks off in its middle.
            seconds: How long a stall lasts before the connection is closed; `None`: until the
                client leaves.
            spared: How many requests are left in peace before these fail.
            share: Not the next requests fail, but this part of all, by lot: 0.05 is every
                twentieth. Failures with a share add up.

        Raises:
            ValueError: Neither `status` nor `kind`, or an unknown kind; or shares above 1.
        """
        fault = Fault(
            status=status,
            body=body,
            headers={} if headers is None else headers,
            retry_after=retry_after,
            kind=kind,
            after=after,
            after_bytes=after_bytes,
            at=at,
            seconds=seconds,
        )
        if share is None:
            self._deployment.faults.extend([None] * spared + [fault] * times)
        else:
            self._deployment.lots.add(share, fault)

    def clear_faults(self) -> None:
        """Forget the failures that were not used up, and those by lot."""
        self._deployment.faults.clear()
        self._deployment.lots.clear()

    def transport(self) -> "EmulatorTransport":
        """The same endpoint in this process, as a transport for both of `httpx`'s clients."""
        from langchain_azure_phi3.emulator.transport import EmulatorTransport

        return EmulatorTransport(self._deployment)

    def start(self) -> Self:
        """Listen. Starting what runs already changes nothing.

        Raises:
            ModuleNotFoundError: The server's packages are not installed.
            OSError: The port is taken.
        """
        if self._thread is None:
            serving = _serving()
            self._server = serving.Server(
                self._deployment, host=_HOST, port=self._port, pace=self._pace
            )
            self._thread = serving.ServerThread(self._server)
        return self

    def stop(self) -> None:
        """Stop listening and drop open connections. Stopping what does not run changes nothing."""
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
        """Serve in this thread until Ctrl-C; only the last 1,000 requests are remembered.

        Args:
            host: Which of this machine's addresses to listen on.
            port: Where to listen; default: the constructor's.
            listening: Called once with the endpoint's URL, when clients can connect to it.

        Raises:
            ModuleNotFoundError: The server's packages are not installed.
            OSError: The port is taken.
        """
        port = self._port if port is None else port
        self._deployment.most_requests = _REMEMBERED
        self._server = _serving().Server(self._deployment, host=host, port=port, pace=self._pace)
        with self._server.bound() as bound, contextlib.suppress(KeyboardInterrupt):
            if listening is not None:
                written = f"[{host}]" if ":" in host else host
                listening(f"http://{written}:{bound.getsockname()[1]}{self.base}")
            asyncio.run(self._server.run(bound, asyncio.Event()))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)


def _serving() -> Any:
    try:
        from langchain_azure_phi3.emulator import serving
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The emulator's server needs more packages: "
            'pip install "langchain-azure-phi3[emulator]"'
        ) from error
    return serving
