"""One HTTP/1.1 response, read in C (httptools: Node's llhttp) and held to its bounds."""

import httpx
from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpResponseParser,
)

from langchain_azure_phi3._http.lean_client import DISCONNECTED, HEAD_BYTES, NO_END, NO_HTTP

# With either of these, the end of the connection is not the end of the body.
_FRAMES = (b"content-length", b"transfer-encoding")


class _RefusedError(Exception):
    """What the lenient parser would let pass."""


class HttpReader:
    """One response, as far as it has come. The parser calls what begins with `on_`.

    Attributes:
        status: Its code, once `has_head`; interim responses, such as 100, are passed over.
        reason: The words behind the code.
        headers: In order, as they were written.
        pieces: Of the body, for `piece`.
        problem: Why the rest of it cannot be read.
        has_head: Whether all but the body has come.
        is_whole: Whether the body has come too.
        keeps_connection: Whether another request may follow on the same connection.
    """

    def __init__(self, *, is_last: bool) -> None:
        """`is_last`: the request was not sent whole; the next one would be taken for its rest."""
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.problem: httpx.RemoteProtocolError | None = None
        self.has_head = False
        self.is_whole = False
        self.keeps_connection = False
        self._is_last = is_last
        self._fruitless = 0
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    def feed(self, data: bytes) -> None:
        """Read on. What came before a `problem` is kept."""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._break("the server changed to another protocol")
        except HttpParserCallbackError as problem:
            refusal = problem.__context__
            if not isinstance(refusal, _RefusedError):  # Ctrl-C, which the parser caught
                raise (refusal or problem) from None
            self._break(NO_HTTP.format(refusal))
        except HttpParserError as problem:
            self._break(NO_HTTP.format(problem))
        self._fruitless = 0 if self.pieces else self._fruitless + len(data)
        if self._fruitless > HEAD_BYTES:
            self._break("its headers or trailers have no end")

    def end(self) -> None:
        """No more comes."""
        if not self.has_head:
            self._break(DISCONNECTED)
        elif any(name.lower() in _FRAMES for name, _ in self.headers):
            self._break(NO_END)
        else:
            self.is_whole = True

    def _break(self, said: str) -> None:
        self.keeps_connection = False
        if not self.is_whole:  # what follows a whole answer, nobody asked for
            self.problem = httpx.RemoteProtocolError(said)

    def piece(self) -> bytes:
        """What came of the body since the piece before."""
        pieces, self.pieces = self.pieces, []
        return b"".join(pieces)

    def on_message_begin(self) -> None:
        if self.is_whole:
            raise _RefusedError("a second answer")

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if b"\0" in value:  # RFC 9110, 5.5; the lenient parser lets it pass
            raise _RefusedError("NUL in a header")
        if not self.has_head:  # else it is a trailer
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.has_head = self.status >= 200

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        if not self.has_head:  # only an interim answer, such as 100
            self.reason = b""
            self.headers.clear()
            return
        self.is_whole = True
        self.keeps_connection = self._parser.should_keep_alive() and not self._is_last
        del self._parser  # the two hold each other
