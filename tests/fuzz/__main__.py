"""Run each fuzz target for some seconds, and print the inputs that failed.

`python -m tests.fuzz [SECONDS]` runs all targets; `python -m tests.fuzz TARGET FILE` runs one
target on one input.
"""

import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, check

WORK = Path(".fuzz")
_MAX_LENGTH = 4096


def fuzz(target: str, seconds: int) -> list[Path]:
    """Run one target, and return the inputs that failed."""
    corpus, found = WORK / target, WORK / "found"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    before = set(found.glob(f"{target}-*"))
    command = [sys.executable, "-m", "tests.fuzz.guided", target, str(corpus)]
    command += [f"-max_total_time={seconds}", f"-max_len={_MAX_LENGTH}", "-timeout=10"]
    command += [f"-artifact_prefix={found}/{target}-", "-print_final_stats=1"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    inputs = re.search(r"number_of_executed_units: (\d+)", run.stderr)
    edges = re.findall(r"cov: (\d+)", run.stderr)
    new = sorted(set(found.glob(f"{target}-*")) - before)
    counts = f"{inputs[1] if inputs else '?':>9} inputs, {edges[-1] if edges else '?'} edges"
    print(f"{target:8} {counts}, {len(new)} failed")
    if new or run.returncode != 0:
        print(run.stdout[-4000:], run.stderr[-2000:], sep="\n")
        return new or [corpus]
    return []


def main(arguments: list[str]) -> int:
    """Run what the arguments name; the exit status is 1 if an input failed."""
    if len(arguments) == 2:
        check(arguments[0], Path(arguments[1]).read_bytes())
        return 0
    seconds = int(arguments[0]) if arguments else 30
    found = [path for target in TARGETS for path in fuzz(target, seconds)]
    for path in found:
        print(f"Reproduce with: python -m tests.fuzz {path.name.partition('-')[0]} {path}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
