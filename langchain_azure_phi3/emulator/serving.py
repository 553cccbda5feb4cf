"""A deployment behind a real socket, in a thread of its own or in the caller's.

The protocol is uvicorn's; the server around it is written here, because tests need what a server
for the public must not offer: connections to break, and an end that waits for nobody.
"""

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from langchain_azure_phi3.emulator.deployment import Deployment
from langchain_azure_phi3.emulator.threads import in_thread, steps_of
from langchain_azure_phi3.emulator.wire import Break, Headers, Reply, Request

# A reset overtakes what is on its way: this is how long the bytes before it get, in seconds.
_HEAD_START = 0.02

# Only what is wrong with a persona is worth telling: clients that misbehave are what tests are for.
_LOGGER = logging.getLogger(__name__)
_LOGGER.setLevel(logging.ERROR)

_KEEP_ALIVE = 120  # seconds

# Turns of the loop from accepting a connection to telling its protocol, and from dropping it to
# closing its socket, with some to spare.
_TURNS_TO_ACCEPT = 8

Address = tuple[str, int]


class Connections:
    """The transports of the connections open now, by the client's address."""

    def __init__(self) -> None:
        self._open: dict[Address, asyncio.Transport] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, client: Address, transport: asyncio.Transport) -> None:
        """Remember a connection that was made."""
        self._open[client] = transport

    def drop(self, client: Address) -> None:
        """Forget a connection that was lost."""
        self._open.pop(client, None)

    def __contains__(self, client: object) -> bool:
        return client in self._open

    def close(self, client: Address) -> None:
        """Close a connection in good order (FIN)."""
        if client in self._open:
            self._open[client].close()

    async def reset(self, client: Address) -> None:
        """Reset a connection (RST)."""
        await asyncio.sleep(_HEAD_START)
        if client in self._open:
            transport = self._open[client]
            linger = struct.pack("ii", 1, 0)
            raw: socket.socket = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()

    def abort_all(self) -> None:
        """Drop every connection at once."""
        for transport in list(self._open.values()):
            transport.abort()


class _Protocol(H11Protocol):
    """uvicorn's protocol, which tells `Connections` about itself and logs no requests."""

    def __init__(self, config: Config, state: ServerState, connections: Connections) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.logger = _LOGGER
        self.access_log = False
        self._connections = connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio sets this for sockets that it made itself; without it, each answer waits 40 ms.
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.add(cast("Address", self.client), transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.drop(cast("Address", self.client))
        super().connection_lost(exc)


class App:
    """The deployment as an ASGI application."""

    def __init__(self, deployment: Deployment, connections: Connections, pace: float) -> None:
        self._deployment = deployment
        self._connections = connections
        self._pace = pace

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        # The server's end cancels what is still running; uvicorn would report it as a failure.
        with contextlib.suppress(asyncio.CancelledError):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        request = _request(scope, bytes(body))
        if self._deployment.blocks:
            reply = await in_thread(partial(self._deployment.answer, request))
        else:
            reply = self._deployment.answer(request)
        await _Sender(self._connections, scope["client"], receive, send).send(reply, self._pace)


def _request(scope: Any, body: bytes) -> Request:
    return Request(
        scope["method"],
        scope["path"],
        dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        Headers(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ),
        body,
    )


class _Sender:
    def __init__(self, connections: Connections, client: Address, receive: Any, send: Any) -> None:
        self._connections = connections
        self._client = client
        self._receive = receive
        self._send = send

    async def send(self, reply: Reply, pace: float) -> None:
        if reply.status != 0:
            await self._start(reply.status, reply.headers.items())
        async with aclosing(steps_of(reply)) as steps:
            async for step in steps:
                if isinstance(step, Break):
                    await self._break(step)
                    return
                await self._send({"type": "http.response.body", "body": step, "more_body": True})
                if reply.streamed:
                    await asyncio.sleep(pace)  # even 0 lets the other connections have their turn
                if self._client not in self._connections:
                    return
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def _break(self, broken: Break) -> None:
        if broken.how == "stall":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._client_left(), broken.seconds)
        if broken.how == "reset":
            await self._connections.reset(self._client)
        else:
            self._connections.close(self._client)
        # uvicorn takes an application that returns before the client is gone for a broken one.
        await self._client_left()

    async def _client_left(self) -> None:
        # After the whole body, the only message that can follow is `http.disconnect`.
        await self._receive()


class Server:
    """A deployment on a port, until told to stop."""

    def __init__(self, deployment: Deployment, *, host: str, port: int, pace: float) -> None:
        self._host = host
        self._port = port
        self.connections = Connections()
        app = App(deployment, self.connections, pace)
        self._config = Config(
            app,
            http="h11",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,  # a connection is found by its client's own address
            timeout_keep_alive=_KEEP_ALIVE,
            ws="none",
        )
        self._config.load()

    def bound(self) -> socket.socket:
        """A listening socket, so that its port is known and its errors are the caller's."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        return socket.create_server((self._host, self._port), family=family, backlog=1024)

    async def run(self, listening: socket.socket, stopped: asyncio.Event) -> None:
        """Serve until `stopped`, then drop every connection."""
        loop = asyncio.get_running_loop()
        state = ServerState()
        server = await loop.create_server(
            lambda: _Protocol(self._config, state, self.connections), sock=listening
        )
        try:
            await stopped.wait()
        finally:
            # A closed server leaves a connection that it has accepted, but not yet made, open for
            # ever (asyncio's `Server._attach` fails): let those be made first.
            loop.remove_reader(listening.fileno())
            await _turns(_TURNS_TO_ACCEPT)
            server.close()
            self.connections.abort_all()
            # Now the protocols hear of it: uvicorn reports an answer that is dropped before that.
            await _turns(_TURNS_TO_ACCEPT)
            tasks = list(state.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class ServerThread:
    """A server in a thread with an event loop of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listening = server.bound()
        self.port: int = self._listening.getsockname()[1]
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event
        self._thread = threading.Thread(target=self._main, name="phi-emulator", daemon=True)
        self._thread.start()
        self._ready.wait()

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._ready.set()
        await self._server.run(self._listening, self._stopped)

    def stop(self) -> None:
        """End it, with whatever it was answering."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
