"""Reads the bodies of responses in limited pieces, and checks that nothing follows them.

No caller may receive another caller's response. httpcore checks that an idle connection has
received nothing before it reuses it, but not that nothing followed the response in the same
packet: such bytes stay in the HTTP parser and would be read as the next response. Therefore this
module looks for them when a response is closed. Neither httpx nor httpcore makes the parser public;
if it cannot be found, connections are closed after each response.
"""

import asyncio
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpx

from langchain_azure_phi3._http.rate_limit import parse_rate_limit
from langchain_azure_phi3._types import ResponseInfo

MAX_ERROR_BYTES = 1_048_576

# After the last event of a stream: the seconds to wait for the end of the body, and the bytes to
# read until then.
DRAIN_SECONDS = 0.5
DRAIN_BYTES = 65_536

_PIECE_BYTES = 65_536
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib.decompressobj: detect the header


# The first one that is present is the one that Azure support asks for.
_REQUEST_IDS = (
    "apim-request-id",
    "x-ms-request-id",
    "x-request-id",
    "azureml-model-session",
    "x-ms-client-request-id",
)


def response_info(response: httpx.Response) -> ResponseInfo:
    """Return the status, headers and request ID of a response."""
    # A plain dict, because a lookup in httpx's headers takes ten times as long.
    headers = {}
    has_quota = False
    for name, value in response.headers.raw:
        headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        has_quota = has_quota or name[:6].lower() == b"x-rate"
    rate_limit = parse_rate_limit(headers) if has_quota else None
    request_id = None
    for known in _REQUEST_IDS:
        if request_id := headers.get(known):
            break
    return ResponseInfo(response.status_code, request_id or None, headers, rate_limit)


def iter_body(response: httpx.Response, headers: Mapping[str, str]) -> Iterator[bytes]:
    """Iterate over the body as it arrives; httpx's own iterators add two generators to each piece.

    Args:
        response: An open response.
        headers: The response's headers, with names in lower case.
    """
    chunks = iter(response.stream)  # type: ignore[arg-type]
    if "content-encoding" not in headers:
        return chunks
    decompress = _decompressor(headers["content-encoding"])
    return (piece for chunk in chunks for piece in decompress(chunk))


def aiter_body(response: httpx.Response, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Do the same in an event loop."""
    chunks = aiter(response.stream)  # type: ignore[arg-type]
    if "content-encoding" not in headers:
        return chunks
    decompress = _decompressor(headers["content-encoding"])
    return (piece async for chunk in chunks for piece in decompress(chunk))


def _decompressor(encoding: str) -> Callable[[bytes], Iterator[bytes]]:
    """Return a function that decompresses a chunk into small pieces, so that callers can stop.

    Requests do not accept compression, but some gateways use gzip anyway.

    Raises:
        httpx.DecodingError: The body has another encoding.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return lambda chunk: iter((chunk,))
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise httpx.DecodingError(f"the encoding {encoding[:40]!r} was not requested")
    stream = zlib.decompressobj(_GZIP_OR_ZLIB)

    def decompress(chunk: bytes) -> Iterator[bytes]:
        try:
            while piece := stream.decompress(chunk, _PIECE_BYTES):
                yield piece
                chunk = stream.unconsumed_tail
        except zlib.error as problem:
            raise httpx.DecodingError(str(problem)) from None

    return decompress


def read_error(response: httpx.Response, headers: Mapping[str, str]) -> bytes:
    """Read the body of an error, up to `MAX_ERROR_BYTES`; empty if its encoding is unknown."""
    content = bytearray()
    with suppress(httpx.DecodingError):
        for piece in iter_body(response, headers):
            content += piece
            if len(content) > MAX_ERROR_BYTES:
                break
    return bytes(content[:MAX_ERROR_BYTES])


async def aread_error(response: httpx.Response, headers: Mapping[str, str]) -> bytes:
    """Do the same in an event loop."""
    content = bytearray()
    with suppress(httpx.DecodingError):
        async for piece in aiter_body(response, headers):
            content += piece
            if len(content) > MAX_ERROR_BYTES:
                break
    return bytes(content[:MAX_ERROR_BYTES])


def close(response: httpx.Response, chunks: Iterator[bytes] | None = None) -> None:
    """Release the connection, or close it if it cannot be reused.

    Args:
        response: An open response.
        chunks: The iterator that read its body, if any.
    """
    if not _is_clean(response):
        response.extensions["network_stream"].close()
    if isinstance(chunks, Generator):
        chunks.close()
    response.close()


async def aclose(response: httpx.Response, chunks: AsyncIterator[bytes] | None = None) -> None:
    """Do the same in an event loop."""
    if not _is_clean(response):
        await response.extensions["network_stream"].aclose()
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()
    await response.aclose()


def finish(response: httpx.Response, chunks: Iterator[bytes]) -> None:
    """Read the rest of a stream's body, so that its connection can be reused, and close it.

    Args:
        response: A response whose events have all been read.
        chunks: The iterator that read them; httpcore ends the response with it.
    """
    parser = _http11_parser(response)
    if parser is not None:
        with suppress(Exception):  # errors do not matter, because the response is complete
            _drain(parser, response.extensions["network_stream"])
    close(response, chunks)


def _drain(parser: Any, network: Any) -> None:
    """Read the end of the body, if it arrives within `DRAIN_SECONDS`.

    This feeds the parser directly, because httpcore would wait for the full read timeout.
    """
    import h11

    end, size = time.monotonic() + DRAIN_SECONDS, 0
    while size <= DRAIN_BYTES:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            data = network.read(_PIECE_BYTES, timeout=max(0.001, end - time.monotonic()))
            size += len(data)
            parser.receive_data(data)
        elif not isinstance(event, h11.Data):
            return


async def afinish(response: httpx.Response, chunks: AsyncIterator[bytes]) -> None:
    """Do the same in an event loop, where a timeout can end any wait."""
    size = 0
    with suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for chunk in chunks:
                size += len(chunk)
                if size > DRAIN_BYTES:
                    break
    await aclose(response, chunks)


def _is_clean(response: httpx.Response) -> bool:
    """Whether nothing arrived after the response, so that its connection can be reused."""
    extensions = response.extensions
    if "network_stream" not in extensions or extensions.get("http_version") == b"HTTP/2":
        return True
    parser = _http11_parser(response)
    return parser is not None and not parser.trailing_data[0]


def _http11_parser(response: httpx.Response) -> Any:
    """Return the `h11.Connection` beneath a response of httpx's own transports, or `None`."""
    stream: Any = response.stream
    while stream is not None and not hasattr(stream, "_connection"):
        stream = getattr(stream, "_httpcore_stream", None) or getattr(stream, "_stream", None)
    return getattr(getattr(stream, "_connection", None), "_h11_state", None)
