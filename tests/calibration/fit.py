"""Fits the weights of the token estimator to the samples, and says how far off it is.

Run it from the root of the repository after changing the samples or what is counted in a text:

    python -m tests.calibration.fit

It rewrites `langchain_azure_phi3/_tokens/weights.py` and `tests/calibration/README.md`. New samples
get their true counts from `count.mjs`. Samples marked "check" take no part in the fit.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_azure_phi3._tokens.shape import NAMES, shape

HERE = Path(__file__).parent
FAMILIES = ("llama-32k", "cl100k", "o200k")
TARGET = HERE.parents[1] / "langchain_azure_phi3" / "_tokens" / "weights.py"

# Where samples say little about a weight, it stays near what the tokenizers' rules suggest.
PRIOR = {
    "english": 1.0,
    "english_over_4": 0.05,
    "english_over_7": 0.1,
    "english_over_10": 0.2,
    "foreign": 1.0,
    "foreign_over_4": 0.25,
    "accents": 1.0,
    "rare_accents": 1.5,
    "glued": 0.2,
    "digits": 0.5,
    "digit_groups": 0.5,
    "spaced_numbers": 0.7,
    "sign_runs": 0.7,
    "sign_changes": 0.3,
    "spaced_signs": 0.2,
    "break_runs": 0.7,
    "space_runs": 0.7,
    "kana": 1.0,
    "han": 1.0,
    "cjk_signs": 1.0,
    "random_letters": 0.6,
    "four_bytes": 2.0,
}
PULL = 0.01
ROUNDS = 600
# Two sentences of Azure's how-to pages, whose prompt tokens are documented, and a third.
HEAVY = {"short english": 4.0}


def samples(part: str) -> list[dict[str, Any]]:
    """The samples of one part, `"fit"` or `"check"`."""
    everything = json.loads((HERE / "samples.json").read_text(encoding="utf-8"))
    return [sample for sample in everything if sample["part"] == part]


def fitted(family: str, given: Sequence[Mapping[str, Any]]) -> list[float]:
    """Weights of none below zero with the least squared relative error, by coordinate descent."""
    rows, targets = [], []
    for sample in given:
        heaviness = HEAVY.get(sample["kind"], 1.0)
        scale = heaviness / sample["counts"][family]
        rows.append([count * scale for count in shape(sample["text"])])
        targets.append(heaviness)
    prior = [PRIOR.get(name, 0.0) for name in NAMES]
    weights = list(prior)
    columns = list(zip(*rows, strict=True))
    norms = [sum(value * value for value in column) for column in columns]
    missing = [
        target - sum(value * weight for value, weight in zip(row, weights, strict=True))
        for row, target in zip(rows, targets, strict=True)
    ]
    for _ in range(ROUNDS):
        for at, column in enumerate(columns):
            slope = sum(value * rest for value, rest in zip(column, missing, strict=True))
            pulled = slope + norms[at] * weights[at] + PULL * prior[at]
            better = max(0.0, pulled / (norms[at] + PULL))
            step, weights[at] = better - weights[at], better
            missing = [rest - step * value for rest, value in zip(missing, column, strict=True)]
    return [round(weight, 2) for weight in weights]


def errors(family: str, weights: Sequence[float]) -> dict[str, list[float]]:
    """Relative errors on the check samples, by kind of text."""
    found: dict[str, list[float]] = {}
    for sample in samples("check"):
        counts = shape(sample["text"])
        estimate = sum(count * weight for count, weight in zip(counts, weights, strict=True))
        found.setdefault(sample["kind"], []).append(estimate / sample["counts"][family] - 1)
    return found


def _module(weights: Mapping[str, Sequence[float]]) -> str:
    lines = [
        f'    "{name}": ({", ".join(str(weights[family][at]) for family in FAMILIES)}),'
        for at, name in enumerate(NAMES)
    ]
    return "\n".join(
        [
            '"""What each thing in a text costs in tokens; by `tests/calibration/fit.py`."""',
            "",
            f"FAMILIES = {json.dumps(FAMILIES)}".replace("[", "(").replace("]", ")"),
            "",
            "WEIGHTS: dict[str, tuple[float, float, float]] = {",
            *lines,
            "}",
            "",
        ]
    )


def _report(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    lines = [
        "# How far off the token estimate is",
        "",
        "Mean and worst relative error on texts that took no part in the fit; written by `fit.py`.",
        "The true counts come from the tokenizers in the npm packages `llama-tokenizer-js` and",
        "`gpt-tokenizer`, by `count.mjs`. What is counted in a text was chosen with these texts in",
        "sight; on others (stretches of 2,000 characters of Python's standard library, npm's",
        "documentation and scripts, C headers, HTML pages) the mean error was 3 to 8 %, on",
        "licences in capitals 6 to 14 %, on tables of rare Chinese and Korean characters a half.",
        "",
        f"| kind of text | {' | '.join(FAMILIES)} |",
        f"| --- |{' --- |' * len(FAMILIES)}",
    ]
    kinds = list(found[FAMILIES[0]])
    for kind in kinds:
        cells = (_cell(found[family][kind]) for family in FAMILIES)
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    everything = (_cell([e for es in found[family].values() for e in es]) for family in FAMILIES)
    lines.append(f"| **all** | {' | '.join(everything)} |")
    lines.append(f"| characters / 3.6, for comparison | {' | '.join(map(_naive, FAMILIES))} |")
    return "\n".join(lines) + "\n"


def _cell(found: Sequence[float]) -> str:
    sizes = [abs(error) for error in found]
    return f"{sum(sizes) / len(sizes):.0%}, worst {max(sizes):.0%}"


def _naive(family: str) -> str:
    return _cell([len(s["text"]) / 3.6 / s["counts"][family] - 1 for s in samples("check")])


def main() -> None:
    """Fit, and write both files."""
    weights = {family: fitted(family, samples("fit")) for family in FAMILIES}
    TARGET.write_text(_module(weights), encoding="utf-8")
    found = {family: errors(family, weights[family]) for family in FAMILIES}
    (HERE / "README.md").write_text(_report(found), encoding="utf-8")


if __name__ == "__main__":
    main()
