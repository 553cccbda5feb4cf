"""Warnings, log records and failures that Python and its libraries report in the background."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Handler(logging.Handler):
    def __init__(self, reports: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._reports = reports

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self._reports.append(f"logged by {record.name}: {record.getMessage()}")


@contextmanager
def captured_diagnostics() -> Iterator[list[str]]:
    """Collect resource warnings, log records from WARNING, and errors in destructors and threads.

    Python reports unclosed sockets, unretrieved exceptions of tasks and loops that close too
    early in these ways only.
    """
    reports: list[str] = []

    def on_unraisable(caught: Any) -> None:
        reports.append(f"{caught.err_msg or 'Ignored'}: {caught.exc_value!r} in {caught.object!r}")

    def on_thread_error(caught: threading.ExceptHookArgs) -> None:
        reports.append(f"in {caught.thread}: {caught.exc_value!r}")

    def on_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        reports.append(f"{category.__name__}: {message}")

    handler = _Handler(reports)
    hooks = sys.unraisablehook, threading.excepthook
    logging.getLogger().addHandler(handler)
    sys.unraisablehook, threading.excepthook = on_unraisable, on_thread_error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for category in (ResourceWarning, RuntimeWarning):  # unclosed, never awaited
                warnings.simplefilter("always", category)
            warnings.showwarning = on_warning
            yield reports
    finally:
        logging.getLogger().removeHandler(handler)
        sys.unraisablehook, threading.excepthook = hooks
