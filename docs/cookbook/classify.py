"""Classify 1,000 rows with a progress bar, resume, and a cost report.

`abatch_as_completed` yields each result as soon as it is available, so every row is written
immediately. If the program stops or crashes, start it again: it reads the rows that are done and
requests the rest. A row that content safety blocks is marked and not requested again. A row that
fails for another reason is left for the next run.

```bash
pip install "langchain-azure-phi3[emulator]" tqdm
python classify.py tickets.csv labeled.csv --price-in 0.10 --price-out 0.40
```

If `tickets.csv` does not exist, the program creates it with 1,000 sample tickets. Prices are per
million tokens: use those of your contract. The emulator selects the label by keyword.
"""

import argparse
import asyncio
import csv
import io
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel
from tqdm import tqdm

from langchain_azure_phi3 import ChatAzurePhi3, ContentFilterError
from langchain_azure_phi3.emulator import Emulator, Prompt

COLUMNS = ("id", "label", "input_tokens", "output_tokens")
ROWS = 1000


class Ticket(BaseModel):
    """The topic of a customer's ticket."""

    label: Literal["billing", "delivery", "login", "other"]


def label_by_keyword(prompt: Prompt) -> str:
    """Generate the emulator's response: the first label that occurs in the ticket."""
    labels = ("billing", "delivery", "login")
    label = next((label for label in labels if label in prompt.last_user_text), "other")
    return json.dumps({"label": label})


def write_sample(path: Path) -> None:
    """Write a file of sample tickets, one of which content safety blocks."""
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


def read_results(path: Path) -> list[dict[str, str]]:
    """Read the rows that are done, and drop an incomplete last line."""
    if not path.exists():
        path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    lines = path.read_text(encoding="utf-8").rpartition("\n")[0] + "\n"
    path.write_text(lines, encoding="utf-8")
    return list(csv.DictReader(io.StringIO(lines)))


async def classify(model: ChatAzurePhi3, source: Path, target: Path, concurrency: int) -> None:
    """Classify the rows of `source` that are not yet in `target`."""
    done = {row["id"] for row in read_results(target)}
    with source.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["id"] not in done]
    print(f"{len(done)} rows are done, {len(rows)} to do.")
    classifier = model.with_structured_output(Ticket, include_raw=True)
    prompts = [f"What is this ticket about? {row['text']}" for row in rows]
    results = classifier.abatch_as_completed(
        prompts, config={"max_concurrency": concurrency}, return_exceptions=True
    )
    failed = 0
    with target.open("a", encoding="utf-8") as file, tqdm(total=len(rows), unit="row") as bar:
        async for index, result in results:
            bar.update()
            line = _format_row(rows[index]["id"], result)
            failed += line is None
            if line is not None:
                file.write(line)
                file.flush()
    if failed:
        print(f"{failed} rows failed: run the program again to retry them.")


def _format_row(row: str, result: object) -> str | None:
    """Return a line for the target file, or `None` if the row failed."""
    if isinstance(result, ContentFilterError):
        return f"{row},(blocked),0,0\n"
    if not isinstance(result, dict):
        return None
    usage = result["raw"].usage_metadata or {"input_tokens": 0, "output_tokens": 0}
    label = result["parsed"].label if result["parsed"] is not None else "(unclear)"
    return f"{row},{label},{usage['input_tokens']},{usage['output_tokens']}\n"


def print_report(path: Path, price_in: float, price_out: float) -> None:
    """Print the number of rows for each label, and the cost."""
    rows = read_results(path)
    for label in sorted({row["label"] for row in rows}):
        print(f"{sum(row['label'] == label for row in rows):6} {label}")
    tokens_in = sum(int(row["input_tokens"]) for row in rows)
    tokens_out = sum(int(row["output_tokens"]) for row in rows)
    cost = (tokens_in * price_in + tokens_out * price_out) / 1_000_000
    print(f"{tokens_in:,} tokens in, {tokens_out:,} out; cost: {cost:.4f}")


@contextmanager
def open_model() -> Iterator[ChatAzurePhi3]:
    """Open your deployment, or else an emulator, which returns scripted responses."""
    if os.environ.get("AZURE_INFERENCE_ENDPOINT"):
        yield ChatAzurePhi3(temperature=0)
        return
    print("AZURE_INFERENCE_ENDPOINT is not set: using an emulator of Phi-3-mini-4k-instruct.\n")
    with Emulator("Phi-3-mini-4k-instruct", responder=label_by_keyword) as phi:
        yield ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model=phi.model, temperature=0
        )


def main() -> None:
    """Classify the remaining rows and print the report for all rows."""
    parser = argparse.ArgumentParser(description="Classify tickets.")
    parser.add_argument("source", type=Path, nargs="?", default=Path("tickets.csv"))
    parser.add_argument("target", type=Path, nargs="?", default=Path("labeled.csv"))
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--price-in", type=float, default=0.0, help="price per million tokens")
    parser.add_argument("--price-out", type=float, default=0.0, help="price per million tokens")
    options = parser.parse_args()
    if not options.source.exists():
        write_sample(options.source)
    with open_model() as model:
        asyncio.run(classify(model, options.source, options.target, options.concurrency))
    print_report(options.target, options.price_in, options.price_out)


if __name__ == "__main__":
    main()
