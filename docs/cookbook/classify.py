"""Classify 1,000 rows with the command `batch`: progress, resume, objects, totals and cost.

The program writes a prompt for each ticket, and the command calls the model for each. If it stops
or crashes, start it again: it continues where it stopped. A row that content safety blocks is
marked. Rows that fail with a temporary error are left for the next run.

```bash
pip install "langchain-azure-phi3[emulator,batch]"
python classify.py tickets.csv labeled.csv
```

If `tickets.csv` does not exist, the program creates it with 1,000 sample tickets. The emulator
selects the label by keyword. `langchain-azure-phi3 batch` is the same command in a shell.
"""

import argparse
import csv
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.cli import main as langchain_azure_phi3
from langchain_azure_phi3.emulator import Emulator, Prompt

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


def write_prompts(source: Path, prompts: Path) -> None:
    """Write the prompt of each ticket."""
    with (
        source.open(newline="", encoding="utf-8") as tickets,
        prompts.open("w", newline="", encoding="utf-8") as file,
    ):
        rows = csv.writer(file)
        rows.writerow(("id", "prompt"))
        for ticket in csv.DictReader(tickets):
            rows.writerow((ticket["id"], f"What is this ticket about? {ticket['text']}"))


def labels_of(path: Path) -> Iterator[str]:
    """Yield the label of each row, or its error."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            label = json.loads(row["answer"])["label"] if row["answer"] else row["error_type"]
            yield "(blocked)" if label == "ContentFilterError" else label


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
    """Classify the remaining rows, and print how many have each label."""
    parser = argparse.ArgumentParser(description="Classify tickets.")
    parser.add_argument("source", type=Path, nargs="?", default=Path("tickets.csv"))
    parser.add_argument("target", type=Path, nargs="?", default=Path("labeled.csv"))
    parser.add_argument("--rpm", default="1000000", help="the deployment's requests per minute")
    options = parser.parse_args()
    if not options.source.exists():
        write_sample(options.source)
    prompts, schema = (options.target.with_suffix(end) for end in (".prompts.csv", ".schema.json"))
    write_prompts(options.source, prompts)
    schema.write_text(json.dumps(Ticket.model_json_schema()), encoding="utf-8")

    with open_model() as model:
        if model.credential is not None:
            os.environ["AZURE_INFERENCE_CREDENTIAL"] = model.credential.get_secret_value()
        arguments = ["--endpoint", model.endpoint, "--temperature", "0", "--rpm", options.rpm]
        langchain_azure_phi3(
            ["batch", str(prompts), str(options.target), "--schema", str(schema), *arguments]
        )
    for label, count in sorted(Counter(labels_of(options.target)).items()):
        print(f"{count:6} {label}")


if __name__ == "__main__":
    main()
