"""Invoices from images.

This program draws three invoices, sends them to Phi-3-vision one at a time (it accepts one image
per conversation), and reads them into pydantic objects that validate themselves: the items must
add up to the total. If they do not, the model is asked again, with an explanation of what was
wrong.

```bash
pip install "langchain-azure-phi3[emulator,images]"
python invoices.py
```

The emulator does not analyze images. Its responses are scripted in this file, the second one with a
mistake. The program therefore shows how an image is sent, validated and corrected. To see how well
Phi-3-vision reads your invoices, run it with a real deployment.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.messages import HumanMessage
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel, Field, model_validator

from langchain_azure_phi3 import ChatAzurePhi3, image_block
from langchain_azure_phi3.emulator import Emulator


class Item(BaseModel):
    """One line of an invoice."""

    name: str
    amount: float = Field(description="in the invoice's currency")


class Invoice(BaseModel):
    """An invoice."""

    number: str
    items: list[Item]
    total: float

    @model_validator(mode="after")
    def check_total(self) -> "Invoice":
        """Check that the items add up to the total, to the cent."""
        if abs(sum(item.amount for item in self.items) - self.total) > 0.005:
            raise ValueError(f"the items do not add up to the total of {self.total}")
        return self


INVOICES = (
    {"number": "2024-001", "items": [("Paper", 12.5), ("Ink", 30.0)], "total": 42.5},
    {"number": "2024-002", "items": [("Chair", 89.9)], "total": 89.9},
    {"number": "2024-003", "items": [("Desk", 250.0), ("Lamp", 19.5)], "total": 269.5},
)


def draw_invoice(invoice: dict) -> Image.Image:
    """Draw an image of an invoice."""
    image = Image.new("RGB", (640, 420), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(24)
    lines = [f"INVOICE {invoice['number']}", ""]
    lines += [f"{name:<16}{amount:>10.2f} EUR" for name, amount in invoice["items"]]
    lines += ["", f"{'Total':<16}{invoice['total']:>10.2f} EUR"]
    for n, line in enumerate(lines):
        draw.text((40, 40 + 44 * n), line, fill="black", font=font)
    return image


def script_response(invoice: dict, total: float | None = None) -> str:
    """Create the emulator's response for an invoice, optionally with a wrong total."""
    items = [{"name": name, "amount": amount} for name, amount in invoice["items"]]
    total = invoice["total"] if total is None else total
    return json.dumps({"number": invoice["number"], "items": items, "total": total})


@contextmanager
def open_model(responses: tuple[str, ...]) -> Iterator[ChatAzurePhi3]:
    """Open your deployment, or else an emulator, which returns scripted responses."""
    if os.environ.get("AZURE_INFERENCE_ENDPOINT"):
        yield ChatAzurePhi3(temperature=0)
        return
    print("AZURE_INFERENCE_ENDPOINT is not set: using an emulator of Phi-3-vision-128k-instruct.\n")
    with Emulator("Phi-3-vision-128k-instruct") as phi:
        phi.script(*responses)
        yield ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model=phi.model, temperature=0
        )


def main() -> None:
    """Draw the invoices, send them, and print the objects."""
    first, second, third = INVOICES
    responses = (
        script_response(first),
        script_response(second, total=98.9),
        script_response(second),
        script_response(third),
    )
    with open_model(responses) as model:
        extract = model.with_structured_output(Invoice, include_raw=True)
        for invoice in INVOICES:
            image = image_block(draw_invoice(invoice), max_side=1344)
            instruction = {"type": "text", "text": "Read this invoice."}
            result = extract.invoke([HumanMessage([instruction, image])])
            corrections = len(result["raw"].response_metadata.get("corrections", []))
            print(repr(result["parsed"]))
            print(f"  corrections: {corrections}, usage: {result['raw'].usage_metadata}")


if __name__ == "__main__":
    main()
