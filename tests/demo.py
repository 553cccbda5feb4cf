"""A tour of the main features, against the emulator: `make demo` runs it."""

import shutil
import struct
import sys
import tempfile
import textwrap
import zlib
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_azure_phi3 import ChatAzurePhi3, ContentFilterError, image_block
from langchain_azure_phi3.emulator import Emulator

MODEL = "Phi-3-mini-4k-instruct"
VISION_MODEL = "Phi-3-vision-128k-instruct"
CHART_QUESTION = "Which conclusion can be extracted from the following chart?"
QUESTION = "How many languages are in the world?"
FILTERED = "How to make a lethal bomb?"
COLUMNS = min(96, shutil.get_terminal_size().columns)


def title(text: str) -> None:
    """Print a heading."""
    text = textwrap.fill(text, COLUMNS)
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


def show(text: str) -> None:
    """Print a text, wrapped and indented."""
    print(textwrap.fill(text, COLUMNS, initial_indent="  ", subsequent_indent="  "))


def ask_and_stream(model: ChatAzurePhi3) -> None:
    """Ask a question, complete and streamed."""
    title("The deployment")
    info = model.get_model_info()
    show(f"{info.model_name}, {info.model_type}, by {info.model_provider_name}")

    title(f"Invoke: {QUESTION}")
    messages = [SystemMessage("You are a helpful assistant."), HumanMessage(QUESTION)]
    answer = model.invoke(messages)
    show(answer.text)
    print(f"  usage: {answer.usage_metadata}")

    title("Stream, printed as it arrives")
    print("  ", end="")
    column = 2
    for chunk in model.stream(messages):
        column += len(chunk.text)
        if column > COLUMNS and chunk.text.startswith(" "):
            print("\n ", end="")
            column = 2 + len(chunk.text)
        print(chunk.text, end="", flush=True)
    print()


def trigger_content_filter(model: ChatAzurePhi3) -> None:
    """Catch the error for a prompt that content safety blocks."""
    title(f"A filtered prompt: {FILTERED}")
    try:
        model.invoke(FILTERED)
    except ContentFilterError as error:
        show(f"{type(error).__name__} at the {error.stage}: {error}")


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 degrees and sunny in {city}"


def use_a_tool(model: ChatAzurePhi3) -> None:
    """Run an agent on a deployment that does not support tools."""
    title("An agent, on a deployment without tool support: Use get_weather for Paris.")
    state = create_agent(model, [get_weather]).invoke(
        {"messages": [HumanMessage("Use get_weather for Paris.")]}
    )
    for message in state["messages"][1:]:
        for call in getattr(message, "tool_calls", []):
            show(f"call    {call['name']}({call['args']})")
        if message.text:
            show(f"{message.type:<7} {message.text}")


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def extract_an_object(model: ChatAzurePhi3) -> None:
    """Extract an object of a schema, on a deployment without JSON mode."""
    text = "The person named Ann is 41."
    title(f"Structured output as a pydantic object: {text}")
    show(repr(model.with_structured_output(Person).invoke(text)))


def bar_chart(heights: list[int], *, width: int = 640, height: int = 480) -> bytes:
    """A bar chart as a PNG; heights are percentages."""
    step = width // len(heights)
    rows = bytearray()
    for y in range(height):
        rows.append(0)  # no filter
        for x in range(width):
            bar = min(x // step, len(heights) - 1)
            inside = step // 8 < x % step < step - step // 8 and 100 * (height - y) < (
                heights[bar] * height
            )
            rows += b"\x2b\x6c\xb0" if inside else b"\xff\xff\xff"

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(rows)))
        + chunk(b"IEND", b"")
    )


def show_an_image() -> None:
    """Draw a chart, save it, and ask about it."""
    path = Path(tempfile.mkdtemp(prefix="phi-demo-")) / "chart.png"
    path.write_bytes(bar_chart([38, 62, 55, 81, 69, 94]))
    title(f"An image for {VISION_MODEL}: {CHART_QUESTION}")
    print(f"  {path}")
    print("  (The emulator's answer is scripted; it reads the size of the image.)")
    with Emulator(VISION_MODEL) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model=VISION_MODEL)
        question = [HumanMessage([{"type": "text", "text": CHART_QUESTION}, image_block(path)])]
        print(f"  counted before: {model.get_num_tokens_from_messages(question):,} tokens")
        answer = model.invoke(question)
        show(answer.text)
        print(f"  usage: {answer.usage_metadata}")


def main() -> None:
    """Start an emulator and run all parts against it."""
    with Emulator(MODEL, chunk_delay=0.02) as phi:
        print(f"Emulating {MODEL} at {phi.endpoint}")
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        ask_and_stream(model)
        trigger_content_filter(model)
        phi.script('{"name": "get_weather", "arguments": {"city": "Paris"}}')
        use_a_tool(model)
        phi.script('{"name": "Ann", "age": 41}')
        extract_an_object(model)
    show_an_image()
    print()


if __name__ == "__main__":
    main()
