"""Everyday schemas, each with a request, and tools: what the real engine is tested with."""

import datetime
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from langchain_core.tools import BaseTool, tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

Line = Annotated[str, Field(max_length=40)]  # a weak model does not end a long text by itself


class Person(BaseModel):
    """A person."""

    name: Line
    age: int = Field(ge=0, le=130)
    married: bool


class Urgency(enum.Enum):
    """How soon somebody must act."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Ticket(BaseModel):
    """A request to the support team."""

    title: Line
    category: Literal["hardware", "software", "network", "account"]
    urgency: Urgency


class Address(BaseModel):
    """A postal address."""

    street: Line
    city: Line
    postal_code: str = Field(pattern=r"^[0-9]{5}$")


class Customer(BaseModel):
    """A customer and where they live."""

    name: Line
    address: Address


class Item(BaseModel):
    """One line of a bill."""

    product: Line
    quantity: int = Field(ge=1, le=99)


class Bill(BaseModel):
    """A bill with its lines."""

    number: str = Field(pattern=r"^B-[0-9]{4}$")
    items: list[Item] = Field(min_length=1, max_length=3)


class Contact(BaseModel):
    """A contact, of whom little may be known."""

    name: Line
    email: Line | None = None
    phone: Line | None = None


class Card(BaseModel):
    """A payment by card."""

    method: Literal["card"]
    last_digits: str = Field(pattern=r"^[0-9]{4}$")


class Transfer(BaseModel):
    """A payment from an account."""

    method: Literal["transfer"]
    bank: Line


class Payment(BaseModel):
    """A payment in one of two ways."""

    amount: int = Field(ge=1, le=100_000)
    source: Card | Transfer


class Comment(BaseModel):
    """A comment, and the one that it answers."""

    author: Line
    text: Line
    answers: "Comment | None" = None


class Appointment(BaseModel):
    """An appointment."""

    subject: Line
    day: datetime.date
    start: datetime.datetime


class Part(BaseModel):
    """A spare part."""

    number: str = Field(pattern=r"^[A-Z]{2}-[0-9]{4}$")
    stock: int = Field(ge=0, le=500)
    shelf: Literal[1, 2, 3]


class Labels(BaseModel):
    """Labels of an article."""

    labels: list[Annotated[str, Field(max_length=15)]] = Field(min_length=2, max_length=4)
    published: bool


@dataclass
class Point:
    """A point of a plan."""

    x: int
    y: int
    label: Line


class Flight(TypedDict):
    """A flight between two airports."""

    origin: Annotated[Literal["TXL", "LIS", "OSL"], ..., "where it starts"]
    destination: Annotated[Literal["TXL", "LIS", "OSL"], ..., "where it lands"]
    seats: int


OPENING_HOURS = {
    "title": "opening_hours",
    "description": "The hours of a shop.",
    "type": "object",
    "properties": {
        "open": {"type": "boolean"},
        "currency": {"const": "EUR"},
        "hours": {
            "type": "object",
            "properties": {
                "from": {"type": "integer", "minimum": 6, "maximum": 12},
                "to": {"type": "integer", "minimum": 13, "maximum": 22},
            },
            "required": ["from", "to"],
            "additionalProperties": False,
        },
    },
    "required": ["open", "currency", "hours"],
    "additionalProperties": False,
}


class Reading(BaseModel):
    """A reading of a sensor: the grammar of llama.cpp cannot express the bounds of a float."""

    sensor: str = Field(max_length=12)
    humidity: float = Field(ge=0.25, le=0.75)


class Shoes(BaseModel):
    """A number of shoes: grammars cannot express `multipleOf`."""

    shoes: int = Field(ge=0, le=99, multiple_of=2)


class Folder(BaseModel):
    """A folder and the folders inside it: the weak model nests them without an end."""

    name: str = Field(max_length=12)
    folders: "list[Folder]" = Field(default_factory=list, max_length=2)


class Case(NamedTuple):
    """A schema and a request to fill it."""

    schema: Any
    request: str

    @property
    def name(self) -> str:
        """The schema's name."""
        return str(self.schema["title"] if isinstance(self.schema, dict) else self.schema.__name__)


EXPRESSIBLE: Sequence[Case] = (
    Case(Person, "Ann Lee is 41 years old and married."),
    Case(Ticket, "My laptop does not start, and I have a talk in an hour!"),
    Case(Customer, "Ann Lee lives at 5 Elm Street in Springfield, 62701."),
    Case(Bill, "Bill B-2041: two lamps and a chair."),
    Case(Contact, "This is Ann Lee. Write to ann@example.com."),
    Case(Payment, "Ann paid 120 with the card that ends in 4242."),
    Case(Comment, "Ann writes: 'Nice article!'"),
    Case(Appointment, "See the dentist on 3 May 2026 at half past nine."),
    Case(Part, "Of part AB-1234 there are 17 on shelf 2."),
    Case(Labels, "The article about cats and dogs is published."),
    Case(Point, "The door is at 3, 7."),
    Case(Flight, "Three seats from Berlin TXL to Lisbon LIS."),
    Case(OPENING_HOURS, "The shop is open from 8 to 18 and takes euros."),
)
"""Schemas that the grammar of llama.cpp expresses."""

INEXPRESSIBLE = Case(Reading, "Sensor K7 reads a humidity of 48 percent.")
"""A schema of which the grammar drops a bound."""

ENDLESS = Case(Folder, "The folder 'work' contains the folders 'bills' and 'plans'.")
"""A schema whose object is longer than `max_tokens`."""


@tool(return_direct=True)
def get_weather(city: Line, unit: Literal["celsius", "fahrenheit"]) -> str:
    """Get the weather in a city."""
    return f"20 degrees {unit} in {city}"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def pay(payment: Payment) -> str:
    """Pay a bill."""
    return f"paid {payment.amount}"


@tool
def list_cities() -> list[str]:
    """List all cities."""
    return ["Oslo"]


TOOLS: Sequence[BaseTool] = (get_weather, add, pay, list_cities)

CALLS: Mapping[str, str] = {
    "get_weather": "What is the weather in Oslo?",
    "add": "How much is 3 plus 4?",
    "pay": "Pay 120 with the card that ends in 4242.",
    "list_cities": "Which cities do you know?",
}
"""A request for each tool."""
