"""Shows a progress bar with rows per second, remaining time, tokens and errors."""

import sys
from typing import Any, Self

from langchain_azure_phi3._batch.results import RowResult


class Progress:
    """Shows a bar on standard error, if it is enabled."""

    def __init__(self, total: int, *, enabled: bool) -> None:
        self._bar = _make_bar(total) if enabled else None
        self._tokens = self._errors = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, result: RowResult) -> None:
        """Count a row with its result."""
        self._tokens += result.input_tokens + result.output_tokens
        self._errors += result.error_type is not None
        if self._bar is not None:
            self._bar.set_postfix(tokens=f"{self._tokens:,}", errors=self._errors, refresh=False)
            self._bar.update()

    def skip(self, rows: int) -> None:
        """Leave out rows that an earlier run finished, so that they do not affect the speed."""
        if self._bar is not None and rows:
            self._bar.initial += rows
            self._bar.update(rows)

    def print(self, text: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.clear()
            self._bar.close()
            sys.stderr.write(f"{text}\n")


def _make_bar(total: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError as missing:
        raise ImportError(
            "The progress bar needs tqdm: pip install 'langchain-azure-phi3[batch]', or pass "
            "progress=False."
        ) from missing
    return tqdm(total=total, unit="row", dynamic_ncols=True)
