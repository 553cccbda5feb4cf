"""Invoices from pictures into objects.

Three invoices are drawn, sent to Phi-3-vision one at a time (it takes one picture in a
conversation), and read into pydantic objects that check themselves: the items must add up to the
total. What does not is sent back to the model once, with what was wrong.

```bash
pip install "langchain-azure-phi3[emulator,images]"
python docs/cookbook/invoices.py
```

The stand-in cannot see. Its answers are scripted in this file, the second one with a mistake, so
what is shown is the way of a picture to the wire, the check and the correction. How well
Phi-3-vision reads your invoices, only your invoices can tell.
"""

import json

from deployment import deployment
from langchain_core.messages import HumanMessage
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel, Field, model_validator

from langchain_azure_phi3 import image_block


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
    def adds_up(self) -> "Invoice":
        """The total is the sum of the items, to the cent."""
        if abs(sum(item.amount for item in self.items) - self.total) > 0.005:
            raise ValueError(f"the items do not add up to the total of {self.total}")
        return self


INVOICES = (
    {"number": "2024-001", "items": [("Paper", 12.5), ("Ink", 30.0)], "total": 42.5},
    {"number": "2024-002", "items": [("Chair", 89.9)], "total": 89.9},
    {"number": "2024-003", "items": [("Desk", 250.0), ("Lamp", 19.5)], "total": 269.5},
)


def drawn(invoice: dict) -> Image.Image:
    """A picture of an invoice."""
    picture = Image.new("RGB", (640, 420), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(24)
    lines = [f"INVOICE {invoice['number']}", ""]
    lines += [f"{name:<16}{amount:>10.2f} EUR" for name, amount in invoice["items"]]
    lines += ["", f"{'Total':<16}{invoice['total']:>10.2f} EUR"]
    for n, line in enumerate(lines):
        draw.text((40, 40 + 44 * n), line, fill="black", font=font)
    return picture


def read(invoice: dict, total: float | None = None) -> str:
    """What the stand-in is scripted to answer."""
    items = [{"name": name, "amount": amount} for name, amount in invoice["items"]]
    total = invoice["total"] if total is None else total
    return json.dumps({"number": invoice["number"], "items": items, "total": total})


def main() -> None:
    """Draw, ask, check, print."""
    first, second, third = INVOICES
    answers = (read(first), read(second, total=98.9), read(second), read(third))
    with deployment("Phi-3-vision-128k-instruct", answers=answers) as model:
        extract = model.with_structured_output(Invoice, include_raw=True)
        for invoice in INVOICES:
            picture = image_block(drawn(invoice), max_side=1344)
            question = {"type": "text", "text": "Read this invoice."}
            answer = extract.invoke([HumanMessage([question, picture])])
            corrected = len(answer["raw"].response_metadata.get("corrections", []))
            print(repr(answer["parsed"]))
            print(f"  corrections: {corrected}, usage: {answer['raw'].usage_metadata}")


if __name__ == "__main__":
    main()
