"""Keys that can be searched for, and the search in what a test logs, warns of and prints."""

import itertools
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CANARY = "5ec2e7ca4a27"
"""What every key of the suite holds that was not chosen by a test."""

SEARCHED = (
    "langchain_azure_phi3",
    "langchain_core",
    "httpx",
    "httpcore",
    "aiohttp",
    "asyncio",
    "azure",
)

_NUMBERS = itertools.count()


def canary_hex(otherwise: Callable[[int | None], str] = secrets.token_hex) -> Callable[..., str]:
    """`secrets.token_hex` for the suite: still different each time, but recognizable."""

    def token_hex(nbytes: int | None = None) -> str:
        if nbytes is None or 2 * nbytes < len(CANARY) + 6:
            return otherwise(nbytes)
        return CANARY + f"{next(_NUMBERS):0{2 * nbytes - len(CANARY)}x}"

    return token_hex


class LogSearch(logging.Handler):
    """The records of everything on a request's way, at DEBUG."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one record."""
        text = f"{record.getMessage()} {record.exc_info or ''}"
        if CANARY in text:
            self.found.append(f"{record.name}: {text}")


@contextmanager
def searched_logs() -> Iterator[list[str]]:
    """What was logged with a key in it."""
    search = LogSearch()
    loggers = [logging.getLogger(name) for name in SEARCHED]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(search)
    try:
        yield search.found
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(search)
            logger.setLevel(level)
