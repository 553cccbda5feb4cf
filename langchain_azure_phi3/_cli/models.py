"""`langchain-azure-phi3 models`: prints the catalog as a table for the terminal, or as JSON."""

import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from langchain_azure_phi3.models import PhiModel, list_models

# The columns, and the meanings of their headings.
_LEGEND: Mapping[str, str] = {
    "MODEL": "",
    "CONTEXT": "maximum tokens of prompt and response together.",
    "OUTPUT": "maximum length of a response, in tokens.",
    "MEDIA": "accepted besides text.",
    "IMAGES": "maximum number per conversation.",
    "SYSTEM": "what the model's template does with system messages.",
    "REASONS": "the model reasons before it responds.",
    "RETIRED": 'when Azure retired serverless deployments; with "?": the date that one source '
    "gives.",
}
_NUMBERS = ("CONTEXT", "OUTPUT")
_GAP = "  "
# The columns to leave out first if the terminal is narrow.
_LEAST_IMPORTANT = ("IMAGES", "SYSTEM", "REASONS", "RETIRED", "MEDIA", "OUTPUT")
# Output that is not a terminal has one line for each model, for `grep` and `awk`.
_UNLIMITED = 10_000
_MAX_LEGEND_COLUMNS = 100


def print_models(*, as_json: bool) -> int:
    """Print all models of the catalog."""
    rows = list_models()
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print(format_table(rows, shutil.get_terminal_size((_UNLIMITED, 24)).columns))
    return 0


def format_table(rows: Sequence[PhiModel], columns: int) -> str:
    """Format the table and its legend, which names the columns that do not fit."""
    table = {
        heading: (heading, *cells)
        for heading, cells in zip(_LEGEND, zip(*map(_cells, rows), strict=True), strict=True)
    }
    widths = {heading: max(map(len, cells)) for heading, cells in table.items()}
    omitted = []
    for heading in _LEAST_IMPORTANT:
        if sum(widths.values()) + len(_GAP) * (len(widths) - 1) <= columns:
            break
        omitted.append(heading)
        del widths[heading]
    aligned = [
        [cell.rjust(width) if heading in _NUMBERS else cell.ljust(width) for cell in table[heading]]
        for heading, width in widths.items()
    ]
    lines = (_GAP.join(cells).rstrip() for cells in zip(*aligned, strict=True))
    return "\n".join((*lines, "", *_legend(widths, omitted, min(columns, _MAX_LEGEND_COLUMNS))))


def _legend(shown: Mapping[str, int], omitted: Sequence[str], columns: int) -> Iterator[str]:
    texts = [f"{heading}: {_LEGEND[heading]}" for heading in shown if _LEGEND[heading]]
    texts.append('"-": none, or unknown.')
    if omitted:
        texts.append(f"{', '.join(omitted)}: only in a wider terminal, or with --json.")
    for text in texts:
        yield from textwrap.wrap(text, columns, subsequent_indent=_GAP)


def _cells(row: PhiModel) -> Iterator[str]:
    yield row.name
    yield f"{row.context:,}"
    yield "-" if row.max_output is None else f"{row.max_output:,}"
    yield ", ".join(row.modalities[1:]) or "-"
    limit = "any" if row.images_per_conversation is None else str(row.images_per_conversation)
    yield limit if "image" in row.modalities else "-"
    yield row.system_message_support
    yield "yes" if row.reasoning else "-"
    yield row.retired or (f"{row.retires}?" if row.retires is not None else "-")
