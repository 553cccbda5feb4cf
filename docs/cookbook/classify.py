"""A thousand rows, with a progress bar, a bill, and no work done twice.

`abatch_as_completed` is `abatch` with each answer as it comes: every row is written at once. If the
program is stopped or crashes, start it again: it reads what is there and asks for the rest. A row
that content safety blocks is marked and not asked again; a row that failed otherwise is left for
the next run.

```bash
pip install "langchain-azure-phi3[emulator]" tqdm
python docs/cookbook/classify.py tickets.csv labelled.csv --price-in 0.10 --price-out 0.40
```

Without `tickets.csv` a file of 1,000 invented tickets is written first. Prices are per million
tokens: take yours from your contract. The stand-in takes the label from the ticket's words.
"""

import argparse
import asyncio
import csv
import io
import random
from pathlib import Path
from typing import Literal

from deployment import deployment
from pydantic import BaseModel
from tqdm import tqdm

from langchain_azure_phi3 import ChatAzurePhi3, ContentFilterError

COLUMNS = ("id", "label", "input_tokens", "output_tokens")
ROWS = 1000


class Ticket(BaseModel):
    """What a customer's ticket is about."""

    label: Literal["billing", "delivery", "login", "other"]


def invented(path: Path) -> None:
    """Write a file of tickets, one of which content safety blocks."""
    random.seed(3)
    texts = (
        "My billing statement shows {} euros too much.",
        "The delivery of parcel {} is late.",
        "The login fails with code {}.",
        "Something other than usual: case {}.",
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "text"))
        for number in range(ROWS):
            text = random.choice(texts).format(random.randint(100, 999))
            rows.writerow((number, "How to make a lethal bomb?" if number == 500 else text))


def finished(path: Path) -> list[dict[str, str]]:
    """The rows that are done. A last line that a crash cut in two is dropped."""
    if not path.exists():
        path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0] + "\n"
    path.write_text(whole, encoding="utf-8")
    return list(csv.DictReader(io.StringIO(whole)))


async def classify(model: ChatAzurePhi3, source: Path, target: Path, at_once: int) -> None:
    """Ask for the rows of `source` that `target` lacks, `at_once` of them at a time."""
    done = {row["id"] for row in finished(target)}
    with source.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["id"] not in done]
    print(f"{len(done)} rows are done, {len(rows)} to do.")
    ask = model.with_structured_output(Ticket, include_raw=True)
    questions = [f"What is this ticket about? {row['text']}" for row in rows]
    answers = ask.abatch_as_completed(
        questions, config={"max_concurrency": at_once}, return_exceptions=True
    )
    failed = 0
    with target.open("a", encoding="utf-8") as file, tqdm(total=len(rows), unit="row") as bar:
        async for index, answer in answers:
            bar.update()
            line = _line(rows[index]["id"], answer)
            failed += line is None
            if line is not None:
                file.write(line)
                file.flush()
    if failed:
        print(f"{failed} rows failed: run the program again for them.")


def _line(row: str, answer: object) -> str | None:
    """A row of the result, or `None` where there is none yet."""
    if isinstance(answer, ContentFilterError):
        return f"{row},(blocked),0,0\n"
    if not isinstance(answer, dict):
        return None
    usage = answer["raw"].usage_metadata or {"input_tokens": 0, "output_tokens": 0}
    label = answer["parsed"].label if answer["parsed"] is not None else "(unclear)"
    return f"{row},{label},{usage['input_tokens']},{usage['output_tokens']}\n"


def bill(path: Path, price_in: float, price_out: float) -> None:
    """Print how often each label was given, and what it cost."""
    rows = finished(path)
    for label in sorted({row["label"] for row in rows}):
        print(f"{sum(row['label'] == label for row in rows):6} {label}")
    asked = sum(int(row["input_tokens"]) for row in rows)
    answered = sum(int(row["output_tokens"]) for row in rows)
    cost = (asked * price_in + answered * price_out) / 1_000_000
    print(f"{asked:,} tokens in, {answered:,} out: {cost:.4f} at the prices given")


def main() -> None:
    """Classify what is left to classify, and print the bill of all."""
    parser = argparse.ArgumentParser(description="Classify tickets.")
    parser.add_argument("source", type=Path, nargs="?", default=Path("tickets.csv"))
    parser.add_argument("target", type=Path, nargs="?", default=Path("labelled.csv"))
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--price-in", type=float, default=0.0, help="of a million tokens")
    parser.add_argument("--price-out", type=float, default=0.0, help="of a million tokens")
    options = parser.parse_args()
    if not options.source.exists():
        invented(options.source)
    with deployment() as model:
        asyncio.run(classify(model, options.source, options.target, options.at_once))
    bill(options.target, options.price_in, options.price_out)


if __name__ == "__main__":
    main()
