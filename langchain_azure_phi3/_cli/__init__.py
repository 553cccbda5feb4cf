"""The commands that call a model, and the way in which commands report errors and warnings."""

import sys
from typing import Any


def print_error(text: str) -> int:
    """Print an error as one line, even if the server's message has several; return status 1."""
    print("langchain-azure-phi3:", " ".join(text.split()), file=sys.stderr)
    return 1


def print_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning as one line, without Python's line of source code."""
    print_error(f"{category.__name__}: {message}")
