"""Objects of a schema from a deployment without a JSON mode."""

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, Literal

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field, field_validator
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3.emulator import Emulator
from tests.scripted_model import scripted_values

METHODS = ("json_schema", "function_calling", "json_mode")
JOKE = '{"setup": "Why?", "punchline": "So."}'
TOLD = {
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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (Joke, Joke(**PLAIN)),
        (JokeV1, JokeV1(**PLAIN)),
        (JokeDict, PLAIN),
        (JokeData, JokeData(**PLAIN)),
        (JOKE_SCHEMA, PLAIN),
    ],
    ids=["pydantic", "pydantic v1", "TypedDict", "dataclass", "JSON schema"],
)
async def test_every_schema_and_method_gives_its_object(
    phi: Emulator, model: ChatAzurePhi3, schema: Any, expected: Any, method: Any
) -> None:
    """Sync, async and streamed."""
    name = schema.__name__ if isinstance(schema, type) else "Joke"
    told = TOLD[method].replace('"Joke"', f'"{name}"')
    phi.script(told, told, told)
    structured = model.with_structured_output(schema, method=method)

    answers = [
        structured.invoke("Tell a joke."),
        await structured.ainvoke("Tell a joke."),
        *structured.stream("Tell a joke."),
    ]

    assert [expected] * 3 == answers


class Mood(enum.Enum):
    """How somebody feels."""

    GOOD = "good"
    BAD = "bad"


class Person(BaseModel):
    """A person."""

    name: str
    age: int | None = None
    mood: Mood = Mood.GOOD


class Guest(BaseModel):
    """A person of whom everything must be known."""

    name: str
    age: int
    mood: Mood


class Team(BaseModel):
    """A team."""

    lead: Person
    members: list[Person]
    size: Literal["small", "large"] | int
    notes: dict[str, str] = Field(default_factory=dict)


def test_nested_schemas_are_met(phi: Emulator, model: ChatAzurePhi3) -> None:
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


def test_the_schema_is_in_the_prompt(phi: Emulator, model: ChatAzurePhi3) -> None:
    """And nothing on the wire that the deployment would refuse."""
    phi.script(JOKE)

    model.with_structured_output(Joke).invoke("Tell a joke.")

    sent = phi.requests[-1].json
    assert "JSON schema" in sent["messages"][0]["content"]
    assert {"messages"} == sent.keys()


@pytest.mark.parametrize("method", METHODS)
async def test_a_failure_is_quoted_back_and_corrected(
    phi: Emulator, model: ChatAzurePhi3, method: Any
) -> None:
    """In both colours."""
    structured = model.with_structured_output(Joke, method=method)
    phi.script("I know none.", TOLD[method], "I know none.", TOLD[method])

    assert Joke(**PLAIN) == structured.invoke("Tell a joke.")
    assert Joke(**PLAIN) == await structured.ainvoke("Tell a joke.")
    assert "That cannot be used" in phi.requests[-1].json["messages"][-1]["content"]


@pytest.mark.parametrize("method", METHODS)
def test_what_never_fits_is_an_error(phi: Emulator, model: ChatAzurePhi3, method: Any) -> None:
    """After one correction; with the last reason."""
    phi.script(*["I know none."] * 2)

    with pytest.raises(OutputParserException, match="No Joke in 2 answers"):
        model.with_structured_output(Joke, method=method).invoke("Tell a joke.")

    assert 2 == len(phi.requests)


class Even(BaseModel):
    """An even number."""

    value: int

    @field_validator("value")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


@pytest.mark.parametrize("method", METHODS)
def test_what_only_pydantic_can_check_is_corrected_too(
    phi: Emulator, model: ChatAzurePhi3, method: Any
) -> None:
    """A validator's words go back to the model."""
    texts = ['{"value": 3}', '{"value": 4}']
    if method == "function_calling":
        texts = [f'{{"name": "Even", "arguments": {text}}}' for text in texts]
    phi.script(*texts)

    assert Even(value=4) == model.with_structured_output(Even, method=method).invoke("A number.")
    assert "must be even" in str(phi.requests[-1].json["messages"])


def test_a_schema_echo_is_recognised(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Small models like to repeat what they were given."""
    phi.script(str(JOKE_SCHEMA).replace("'", '"'), JOKE)

    assert Joke(**PLAIN) == model.with_structured_output(Joke).invoke("Tell a joke.")
    assert "the schema itself" in phi.requests[-1].json["messages"][-1]["content"]


@pytest.mark.parametrize("method", METHODS)
def test_include_raw_keeps_the_answers(phi: Emulator, model: ChatAzurePhi3, method: Any) -> None:
    """The last one, those before it, and the sum of their tokens."""
    structured = model.with_structured_output(Joke, method=method, include_raw=True)
    phi.script("I know none.", TOLD[method])

    found = structured.invoke("Tell a joke.")

    assert {"raw", "parsed", "parsing_error"} == found.keys()
    assert (Joke(**PLAIN), None) == (found["parsed"], found["parsing_error"])
    (corrected,) = found["raw"].response_metadata["corrections"]
    assert "I know none." == corrected["content"]
    assert found["raw"].usage_metadata["output_tokens"] > 8


def test_include_raw_never_raises_for_what_does_not_fit(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """The error is in the result."""
    phi.script("no", "no")

    found = model.with_structured_output(Joke, include_raw=True).invoke("Tell a joke.")

    assert found["parsed"] is None
    assert isinstance(found["parsing_error"], OutputParserException)
    assert "no" == found["raw"].text


class Runs(BaseCallbackHandler):
    """Remembers the runs of models, and their parents."""

    def __init__(self) -> None:
        self.parents: list[Any] = []
        self.options: list[dict[str, Any]] = []

    def on_chat_model_start(self, *_: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
        """Called once for each run of a chat model."""
        self.parents.append(parent_run_id)
        self.options.append(kwargs["options"])


@pytest.mark.parametrize("method", METHODS)
def test_a_good_answer_is_one_run_and_a_correction_a_sibling(
    phi: Emulator, model: ChatAzurePhi3, method: Any
) -> None:
    """All in one trace; each says what was asked for."""
    structured = model.with_structured_output(Joke, method=method, strict=None)
    phi.script(TOLD[method], "no", TOLD[method])

    happy, corrected = Runs(), Runs()
    structured.invoke("Tell a joke.", config={"callbacks": [happy]})
    structured.invoke("Tell a joke.", config={"callbacks": [corrected]})

    assert 1 == len(happy.parents)
    assert 2 == len(corrected.parents)
    assert 1 == len(set(corrected.parents))
    assert corrected.parents[0] is not None
    traced = happy.options[0]["ls_structured_output_format"]
    assert method == traced["kwargs"]["method"]
    assert {"setup", "punchline"} == traced["schema"]["properties"].keys()


def test_it_is_part_of_a_chain(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A prompt in front, with messages of its own."""
    prompt = ChatPromptTemplate.from_messages([("system", "Be funny."), ("user", "About {what}")])
    phi.script(JOKE)

    chain = prompt | model.with_structured_output(Joke)

    assert Joke(**PLAIN) == chain.invoke({"what": "cats"})
    assert phi.requests[-1].json["messages"][0]["content"].startswith("Be funny.\n\nAnswer with")


def test_parameters_of_the_calls_are_passed_on(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As with `bind`."""
    phi.script(JOKE)

    model.with_structured_output(Joke, temperature=0).invoke("Tell a joke.")

    assert 0 == phi.requests[-1].json["temperature"]


class Callback(BaseModel):
    """What JSON has no type for."""

    call: Callable[[int], int]


@dataclasses.dataclass
class CallbackData:
    """The same as a dataclass."""

    call: Callable[[int], int]


class CallbackDict(TypedDict):
    """The same as a TypedDict, of a class that pydantic does not know."""

    deployment: Emulator


@pytest.mark.parametrize(
    "schema",
    [
        *({"properties": {}}, "Joke", 3, Callback, CallbackData, CallbackDict),
        {"title": "Joke", "type": ["object", "null"]},
        {"name": "Joke", "parameters": 5},
    ],
    ids=str,
)
def test_what_is_no_schema_is_refused(model: ChatAzurePhi3, schema: Any) -> None:
    """With what would be one."""
    with pytest.raises(InvalidInputError, match="Pass a pydantic model"):
        model.with_structured_output(schema)


def test_an_unknown_method_is_refused(model: ChatAzurePhi3) -> None:
    """With the known ones."""
    with pytest.raises(InvalidInputError, match="json_mode"):
        model.with_structured_output(Joke, method="xml")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_a_deployment_with_a_json_mode_is_asked_for_it(method: Any) -> None:
    """Natively, without a word in the prompt."""
    responder = scripted_values(setup="Why?", punchline="Because.")
    with Emulator(tools="native", responder=responder) as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, tool_calling="native", model="other"
        )
        joke = model.with_structured_output(Joke, method=method).invoke(
            "Tell a joke about cats. Return JSON with 'setup' and 'punchline' keys."
        )
        sent = phi.requests[-1].json

    assert isinstance(joke, Joke)
    assert {"json_schema": "json_schema", "json_mode": "json_object"}[method] == sent[
        "response_format"
    ]["type"]
    assert ["user"] == [turn["role"] for turn in sent["messages"]]


MISTAKES = [
    "prose", "fence", "unclosed fence", "wrong types", "bad values", "invented arguments",
    "schema echo", "single quotes", "trailing comma", "python literals", "empty",
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_mistakes_of_small_models_are_mended_or_corrected(mistake: str) -> None:
    """The stand-in follows the prompt, goes wrong once as ordered, and follows the correction."""
    responder = scripted_values(name="Ann", age=41, mood="good")
    with Emulator(responder=responder, model_errors=mistake) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        guest = model.with_structured_output(Guest).invoke("Ann is 41 and in a good mood.")

    assert Guest(name="Ann", age=41, mood=Mood.GOOD) == guest
