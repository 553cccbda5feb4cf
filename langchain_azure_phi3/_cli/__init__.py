"""The commands that talk to a model, `ask`, `chat` and `batch`, and how commands report errors."""

import sys


def print_error(text: str) -> int:
    """Print an error as one line, even if the server's message has several; return status 1."""
    print("langchain-azure-phi3:", " ".join(text.split()), file=sys.stderr)
    return 1
