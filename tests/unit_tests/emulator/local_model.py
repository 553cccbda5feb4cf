"""A small server of OpenAI's chat completions, written apart from the emulator and the client."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]

USAGE = {"prompt_tokens": 1234, "completion_tokens": 56, "total_tokens": 1290}


class LocalModel:
    """Answers and failures of the server, and the requests that it received.

    Attributes:
        pieces: The answer, a delta each.
        reasoning: Sent first, as `reasoning_content`.
        error: Status, headers and body of the next answer, instead.
        hold: Waited for before every piece but the first, and before a whole answer.
        is_cut: Whether a stream ends in the middle.
        event: Sent after the first piece, if any.
    """

    def __init__(self) -> None:
        self.pieces: Sequence[str] = (" The", " sky", " is", " blue.")
        self.reasoning: Sequence[str] = ()
        self.finish_reason = "stop"
        self.error: tuple[int, dict[str, str], bytes] | None = None
        self.hold = threading.Event()
        self.hold.set()
        self.is_cut = False
        self.event: bytes | None = None
        self.received: list[Json] = []
        self.keys: list[str | None] = []
        self.headers: list[str] = []
        self.url = ""

    def completion(self) -> Json:
        """A complete answer."""
        message: Json = {"role": "assistant", "content": "".join(self.pieces)}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        return {"id": "x", "choices": [choice], "usage": USAGE}

    def events(self) -> Iterator[bytes]:
        """An answer in pieces, with pauses."""
        deltas = [{"reasoning_content": text} for text in self.reasoning]
        deltas += [{"content": text} for text in self.pieces]
        for number, delta in enumerate(deltas):
            if number > 0:
                self.hold.wait(20)
            yield _event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            if self.event is not None:
                yield self.event
            if self.is_cut:
                return
        yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": self.finish_reason}]})
        yield _event({"choices": [], "usage": USAGE})
        yield b"data: [DONE]\n\n"


def _event(value: Json) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    model: LocalModel

    def handle_error(self, *_: Any) -> None:
        return  # a client that left


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """The list of models."""
        listed = {"data": [{"id": "tiny"}, {"id": "another"}]}
        found = self.path == "/v1/models"
        self._answer(200 if found else 404, {}, json.dumps(listed).encode())

    def do_POST(self) -> None:
        """One completion."""
        model = self.server.model
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        model.received.append(body)
        model.keys.append(self.headers["authorization"])
        model.headers.append(str(self.headers))
        error, model.error = model.error, None
        if self.path != "/v1/chat/completions":
            error = (404, {}, b"")
        if error is not None:
            self._answer(*error)
        elif body.get("stream"):
            self._stream()
        else:
            model.hold.wait(20)
            self._answer(200, {}, json.dumps(model.completion()).encode())

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in self.server.model.events():
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        if self.server.model.is_cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def running() -> Iterator[LocalModel]:
    """The server on a free port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.model = model = LocalModel()
    model.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield model
    finally:
        model.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
