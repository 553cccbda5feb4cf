"""Reads bodies that are JSON although an event stream was requested."""

from codecs import BOM_UTF8

from langchain_azure_phi3._http.json_codec import decode
from langchain_azure_phi3.errors import InvalidResponseError

MAX_BODY_BYTES = 64 * 1024 * 1024


class JsonBody:
    """A body that is one JSON value in any layout, or JSON lines, with an object on each line.

    The first line decides: in JSON lines, it is an object. A complete response on one line is read
    as JSON lines too.

    Attributes:
        is_lines: Whether the body is JSON lines, as far as is known.
        content: The received bytes that were not returned as lines.
    """

    def __init__(self) -> None:
        self.is_lines = False
        self.content = bytearray()
        self._is_decided = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that `chunk` completes; none if the body is not JSON lines.

        Raises:
            InvalidResponseError: The value or the line is too large.
        """
        if len(self.content) + len(chunk) > MAX_BODY_BYTES:
            raise InvalidResponseError(
                f"The response is larger than {MAX_BODY_BYTES:,} bytes; it was dropped."
            )
        self.content += chunk
        if b"\n" not in chunk or (self._is_decided and not self.is_lines):
            return []
        *lines, rest = bytes(self.content).split(b"\n")
        if not self._is_decided:
            first = next((line for line in lines if line.removeprefix(BOM_UTF8).strip()), None)
            if first is None:
                return []
            self._is_decided, self.is_lines = True, _is_object(first)
            if not self.is_lines:
                return []
        self.content = bytearray(rest)
        return lines


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode(line.strip()), dict)
    except ValueError:
        return False
