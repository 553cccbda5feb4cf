"""Objects from llama.cpp's server, which constrains decoding to their schema."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, Literal

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel

from langchain_azure_phi3 import ChatAzurePhi3
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.third_party.cases import (
    ENDLESS,
    EXPRESSIBLE,
    INEXPRESSIBLE,
    Contact,
    Person,
    Reading,
    Shoes,
)
from tests.third_party.conftest import CountingClients
from tests.third_party.llama_server import LlamaServer

ENOUGH_TOKENS = 300
METHODS: tuple[Any, ...] = ("json_schema", "function_calling", "json_mode")


class Price(BaseModel):
    """A price."""

    amount: Decimal
    currency: Literal["EUR", "USD"]


@pytest.fixture
def model(llama: LlamaServer, clients: CountingClients) -> ChatAzurePhi3:
    """A chat model whose requests are counted."""
    return ChatAzurePhi3(**llama.settings(max_tokens=ENOUGH_TOKENS, **clients.settings))


@pytest.mark.parametrize("method", METHODS)
def test_each_schema_takes_one_request(
    method: Any, model: ChatAzurePhi3, clients: CountingClients
) -> None:
    """A base model returns an object of each, whatever the method."""
    for case in EXPRESSIBLE:
        extract = model.with_structured_output(case.schema, method=method, include_raw=True)
        with clients.expecting(1, case.name):
            result = extract.invoke(case.request)

        assert result["parsing_error"] is None, case.name
        is_class = isinstance(case.schema, type) and not hasattr(case.schema, "__total__")
        assert isinstance(result["parsed"], case.schema if is_class else dict)
        assert "response_format" == result["raw"].response_metadata["constrained_by"], case.name


async def test_each_call_mode_takes_one_request(
    model: ChatAzurePhi3, clients: CountingClients
) -> None:
    """Sync and async, and with a streamed response."""
    text = "Ann Lee is 41 years old and married."
    for streaming in (False, True):
        changed = model.model_copy(update={"streaming": streaming})
        extract = changed.with_structured_output(Person)
        with clients.expecting(2, streaming):
            found = [extract.invoke(text), await extract.ainvoke(text)]

        assert [True, True] == [isinstance(person, Person) for person in found]


def test_bounds_beyond_the_grammar_are_validated(
    model: ChatAzurePhi3, clients: CountingClients
) -> None:
    """An answer within them takes one request; one beyond them is corrected, or an error."""
    extract = model.with_structured_output(Reading)
    with clients.expecting(1):
        assert isinstance(extract.invoke("Sensor K7 reads a humidity of 0.48."), Reading)

    with (
        clients.expecting(2),
        pytest.raises(OutputParserException, match=r"humidity: .* less than or equal to 0\.75"),
    ):
        extract.invoke(INEXPRESSIBLE.request)


def test_a_correction_makes_the_object_valid(llama: LlamaServer) -> None:
    """A base model repeats what it wrote, so the repetition is penalized."""
    penalty = {"repeat_penalty": 1.5}
    model = ChatAzurePhi3(**llama.settings(max_tokens=60, max_corrections=3, model_kwargs=penalty))
    extract = model.with_structured_output(Shoes, include_raw=True)
    corrected = []
    for text in ("There are 7 shoes.", "Ann has 13 shoes.", "Bob has 5 shoes.", "9 shoes."):
        result = extract.invoke(text)
        corrections = result["raw"].response_metadata.get("corrections", [])
        assert all("multiple of 2" in correction["problem"] for correction in corrections), text
        if corrections and isinstance(result["parsed"], Shoes):
            corrected.append(result["parsed"])

    assert corrected
    assert all(found.shoes % 2 == 0 for found in corrected)


def test_cut_objects_are_errors(model: ChatAzurePhi3) -> None:
    """They are not completed by guesswork, and the error names the limit."""
    changed = model.model_copy(update={"max_tokens": 60, "max_corrections": 0})
    with pytest.raises(OutputParserException, match="max_tokens"):
        changed.with_structured_output(ENDLESS.schema).invoke(ENDLESS.request)


async def test_response_formats_of_agents_take_one_request(
    model: ChatAzurePhi3, clients: CountingClients
) -> None:
    """Native formats and formats as tools, sync and async."""
    prompt: Any = {"messages": [("user", "Ann Lee is 41 years old and married.")]}
    for strategy in (ProviderStrategy, ToolStrategy):
        agent: Any = create_agent(model, response_format=strategy(Person))
        with clients.expecting(2, strategy):
            states = [agent.invoke(prompt), await agent.ainvoke(prompt)]

        for state in states:
            assert isinstance(state["structured_response"], Person), strategy


async def test_bound_formats_are_constrained_in_each_call_mode(model: ChatAzurePhi3) -> None:
    """The text is the object, and the metadata names what constrained it."""
    bound = model.bind_tools([], response_format=Person)
    for mode in CALL_MODES:
        message = await call_model(bound, mode, "Ann Lee is 41 years old and married.")

        assert Person.model_validate_json(message.text), mode
        assert "response_format" == message.response_metadata["constrained_by"], mode


def test_threads_share_one_runnable(model: ChatAzurePhi3, clients: CountingClients) -> None:
    """Eight at once, more than the server has slots; each takes one request."""
    extract = model.with_structured_output(Person)
    with clients.expecting(8), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(extract.invoke, ["Ann Lee is 41 years old and married."] * 8))

    assert all(isinstance(person, Person) for person in found)


def test_fallbacks_and_pickles_are_constrained(llama: LlamaServer) -> None:
    """The second model of `with_fallbacks` is, and so is the copy of a runnable."""
    unreachable = ChatAzurePhi3(**llama.settings(endpoint="http://127.0.0.1:9/v1"))
    served = ChatAzurePhi3(**llama.settings(max_tokens=ENOUGH_TOKENS))
    extract = served.with_structured_output(Person)
    for runnable in (
        unreachable.with_fallbacks([served]).with_structured_output(Person),
        pickle.loads(pickle.dumps(extract)),
    ):
        assert isinstance(runnable.invoke("Ann Lee is 41 years old and married."), Person)


def test_decimal_numbers_take_one_request(model: ChatAzurePhi3, clients: CountingClients) -> None:
    """As a number or as its text, with every method."""
    for method in METHODS:
        extract = model.with_structured_output(Price, method=method)
        with clients.expecting(1, method):
            price = extract.invoke("The lamp costs 12.50 euros.")

        assert isinstance(price.amount, Decimal), method


def test_objects_that_stop_sequences_cut_are_errors(model: ChatAzurePhi3) -> None:
    """They are not completed by guesswork either."""
    extract = model.with_structured_output(Contact, max_corrections=0)
    with pytest.raises(OutputParserException, match="A stop sequence cut off"):
        extract.invoke("This is Ann Lee. Write to ann@example.com.", stop=[","])
