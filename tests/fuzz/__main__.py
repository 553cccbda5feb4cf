"""Run the targets one after another, each for some seconds, and say what was found.

`python -m tests.fuzz [SECONDS]` runs all; `python -m tests.fuzz TARGET FILE` one on one input.
"""

import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS, seeds

WORK = Path(".fuzz")
_LONGEST = 4096


def fuzz(target: str, seconds: int) -> list[Path]:
    """Run one target; the inputs that it failed on."""
    corpus, found = WORK / target, WORK / "found"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    before = set(found.glob(f"{target}-*"))
    command = [sys.executable, "-m", "tests.fuzz.guided", target, str(corpus)]
    command += [f"-max_total_time={seconds}", f"-max_len={_LONGEST}", "-timeout=10"]
    command += [f"-artifact_prefix={found}/{target}-", "-print_final_stats=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    reached = re.findall(r"cov: (\d+)", done.stderr)
    new = sorted(set(found.glob(f"{target}-*")) - before)
    said = f"{target:8} {runs[1] if runs else '?':>9} runs, {reached[-1] if reached else '?'} edges"
    print(f"{said}, {len(new)} found")
    if new or done.returncode != 0:
        print(done.stdout[-4000:], done.stderr[-2000:], sep="\n")
        return new or [corpus]
    return []


def main(arguments: list[str]) -> int:
    """The exit status: 1 where something was found."""
    if len(arguments) == 2:
        TARGETS[arguments[0]](Path(arguments[1]).read_bytes())
        return 0
    seconds = int(arguments[0]) if arguments else 30
    found = [path for target in TARGETS for path in fuzz(target, seconds)]
    for path in found:
        print(f"Look at it with: python -m tests.fuzz {path.name.partition('-')[0]} {path}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
