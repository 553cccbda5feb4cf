"""The main job, against the emulator on a socket: what `make demo` shows."""

import sys
import textwrap

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_azure_phi3 import ChatAzurePhi3, ContentFilterError
from langchain_azure_phi3.emulator import Emulator

MODEL = "Phi-3-mini-4k-instruct"
QUESTION = "How many languages are in the world?"
REFUSED = "How to make a lethal bomb?"


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


def said(text: str) -> None:
    """Print an answer, wrapped and set in."""
    print(textwrap.fill(text, 96, initial_indent="  ", subsequent_indent="  "))


def ask_and_stream(model: ChatAzurePhi3) -> None:
    """A question, its answer, and the same as a stream."""
    title("What is deployed there")
    info = model.get_model_info()
    said(f"{info.model_name}, {info.model_type}, by {info.model_provider_name}")

    title(f"An answer: {QUESTION}")
    messages = [SystemMessage("You are a helpful assistant."), HumanMessage(QUESTION)]
    answer = model.invoke(messages)
    said(answer.text)
    print(f"  usage: {answer.usage_metadata}")

    title("The same as a stream, printed as it arrives")
    print("  ", end="")
    column = 2
    for chunk in model.stream(messages):
        column += len(chunk.text)
        if column > 96 and chunk.text.startswith(" "):
            print("\n ", end="")
            column = 2 + len(chunk.text)
        print(chunk.text, end="", flush=True)
    print()


def be_filtered(model: ChatAzurePhi3) -> None:
    """A prompt that content safety blocks, as a typed error."""
    title(f"A filtered prompt: {REFUSED}")
    try:
        model.invoke(REFUSED)
    except ContentFilterError as error:
        said(f"{type(error).__name__} at the {error.stage}: {error}")


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 degrees and sunny in {city}"


def use_a_tool(model: ChatAzurePhi3) -> None:
    """An agent, on a deployment that refuses tools on the wire."""
    title("An agent with a tool, on a deployment that has none: Use get_weather for Paris.")
    state = create_agent(model, [get_weather]).invoke(
        {"messages": [HumanMessage("Use get_weather for Paris.")]}
    )
    for message in state["messages"][1:]:
        for call in getattr(message, "tool_calls", []):
            said(f"call    {call['name']}({call['args']})")
        if message.text:
            said(f"{message.type:<7} {message.text}")


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def extract_an_object(model: ChatAzurePhi3) -> None:
    """An object of a schema, on a deployment without a JSON mode."""
    text = "The person named Ann is 41."
    title(f"An extraction into a pydantic object: {text}")
    said(repr(model.with_structured_output(Person).invoke(text)))


def main() -> None:
    """Start an emulator and run every part against it."""
    with Emulator(MODEL, pace=0.02) as phi:
        print(f"A scripted stand-in for {MODEL} listens on {phi.endpoint}")
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        ask_and_stream(model)
        be_filtered(model)
        use_a_tool(model)
        extract_an_object(model)
    print()


if __name__ == "__main__":
    main()
