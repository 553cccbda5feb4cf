"""A server with OpenAI's route for chat completions, whose answers a test decides."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]

Answer = Callable[[Json], str | tuple[int, Any] | Json]
"""From a request's payload: a text, a status and an error's body, or the choice of a response."""


class ScriptedServer(ThreadingHTTPServer):
    """Answers each request, complete or streamed, and records it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.payloads: list[Json] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        """The URL of the host."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.payloads.append(payload)
        self.server.headers.append({k.lower(): v for k, v in self.headers.items()})
        answer = self.server.answer(payload)
        if isinstance(answer, tuple):
            self._send(answer[0], json.dumps(answer[1]))
            return
        choice = {"message": {"content": answer}} if isinstance(answer, str) else answer
        choice = {"index": 0, "finish_reason": "stop", **choice}
        if payload.get("stream"):
            self._send(200, "".join(_events(choice)), "text/event-stream")
        else:
            self._send(200, json.dumps({"model": "m", "choices": [choice]}))

    def _send(self, status: int, text: str, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


def _events(choice: Json) -> Iterator[str]:
    """A stream with one piece for each character of the text."""
    message = choice["message"] or {}
    deltas = [{**message, "content": ""}, *({"content": c} for c in message.get("content") or "")]
    for delta in deltas:
        body = {"model": "m", "choices": [{"index": 0, "delta": delta}]}
        yield f"data: {json.dumps(body)}\n\n"
    end = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    yield f"data: {json.dumps({'model': 'm', 'choices': [end]})}\n\ndata: [DONE]\n\n"


@contextmanager
def scripted_server(answer: Answer) -> Iterator[ScriptedServer]:
    """A running server."""
    server = ScriptedServer(answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
