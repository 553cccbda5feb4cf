"""Keys that can be searched for, and the search in what a test logs, warns of and prints."""

import itertools
import logging
import secrets
from collections.abc import Callable

CANARY = "5ec2e7ca4a27"
"""What every key of the suite holds that was not chosen by a test."""

SEARCHED = ("langchain_azure_phi3", "langchain_core", "httpx", "httpcore", "asyncio", "azure")

# Made when the first connection is: too late for a search that begins before.
_LATE = ("httpcore.connection", "httpcore.http11", "httpcore.proxy")

_NUMBERS = itertools.count()
# A level of nobody else's, so that a level that a test sets is told from it.
_EVERYTHING = logging.DEBUG - 1


def canary_hex(otherwise: Callable[[int | None], str] = secrets.token_hex) -> Callable[..., str]:
    """`secrets.token_hex` for the suite: still different each time, but recognisable."""

    def token_hex(nbytes: int | None = None) -> str:
        if nbytes is None or 2 * nbytes < len(CANARY) + 6:
            return otherwise(nbytes)
        return CANARY + f"{next(_NUMBERS):0{2 * nbytes - len(CANARY)}x}"

    return token_hex


class _Search(logging.Filter):
    """Looks at each record of one logger, and then lets pass what would have passed anyway."""

    def __init__(self, watched: logging.Logger, found: list[str]) -> None:
        super().__init__()
        self._watched = watched
        self._found = found

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record would have been made without the search."""
        text = f"{record.getMessage()} {record.exc_info or ''}"
        if CANARY in text:
            self._found.append(f"{record.name}: {text}")
        if self._watched.level != _EVERYTHING:
            return True
        return record.levelno >= self._usual_level()

    def _usual_level(self) -> int:
        """The level of the nearest logger above that has one of its own."""
        above = self._watched.parent
        while above is not None and above.level in (logging.NOTSET, _EVERYTHING):
            above = above.parent
        return logging.WARNING if above is None else above.level


class LogSearch:
    """The records of everything on a request's way, at DEBUG, for the whole session."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._watched: set[str] = set()

    def extend(self) -> None:
        """Watch the loggers that were made since."""
        names = [*SEARCHED, *_LATE, *logging.root.manager.loggerDict]
        for name in names:
            if name in self._watched or name.partition(".")[0] not in SEARCHED:
                continue
            self._watched.add(name)
            logger = logging.getLogger(name)
            if logger.level == logging.NOTSET:
                logger.setLevel(_EVERYTHING)
            logger.addFilter(_Search(logger, self.found))
