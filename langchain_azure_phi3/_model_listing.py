"""Parses the list of models under `/v1/models`."""

from typing import Any, NamedTuple

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.models import find_model


class ListedModel(NamedTuple):
    """One entry of the list.

    Attributes:
        name: The name to use in requests.
        base: The model behind this name, if the server reports it; else the name.
        context: The tokens that prompt and response share on this server; `None` if not listed.
    """

    name: str
    base: str
    context: int | None = None


def parse_models(body: Json) -> tuple[ListedModel, ...]:
    """Parse a list in OpenAI's form; skip entries without a name.

    vLLM adds `root`, the model behind a custom name, and `max_model_len`. llama.cpp has its numbers
    in `meta`, where `n_ctx_train` is not the context that it runs with.
    """
    entries = body.get("data")
    found = entries if isinstance(entries, list) else []
    return tuple(
        ListedModel(entry["id"], _base(entry), _context(entry))
        for entry in found
        if isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry["id"] != ""
    )


def _base(entry: Json) -> str:
    root = entry.get("root")
    return root if isinstance(root, str) and find_model(root) is not None else str(entry["id"])


def _context(entry: Json) -> int | None:
    meta = entry.get("meta")
    places = (entry.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None)
    return next(filter(None, map(positive_int, places)), None)


def positive_int(value: Any) -> int | None:
    """Return the value if it is a positive integer."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if is_count else None
