"""Serves a deployment on a real socket.

uvicorn parses HTTP. This module implements the server around it, because tests need connections
that break and a shutdown that does not wait for clients.
"""

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from langchain_azure_phi3.emulator.deployment import Deployment
from langchain_azure_phi3.emulator.request_log import RequestLog
from langchain_azure_phi3.emulator.threads import iterate_parts, run_in_thread
from langchain_azure_phi3.emulator.wire import ConnectionFault, Headers, Reply, Request

# A reset overtakes data in flight, so the bytes before it get this many seconds.
_SECONDS_BEFORE_RESET = 0.02
_KEEP_ALIVE_SECONDS = 120
# Enough iterations of the event loop to accept a connection and to close one.
_SETTLING_ITERATIONS = 8

# Only errors of responders are logged: misbehaving clients are normal in tests.
_LOGGER = logging.getLogger(__name__)
_LOGGER.setLevel(logging.ERROR)

Log = Callable[[str], object]
Connections = dict[tuple[str, int], asyncio.Transport]  # by the client's address


class _TrackedProtocol(asyncio.Protocol):
    """uvicorn's protocol, with its connection registered in `Connections`."""

    def __init__(self, protocol: Any, connections: Connections) -> None:
        self._protocol = protocol
        self._protocol.logger = _LOGGER
        self._protocol.access_log = False
        self._connections = connections
        self._client = ("", 0)
        for name in ("data_received", "eof_received", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(protocol, name))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._protocol.connection_made(transport)
        # asyncio only sets this on sockets that it creates; without it, each response takes 40 ms.
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = tuple(transport.get_extra_info("peername")[:2])
        self._connections[self._client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.pop(self._client, None)
        self._protocol.connection_lost(exc)


class App:
    """The deployment as an ASGI application."""

    def __init__(
        self, deployment: Deployment, connections: Connections, delay: float, log: Log | None
    ) -> None:
        self._deployment = deployment
        self._log = log
        self._connections = connections
        self._chunk_delay = delay

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        # Shutting down cancels running requests, which uvicorn would report as errors.
        with contextlib.suppress(asyncio.CancelledError):
            max_bytes = self._deployment.behavior.max_body_bytes
            request = await _receive_request(scope, receive, max_bytes)
            if request is None:
                return
            log = RequestLog(request)
            answer = partial(self._deployment.answer, request)
            reply = await run_in_thread(answer) if self._deployment.blocking else answer()
            fault = await self._send(reply, scope["client"], send, log)
            if self._log is not None:
                log.write(reply, self._log)
            if fault is not None:
                await self._fail(fault, scope["client"], receive)

    async def _send(
        self, reply: Reply, client: Any, send: Any, log: RequestLog
    ) -> ConnectionFault | None:
        """Send a reply, up to the fault that it contains."""
        if reply.status != 0:
            headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in reply.headers.items()]
            start = {"type": "http.response.start", "status": reply.status, "headers": headers}
            await send(start)
        async with aclosing(iterate_parts(reply)) as parts:
            async for part in parts:
                if isinstance(part, ConnectionFault):
                    return part
                log.read(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})
                if reply.streamed:
                    await asyncio.sleep(self._chunk_delay)  # even 0 lets other connections proceed
                if client not in self._connections:
                    return None
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return None

    async def _fail(self, fault: ConnectionFault, client: Any, receive: Any) -> None:
        if fault.action == "stall":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(receive(), fault.seconds)
        if fault.action == "reset":
            await asyncio.sleep(_SECONDS_BEFORE_RESET)
        transport = self._connections.get(client)
        if transport is not None and fault.action == "reset":
            raw: socket.socket = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        elif transport is not None:
            transport.close()
        # uvicorn reports an application that returns without a complete response, so wait for
        # `http.disconnect`, the only message that can follow the complete request.
        await receive()


async def _receive_request(scope: Any, receive: Any, max_bytes: int) -> Request | None:
    """Receive a request; `None` if the client disconnected. Do not read a body over the limit."""
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    headers = Headers((n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"])
    request = Request(scope["method"], scope["path"], dict(query), headers)
    body = bytearray()
    more = request.size <= max_bytes
    while more and len(body) <= max_bytes:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        more = message["more_body"]
    return replace(request, body=bytes(body))


class Server:
    """A deployment on a port."""

    def __init__(
        self, deployment: Deployment, *, host: str, port: int, delay: float, log: Log | None
    ) -> None:
        self._host = host
        self._port = port
        self.connections: Connections = {}
        self._config = uvicorn.Config(
            App(deployment, self.connections, delay, log),
            http="h11",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,  # connections are found by the client's own address
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            ws="none",
        )
        self._config.load()

    def bind(self) -> socket.socket:
        """Return a listening socket, or raise an `OSError` if the port is in use."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        return socket.create_server((self._host, self._port), family=family, backlog=1024)

    async def run(self, listening: socket.socket, stopped: asyncio.Event) -> None:
        """Serve until `stopped`, then drop all connections."""
        loop = asyncio.get_running_loop()
        state = uvicorn.Server(self._config).server_state
        protocol_class: Any = self._config.http_protocol_class

        def create_protocol() -> _TrackedProtocol:
            protocol = protocol_class(config=self._config, server_state=state, app_state={})
            return _TrackedProtocol(protocol, self.connections)

        server = await loop.create_server(create_protocol, sock=listening)
        try:
            await stopped.wait()
        finally:
            # asyncio never closes a connection that is accepted but not set up when the server
            # closes, so finish setting up such connections first.
            loop.remove_reader(listening.fileno())
            await _settle()
            server.close()
            for transport in list(self.connections.values()):
                transport.abort()
            # uvicorn reports a request that is canceled before its disconnect is known.
            await _settle()
            tasks = list(state.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _settle() -> None:
    for _ in range(_SETTLING_ITERATIONS):
        await asyncio.sleep(0)


class ServerThread:
    """A server in a thread with its own event loop."""

    def __init__(self, server: Server) -> None:
        self._listening = server.bind()
        self.port: int = self._listening.getsockname()[1]
        self._server = server
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event
        main = partial(asyncio.run, self._serve())
        self._thread = threading.Thread(target=main, name="phi-emulator", daemon=True)
        self._thread.start()
        self._ready.wait()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._ready.set()
        await self._server.run(self._listening, self._stopped)

    def stop(self) -> None:
        """Stop the server and cancel running requests."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
