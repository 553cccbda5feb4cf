"""Fits the token estimate to the samples, and measures its error.

Run it from the root of the repository after changing the samples or the character classes:

    python -m tests.calibration.fit

It prints the weights for `langchain_azure_phi3/tokens.py`, and writes
`tests/calibration/README.md`. Samples marked "check" take no part in the fit. The true counts in
`samples.json` come from the npm packages `llama-tokenizer-js` and `gpt-tokenizer`.
"""

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from langchain_azure_phi3 import tokens
from langchain_azure_phi3.models import TokenizerFamily

HERE = Path(__file__).parent
FAMILIES: tuple[TokenizerFamily, ...] = ("llama-32k", "cl100k", "o200k")
_CLASSES = len(tokens._TOKENS_PER_CHARACTER)
_PRIOR = 0.3  # where samples say little about a weight
_PRIOR_STRENGTH = 0.01
_ROUNDS = 800
# Two sentences of Azure's how-to pages, whose prompt tokens are documented, and a third.
_IMPORTANCE = {"short english": 4.0}


def samples(part: str) -> list[dict[str, Any]]:
    """The samples of one part, `"fit"` or `"check"`."""
    everything = json.loads((HERE / "samples.json").read_text(encoding="utf-8"))
    return [sample for sample in everything if sample["part"] == part]


def fit_weights(family: TokenizerFamily) -> list[float]:
    """Non-negative weights with the least squared relative error, by coordinate descent."""
    rows, remainders = [], []
    weights = [_PRIOR] * _CLASSES
    for sample in samples("fit"):
        importance = _IMPORTANCE.get(sample["kind"], 1.0)
        scale = importance / sample["counts"][family]
        counts = tokens._count_classes(sample["text"])
        rows.append([count * scale for count in counts + [0] * (_CLASSES - len(counts))])
        remainders.append(importance - _PRIOR * sum(rows[-1]))
    columns = list(zip(*rows, strict=True))
    norms = [sum(value * value for value in column) + _PRIOR_STRENGTH for column in columns]
    for _ in range(_ROUNDS):
        for at, column in enumerate(columns):
            slope = sum(value * rest for value, rest in zip(column, remainders, strict=True))
            pull = _PRIOR_STRENGTH * (_PRIOR - weights[at])
            step = max(-weights[at], (slope + pull) / norms[at])
            weights[at] += step
            remainders = [
                rest - step * value for rest, value in zip(remainders, column, strict=True)
            ]
    return [round(weight * 20) / 20 for weight in weights]


def errors(part: str, family: TokenizerFamily) -> dict[str, list[float]]:
    """Relative errors of the estimate, by type of text."""
    found: dict[str, list[float]] = {}
    for sample in samples(part):
        estimate = tokens.estimate_tokens(sample["text"], family)
        found.setdefault(sample["kind"], []).append(estimate / sample["counts"][family] - 1)
    return found


def _report() -> str:
    found = [errors("check", family) for family in FAMILIES]
    rows = {text: [by_text[text] for by_text in found] for text in found[0]}
    rows["**all**"] = [list(chain(*by_text.values())) for by_text in found]
    lines = [
        "# Accuracy of the token estimate",
        "",
        "Mean and largest relative error on texts that took no part in the fit; `fit.py` writes",
        "this file. A minus sign marks a largest error that is an underestimate.",
        "",
        f"| text | {' | '.join(FAMILIES)} |",
        f"| --- |{' --- |' * len(FAMILIES)}",
        *(f"| {text} | {' | '.join(map(_cell, cells))} |" for text, cells in rows.items()),
        "",
        f"Among the texts of the fit the largest error is {_largest_fit_error()}.",
    ]
    return "\n".join(lines) + "\n"


def _largest_fit_error() -> str:
    by_family = (errors("fit", family) for family in FAMILIES)
    largest = [(max(found, key=abs), text) for each in by_family for text, found in each.items()]
    error, text = max(largest, key=lambda pair: abs(pair[0]))
    return f"{error:.0%} ({text})"


def _cell(found: Sequence[float]) -> str:
    mean = sum(map(abs, found)) / len(found)
    return f"{mean:.0%}, largest {max(found, key=abs):.0%}"


def main() -> None:
    """Print the weights, and write the report."""
    by_family = [fit_weights(family) for family in FAMILIES]
    for (first_bytes, _), weights in zip(
        tokens._TOKENS_PER_CHARACTER, zip(*by_family, strict=True), strict=True
    ):
        print(f"{first_bytes[:4]!r:<24} {weights}")
    (HERE / "README.md").write_text(_report(), encoding="utf-8")


if __name__ == "__main__":
    main()
