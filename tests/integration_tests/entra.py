"""A stand-in for Entra ID: a token endpoint on this machine, over TLS, with its own certificate."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

TENANT = "11111111-2222-3333-4444-555555555555"
SECRET = "a-client-secret-that-must-never-be-shown"


class Entra:
    """What the stand-in was asked, and what it answers."""

    def __init__(self, authority: str) -> None:
        self.authority = authority
        self.token_requests: list[dict[str, str]] = []
        self.token = "a-token-of-entra-id"
        self.refusal: dict[str, Any] | None = None

    @property
    def scopes(self) -> list[str]:
        """The scopes of the tokens that were asked for; MSAL adds its own to them."""
        return [form["scope"].split()[0] for form in self.token_requests]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """The status and the JSON for one request."""
        if method == "GET":
            base = f"{self.authority}/{TENANT}"
            return 200, {
                "issuer": f"{base}/v2.0",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            }
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.token_requests.append(form)
        if self.refusal is not None:
            return 401, self.refusal
        return 200, {"token_type": "Bearer", "expires_in": 3600, "access_token": self.token}


@contextmanager
def serving(pem: Path) -> Iterator[Entra]:
    """The stand-in, listening."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, value = entra.answer(self.command, self.path, body)
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer  # noqa: N815 -- http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing: the tests look at what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    entra = Entra(f"https://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield entra
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
