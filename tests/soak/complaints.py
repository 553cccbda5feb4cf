"""Whatever Python and its libraries complain of while nobody looks."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Handler(logging.Handler):
    def __init__(self, told: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self._told.append(f"logged by {record.name}: {record.getMessage()}")


@contextmanager
def overheard() -> Iterator[list[str]]:
    """Warnings of what was left, log records from WARNING on, failures in destructors and threads.

    Unclosed sockets, tasks whose exception nobody fetched and loops that were closed too early
    are told in these ways only.
    """
    told: list[str] = []

    def unraisable(caught: Any) -> None:
        told.append(f"{caught.err_msg or 'Ignored'}: {caught.exc_value!r} in {caught.object!r}")

    def in_thread(caught: threading.ExceptHookArgs) -> None:
        told.append(f"in {caught.thread}: {caught.exc_value!r}")

    def warned(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        told.append(f"{category.__name__}: {message}")

    handler = _Handler(told)
    hooks = sys.unraisablehook, threading.excepthook
    logging.getLogger().addHandler(handler)
    sys.unraisablehook, threading.excepthook = unraisable, in_thread
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for category in (ResourceWarning, RuntimeWarning):  # left open, never awaited
                warnings.simplefilter("always", category)
            warnings.showwarning = warned
            yield told
    finally:
        logging.getLogger().removeHandler(handler)
        sys.unraisablehook, threading.excepthook = hooks
