"""Structured output: objects that fit a schema, from a deployment without a JSON mode."""

import dataclasses
import enum
import inspect
import json
import pickle
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NotRequired, Required, TypeVar, get_type_hints
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3._settings import BaseAzurePhi3
from langchain_azure_phi3.emulator import Emulator, Generation

METHODS: tuple[Any, ...] = ("json_schema", "function_calling", "json_mode")
JOKE = '{"setup": "Why?", "punchline": "So."}'
ANSWERS = {
    "json_schema": JOKE,
    "json_mode": JOKE,
    "function_calling": f'{{"name": "Joke", "arguments": {JOKE}}}',
}


class Joke(BaseModel):
    """Joke to tell."""

    setup: str = Field(description="the question")
    punchline: str


class JokeV1(BaseModelV1):
    """Joke to tell."""

    setup: str
    punchline: str


class JokeDict(TypedDict):
    """Joke to tell."""

    setup: str
    punchline: str


@dataclasses.dataclass
class JokeData:
    """Joke to tell."""

    setup: str
    punchline: str


JOKE_SCHEMA = {
    "title": "Joke",
    "description": "Joke to tell.",
    "type": "object",
    "properties": {"setup": {"type": "string"}, "punchline": {"type": "string"}},
    "required": ["setup", "punchline"],
}
PLAIN = {"setup": "Why?", "punchline": "So."}


NO_JOKE = "I know none."

# -- refused before a request --------------------------------------------------------------------


class Callback(BaseModel):
    """A type that JSON lacks."""

    call: Callable[[int], int]


@dataclasses.dataclass
class CallbackData:
    """The same as a dataclass."""

    call: Callable[[int], int]


class CallbackDict(TypedDict):
    """The same as a TypedDict, of a class that pydantic does not know."""

    deployment: Emulator


NOT_SCHEMAS: list[Any] = [
    *({"properties": {}}, "Joke", 3, Callback, CallbackData, CallbackDict),
    {"title": "Joke", "type": ["object", "null"]},
    {"name": "Joke", "parameters": 5},
]


def test_invalid_schemas_are_refused(model: ChatAzurePhi3) -> None:
    """The error says what a schema can be."""
    for schema in NOT_SCHEMAS:
        with pytest.raises(InvalidInputError, match="Pass a pydantic model"):
            model.with_structured_output(schema)


def test_schemas_of_lists_are_refused(model: ChatAzurePhi3) -> None:
    """As is every other type but an object; the error says what to do."""
    schemas: list[Any] = [
        *(RootModel[list[Joke]], RootModel[int], RootModel[int | list[str]]),
        {"title": "Jokes", "type": "array", "items": {"type": "string"}},
        {"title": "Jokes", "type": ["array", "null"], "items": {"type": "string"}},
        {"title": "Jokes", "anyOf": [{"type": "array"}, {"type": "string"}]},
    ]
    for schema in schemas:
        with pytest.raises(InvalidInputError, match="Wrap it in a model with one field"):
            model.with_structured_output(schema)


def test_unknown_method_is_refused(model: ChatAzurePhi3) -> None:
    """The error lists the methods."""
    with pytest.raises(InvalidInputError, match="json_mode"):
        model.with_structured_output(Joke, method="xml")  # type: ignore[arg-type]


# -- answers that do not fit ---------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_answer_that_never_fits_is_an_error(
    phi: Emulator, model: ChatAzurePhi3, method: Any
) -> None:
    """After one correction, with the last reason."""
    phi.script(*[NO_JOKE] * 2)

    with pytest.raises(OutputParserException, match="No Joke in 2 responses"):
        model.with_structured_output(Joke, method=method).invoke("Tell a joke.")

    assert 2 == len(phi.requests)


def test_include_raw_returns_the_parsing_error(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Nothing is raised."""
    phi.script("no", "no")

    found = model.with_structured_output(Joke, include_raw=True).invoke("Tell a joke.")

    assert found["parsed"] is None
    assert isinstance(found["parsing_error"], OutputParserException)
    assert "no" == found["raw"].text


@pytest.mark.parametrize("method", METHODS)
async def test_wrong_answer_is_corrected(phi: Emulator, model: ChatAzurePhi3, method: Any) -> None:
    """The reason goes back to the model; sync and async."""
    structured = model.with_structured_output(Joke, method=method)
    phi.script(NO_JOKE, ANSWERS[method], NO_JOKE, ANSWERS[method])

    assert Joke(**PLAIN) == structured.invoke("Tell a joke.")
    assert Joke(**PLAIN) == await structured.ainvoke("Tell a joke.")
    assert "That cannot be used" in phi.requests[-1].json["messages"][-1]["content"]


class Even(BaseModel):
    """An even number."""

    value: int

    @field_validator("value")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


def test_pydantic_validators_are_corrected_too(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The message of a validator goes back to the model."""
    for method in METHODS:
        texts = ['{"value": 3}', '{"value": 4}']
        if method == "function_calling":
            texts = [f'{{"name": "Even", "arguments": {text}}}' for text in texts]
        phi.script(*texts)

        found = model.with_structured_output(Even, method=method).invoke("A number.")
        assert Even(value=4) == found, method
        assert "must be even" in str(phi.requests[-1].json["messages"])


def test_repeated_schema_is_corrected(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Small models like to repeat the schema instead of filling it."""
    phi.script(json.dumps(JOKE_SCHEMA), JOKE)

    assert Joke(**PLAIN) == model.with_structured_output(Joke).invoke("Tell a joke.")
    assert "the schema itself" in phi.requests[-1].json["messages"][-1]["content"]


def test_include_raw_keeps_every_answer(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The last answer, the corrected ones, and the sum of their tokens."""
    for method in METHODS:
        structured = model.with_structured_output(Joke, method=method, include_raw=True)
        phi.script(ANSWERS[method], NO_JOKE, ANSWERS[method])

        once, twice = (structured.invoke("Tell a joke.") for _ in range(2))

        assert {"raw", "parsed", "parsing_error"} == twice.keys()
        assert (Joke(**PLAIN), None) == (twice["parsed"], twice["parsing_error"])
        (corrected,) = twice["raw"].response_metadata["corrections"]
        assert NO_JOKE == corrected["content"]
        tokens = [found["raw"].usage_metadata["output_tokens"] for found in (once, twice)]
        assert tokens[1] > tokens[0], method


# -- objects -------------------------------------------------------------------------------------

SCHEMAS: dict[str, tuple[Any, Any]] = {
    "pydantic": (Joke, Joke(**PLAIN)),
    "pydantic v1": (JokeV1, JokeV1(**PLAIN)),
    "TypedDict": (JokeDict, PLAIN),
    "dataclass": (JokeData, JokeData(**PLAIN)),
    "JSON schema": (JOKE_SCHEMA, PLAIN),
}


@pytest.mark.parametrize("method", METHODS)
async def test_every_schema_type_gives_its_object(
    phi: Emulator, model: ChatAzurePhi3, method: Any
) -> None:
    """Sync, async and streamed."""
    for schema_type, (schema, expected) in SCHEMAS.items():
        name = schema.__name__ if isinstance(schema, type) else "Joke"
        phi.script(*[ANSWERS[method].replace('"Joke"', f'"{name}"')] * 4)
        structured = model.with_structured_output(schema, method=method)

        answers = [
            structured.invoke("Tell a joke."),
            await structured.ainvoke("Tell a joke."),
            *structured.stream("Tell a joke."),
            *[each async for each in structured.astream("Tell a joke.")],
        ]

        assert [expected] * 4 == answers, schema_type


def test_root_models_of_objects_give_objects(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A dictionary, and one of several models."""
    ages, either = RootModel[dict[str, int]], RootModel[Joke | Even]
    phi.script('{"Ann": 41}', JOKE)

    assert ages({"Ann": 41}) == model.with_structured_output(ages).invoke("Who?")
    assert either(Joke(**PLAIN)) == model.with_structured_output(either).invoke("A joke.")


class Stop(TypedDict, total=False):
    """A stop of a trip."""

    city: Required[str]
    nights: int


class Trip(TypedDict):
    """A trip."""

    stops: list[Stop]
    first: Stop
    budget: NotRequired[Annotated[int, ..., "in euros"]]


def test_keys_of_typed_dicts_may_be_absent(phi: Emulator, model: ChatAzurePhi3) -> None:
    """With `NotRequired`, or `total=False` without `Required`; the other keys are required."""
    trip = {"stops": [{"city": "Porto"}, {"city": "Rome", "nights": 2}], "first": {"city": "Porto"}}
    for method in METHODS:
        for text in (trip, {**trip, "budget": 900}):
            wrong = {**trip, "stops": [{"nights": 2}]}
            answers = [json.dumps(each) for each in (wrong, text)]
            if method == "function_calling":
                answers = [f'{{"name": "Trip", "arguments": {answer}}}' for answer in answers]
            phi.script(*answers)

            structured = model.with_structured_output(Trip, method=method)
            assert text == structured.invoke("Porto, then two nights in Rome."), method
            assert "'city' is a required property" in json.dumps(
                phi.requests[-1].json["messages"]
            ).replace('\\"', "'"), method
            assert method == "json_mode" or "in euros" in str(phi.requests[-1].json)


class Author(TypedDict):
    name: str
    born: int | None


def test_values_of_typed_dicts_may_be_none(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The model is not asked to invent a number."""
    author = {"name": "Homer", "born": None}
    for method in METHODS:
        is_call = method == "function_calling"
        phi.script(json.dumps({"name": "Author", "arguments": author} if is_call else author))

        assert author == model.with_structured_output(Author, method=method).invoke("Who?"), method
        assert "dict(" not in str(phi.requests[-1].json)  # the docstring of `dict`


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of a list."""

    items: list[T]


def test_generic_models_have_names_for_the_wire(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Without the brackets of `Page[int]`, which names of tools cannot have."""
    for method in METHODS:
        text = '{"items": [1, 2]}'
        is_call = method == "function_calling"
        phi.script(f'{{"name": "Page_int_", "arguments": {text}}}' if is_call else text)

        found = model.with_structured_output(Page[int], method=method).invoke("Count to two.")

        assert Page[int](items=[1, 2]) == found, method
    with pytest.raises(InvalidInputError, match="cannot be named"):
        model.bind_tools([Page[int]])


class Mood(enum.Enum):
    """A mood."""

    GOOD = "good"
    BAD = "bad"


class Person(BaseModel):
    """A person."""

    name: str
    age: int | None = None
    mood: Mood = Mood.GOOD


class Invoice(BaseModel):
    """An invoice, of a model that converts nothing."""

    model_config = ConfigDict(strict=True)
    id: UUID
    day: date
    due: timedelta
    total: Decimal
    mood: Mood
    places: tuple[str, ...]


def test_strict_models_read_json(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Where dates, UUIDs, decimal numbers and members of enums are text, and tuples are arrays."""
    invoice = Invoice(
        id=UUID("123e4567-e89b-42d3-a456-426614174000"),
        day=date(2026, 11, 29),
        due=timedelta(days=14),
        total=Decimal("12.30"),
        mood=Mood.GOOD,
        places=("Porto", "Rome"),
    )
    phi.script(invoice.model_dump_json())

    assert invoice == model.with_structured_output(Invoice, max_corrections=0).invoke("Which?")


class Loose(BaseModel):
    """Values that pydantic converts unless a model is strict."""

    ratio: float
    total: Decimal
    data: bytes
    tags: set[str]
    flag: bool


def test_other_models_convert_values(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Numbers and booleans as text, bytes, sets."""
    phi.script('{"ratio": "1.5", "total": 0.1, "data": "ü", "tags": ["a", "a"], "flag": "yes"}')

    found = model.with_structured_output(Loose, max_corrections=0).invoke("Which?")

    expected = {"ratio": 1.5, "total": Decimal("0.1"), "data": "ü".encode(), "flag": True}
    assert Loose.model_validate({**expected, "tags": {"a"}}) == found


class Team(BaseModel):
    """A team."""

    lead: Person
    members: list[Person]
    size: Literal["small", "large"] | int
    notes: dict[str, str] = Field(default_factory=dict)


def test_nested_schemas_are_filled(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Definitions, unions, enums, nested lists, optional fields."""
    phi.script(
        'Here: {"lead": {"name": "Ann", "age": "41"}, "members": [{"name": "Bo", "mood": "BAD"}], '
        '"size": "small"}'
    )

    team = model.with_structured_output(Team).invoke("Who?")

    assert team == Team(
        lead=Person(name="Ann", age=41),
        members=[Person(name="Bo", mood=Mood.BAD)],
        size="small",
    )


# The texts in which small models write Ann, who is 41 and in a good mood.
FIXABLE = {
    "prose": 'Sure! {"name": "Ann", "age": 41, "mood": "good"} I hope this helps.',
    "fence": '```json\n{"name": "Ann", "age": 41, "mood": "good"}\n```',
    "unclosed fence": '```json\n{"name": "Ann", "age": 41, "mood": "good"}',
    "wrong types": '{"name": "Ann", "age": "41", "mood": "good"}',
    "invented fields": '{"name": "Ann", "age": 41, "mood": "good", "note": "nice"}',
    "single quotes": "{'name': 'Ann', 'age': 41, 'mood': 'good'}",
    "trailing comma": '{"name": "Ann", "age": 41, "mood": "good",}',
    "python literals": '{"name": "Ann", "age": 41, "mood": "good", "note": None}',
}
CORRECTED = {
    "missing field": '{"age": 41, "mood": "good"}',
    "empty": "",
}


def test_mistakes_of_small_models_are_fixed_or_corrected(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """Unambiguous mistakes are fixed in place; others cost one more request."""
    structured = model.with_structured_output(Person)
    for texts, requests in ((FIXABLE, 1), (CORRECTED, 2)):
        for mistake, text in texts.items():
            phi.script(*[text, FIXABLE["fence"]][:requests])
            before = len(phi.requests)

            found = structured.invoke("Ann is 41 and in a good mood.")

            assert Person(name="Ann", age=41, mood=Mood.GOOD) == found, mistake
            assert requests == len(phi.requests) - before, mistake


# -- requests, chains and traces -----------------------------------------------------------------


def test_schema_goes_into_the_prompt(phi: Emulator, model: ChatAzurePhi3) -> None:
    """No parameter is sent that the deployment would refuse."""
    phi.script(JOKE)

    model.with_structured_output(Joke).invoke("Tell a joke.")

    sent = phi.requests[-1].json
    assert "JSON schema" in sent["messages"][0]["content"]
    assert {"messages"} == sent.keys()


def test_native_json_mode_is_used_where_available() -> None:
    """As a request parameter, without instructions in the prompt."""
    modes: dict[Any, str] = {"json_schema": "json_schema", "json_mode": "json_object"}
    for method, response_format in modes.items():
        with Emulator(tools="native") as phi:
            model = ChatAzurePhi3(
                endpoint=phi.endpoint, credential=phi.key, tool_calling="native", model="other"
            )
            phi.script(JOKE)
            joke = model.with_structured_output(Joke, method=method).invoke("A joke, as JSON.")
            sent = phi.requests[-1].json

        assert Joke(**PLAIN) == joke
        assert response_format == sent["response_format"]["type"]
        assert [{"role": "user", "content": "A joke, as JSON."}] == sent["messages"]


def test_call_parameters_are_passed_on(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As with `bind`."""
    phi.script(JOKE)

    model.with_structured_output(Joke, temperature=0).invoke("Tell a joke.")

    assert 0 == phi.requests[-1].json["temperature"]


def test_invalid_input_is_an_error(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As in `model.invoke`; nothing is sent."""
    structured = model.with_structured_output(Joke)
    no_input: Any = {"topic": "cats"}
    with pytest.raises(ValueError, match="Invalid input type"):
        structured.invoke(no_input)
    with pytest.raises(InvalidInputError, match="no message to send"):
        structured.invoke([])
    assert [] == phi.requests


def test_parameters_of_invoke_are_passed_on(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As by the runnables that LangChain's own implementation returns."""
    structured = model.with_structured_output(Joke, temperature=0)
    phi.script(JOKE, JOKE)

    structured.invoke("Tell a joke.", temperature=0.5)
    structured.bind(stop=["END"]).invoke("Tell a joke.")

    first, second = (request.json for request in phi.requests)
    assert 0.5 == first["temperature"]
    assert ["END"] == second["stop"]
    phi.script(NO_JOKE)
    with pytest.raises(OutputParserException, match="in 1 response:"):
        structured.invoke("Tell a joke.", max_corrections=0)


def test_structured_output_can_be_pickled(phi: Emulator) -> None:
    """For each method, with the arguments of the calls and `include_raw`."""
    served = ChatAzurePhi3(endpoint=phi.start().endpoint, credential=phi.key)
    for method in METHODS:
        structured = served.with_structured_output(
            Joke, method=method, include_raw=True, max_tokens=77
        )
        phi.script(ANSWERS[method])

        copy = pickle.loads(pickle.dumps(structured))

        assert Joke(**PLAIN) == copy.invoke("A joke, as JSON.")["parsed"], method
        assert 77 == phi.requests[-1].json["max_tokens"], method
        assert structured.name == copy.name


def test_graph_shows_the_model(model: ChatAzurePhi3) -> None:
    """As the step of the runnable."""
    nodes = model.with_structured_output(Joke).get_graph().nodes.values()

    assert model in [node.data for node in nodes]


def test_refusals_and_wrong_answers_fall_back(phi: Emulator, model: ChatAzurePhi3) -> None:
    """To another model, or to other instructions."""
    other = model.with_structured_output(Joke)
    structured = model.with_structured_output(Joke, max_corrections=0).with_fallbacks([other])
    for answer in (Generation("", refusal="I will not."), NO_JOKE):
        phi.script(answer, JOKE)

        assert Joke(**PLAIN) == structured.invoke("Tell a joke.")


def test_annotations_of_methods_resolve() -> None:
    """LangChain reads those of methods that are called through `with_fallbacks`."""
    methods = {**vars(BaseAzurePhi3), **vars(ChatAzurePhi3)}
    for name, method in methods.items():
        is_own = inspect.isfunction(method) and method.__module__.startswith("langchain_azure_phi3")
        if is_own and not name.startswith("_"):  # pydantic adds some of its own
            assert "return" in get_type_hints(method), name


def test_fallbacks_are_structured_too(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Each model of `with_fallbacks` gets the schema."""
    failing = model.model_copy(update={"max_retries": 0})
    phi.script(JOKE)
    phi.fail(status=500)

    structured = failing.with_fallbacks([model]).with_structured_output(Joke)

    assert Joke(**PLAIN) == structured.invoke("Tell a joke.")
    assert 2 == len(phi.requests)


def test_structured_output_runs_in_a_chain(phi: Emulator, model: ChatAzurePhi3) -> None:
    """After a prompt that has a system message of its own."""
    prompt = ChatPromptTemplate.from_messages([("system", "Be funny."), ("user", "About {what}")])
    phi.script(JOKE)

    chain = prompt | model.with_structured_output(Joke)

    assert Joke(**PLAIN) == chain.invoke({"what": "cats"})
    assert phi.requests[-1].json["messages"][0]["content"].startswith("Be funny.\n\nAnswer with")


class Runs(BaseCallbackHandler):
    """Keeps the parents and options of chat model runs."""

    def __init__(self) -> None:
        self.parents: list[Any] = []
        self.options: list[dict[str, Any]] = []

    def on_chat_model_start(self, *_: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
        """Called once for each run of a chat model."""
        self.parents.append(parent_run_id)
        self.options.append(kwargs["options"])


def test_each_answer_is_one_run(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A correction is a sibling in the same trace; runs carry the schema."""
    for method in METHODS:
        structured = model.with_structured_output(Joke, method=method, strict=None)
        phi.script(ANSWERS[method], "no", ANSWERS[method])
        first, corrected = Runs(), Runs()

        structured.invoke("Tell a joke.", config={"callbacks": [first]})
        structured.invoke("Tell a joke.", config={"callbacks": [corrected]})

        assert (1, 2) == (len(first.parents), len(corrected.parents)), method
        assert 1 == len(set(corrected.parents))
        assert corrected.parents[0] is not None
        traced = first.options[0]["ls_structured_output_format"]
        assert method == traced["kwargs"]["method"]
        assert {"setup", "punchline"} == traced["schema"]["properties"].keys()
