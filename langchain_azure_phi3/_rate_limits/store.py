"""Stores expiring counters in this process, or in a server that many processes share."""

import logging
import math
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from langchain_azure_phi3.errors import ConnectionFailedError, InvalidInputError

if TYPE_CHECKING:
    from limits.storage import Storage

logger = logging.getLogger(__name__)

MEMORY = "memory://"

_RETRY_SECONDS = 5.0
_TIMEOUT_SECONDS = 2.0

_T = TypeVar("_T")


class Store:
    """Counters in a storage of `limits`, or in this process's memory while it cannot be reached.

    Attributes:
        is_local: Whether the counters are in this process, so that calls do not use the network.
    """

    def __init__(self, uri: str) -> None:
        """Create the store without connecting to it.

        Raises:
            InvalidInputError: `limits` does not support this storage.
        """
        self.is_local = uri == MEMORY
        self._name = without_password(uri)
        self._storage = _open_storage(uri)
        self._fallback = self._storage if self.is_local else _open_storage(MEMORY)
        self._fallback_until: float | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Check that the store can be reached.

        Raises:
            ConnectionFailedError: It cannot.
        """
        if not self._storage.check():
            raise ConnectionFailedError(
                f"The rate limiter's store {self._name} cannot be reached. Check its address, its "
                "password and that it is running."
            )

    def increment(self, key: str, amount: int, seconds: int) -> int:
        """Add to a counter that expires after `seconds`, and return its value."""
        return self._call(lambda storage: storage.incr(key, seconds, amount))

    def block(self, key: str, seconds: float) -> None:
        """Block a key for at least this long."""

        def extend(storage: "Storage") -> None:
            if storage.get_expiry(key) - time.time() < seconds:
                storage.clear(key)
                storage.incr(key, math.ceil(seconds))

        self._call(extend)

    def blocked_seconds(self, key: str) -> float:
        """Return the seconds until a key is no longer blocked; 0 if it is not blocked."""
        return max(0.0, self._call(lambda storage: storage.get_expiry(key)) - time.time())

    def _call(self, operation: Callable[["Storage"], _T]) -> _T:
        until = self._fallback_until
        if not self.is_local and (until is None or until <= time.monotonic()):
            try:
                result = operation(self._storage)
            except self._storage.base_exceptions as error:
                self._report_outage(error)
            else:
                if until is not None:
                    self._fallback_until = None
                    logger.warning("The rate limiter's store %s is back.", self._name)
                return result
        with self._lock:  # the memory storage of `limits` is not safe for threads
            return operation(self._fallback)

    def _report_outage(self, error: Exception) -> None:
        if self._fallback_until is None:
            logger.warning(
                "The rate limiter's store %s cannot be reached (%s). Until it is back, each "
                "process limits only itself.",
                self._name,
                type(error).__name__,
            )
        self._fallback_until = time.monotonic() + _RETRY_SECONDS


@lru_cache(maxsize=64)
def open_store(uri: str) -> Store:
    """Return this process's store for a URL, which all limiters share."""
    return Store(uri)


def without_password(uri: str) -> str:
    """Remove the credentials from the URL of a store."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _open_storage(uri: str) -> "Storage":
    try:
        from limits.errors import ConfigurationError
        from limits.storage import Storage, storage_from_string
    except ImportError as missing:
        raise ImportError(
            "TokenRateLimiter needs the package limits: "
            "pip install 'langchain-azure-phi3[rate-limits]'."
        ) from missing
    try:
        storage = storage_from_string(uri, **_options(uri))
    except (ConfigurationError, ValueError) as error:
        raise InvalidInputError(
            f"The rate limiter's store {without_password(uri)!r} is not a URL that limits "
            f"supports, such as 'memory://' or 'redis://localhost:6379': {error}."
        ) from None
    assert isinstance(storage, Storage)  # noqa: S101  # async addresses begin with async+
    return storage


def _options(uri: str) -> dict[str, Any]:
    """Return options so that an unresponsive server does not delay requests for seconds."""
    if not uri.startswith(("redis://", "rediss://", "redis+unix://")):
        return {}
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return {
        "socket_timeout": _TIMEOUT_SECONDS,
        "socket_connect_timeout": _TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 1),
    }
