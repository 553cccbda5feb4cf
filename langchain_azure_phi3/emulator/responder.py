"""The default responder, which writes short deterministic responses that follow tools and schemas.

It is not a language model. Script the responses, or pass a responder, if the text matters.
"""

from dataclasses import replace

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.conversation import Generation, Prompt
from langchain_azure_phi3.emulator.prompt_parser import Instructions, parse_instructions
from langchain_azure_phi3.emulator.value_generator import generate_value
from langchain_azure_phi3.emulator.wire import to_json

# The responses to the two questions in Azure's how-tos, with their token counts.
_SAMPLES = {
    "how many languages are in the world": Generation(
        "As of now, it's estimated that there are about 7,000 languages spoken around the world. "
        "However, this number can vary as some languages become extinct and new ones develop. "
        "It's also important to note that the number of speakers can greatly vary between "
        "languages, with some having millions of speakers and others only a few hundred.",
        tokens=72,
    ),
    "the following chart": Generation(
        "The chart illustrates that larger models tend to perform better in quality, as indicated "
        "by their size in billions of parameters. However, there are exceptions to this trend, "
        "such as Phi-3-medium and Phi-3-small, which outperform smaller models in quality. This "
        "suggests that while larger models generally have an advantage, there may be other factors "
        "at play that influence a model's performance.",
        tokens=126,
    ),
}


def respond(prompt: Prompt) -> Generation:
    """Respond to a prompt with a tool call, a JSON object, the tool results, or a sentence."""
    instructions = parse_instructions(prompt)
    tool = _next_tool(instructions, prompt.last_user_text)
    if tool is not None:
        arguments = generate_value({"type": "object", **instructions.tools[tool]})
        generation = _write_call(tool, arguments, instructions.call_format)
    elif instructions.schema is not None:
        generation = Generation(to_json(generate_value(instructions.schema)))
    elif len(instructions.results) > 0:
        lines = [f"The tool {name} says: {text}" for name, text in instructions.results]
        generation = Generation("\n".join(lines))
    else:
        generation = _answer(prompt)
    reasoning = f"The user says: {prompt.last_user_text} I answer as my script tells me."
    return replace(generation, reasoning=reasoning) if prompt.has_reasoning else generation


def _write_call(name: str, arguments: Json, call_format: str) -> Generation:
    if call_format == "native":
        return Generation("", tool_calls=((name, to_json(arguments)),))
    text = to_json({"name": name, "arguments": arguments})
    return Generation(f"<|tool_call|>[{text}]<|/tool_call|>" if call_format == "tagged" else text)


def _next_tool(instructions: Instructions, question: str) -> str | None:
    """Return the tool to call: a required one, else the one in the question, or the first once."""
    if instructions.tool_name is not None:
        return instructions.tool_name
    called = [name for name, _ in instructions.results]
    if len(called) > 0 and not instructions.required:
        return None
    unused = [name for name in instructions.tools if name not in called]
    # A question may share its message with the descriptions of the tools, which quote the names.
    mentioned = [name for name in unused if question.count(name) > question.count(f'"{name}"')]
    return next(iter([*mentioned, *unused, *instructions.tools]), None)


def _answer(prompt: Prompt) -> Generation:
    question = prompt.last_user_text
    images = [image for message in prompt.messages for image in message.images]
    for sample, generation in _SAMPLES.items():
        if sample in question.lower() and ("chart" not in sample or len(images) > 0):
            return generation
    roles = ", ".join(message.role for message in prompt.messages)
    sentences = [
        f"I am a scripted stand-in for {prompt.model}.",
        f"Messages: {len(prompt.messages)} ({roles}).",
    ]
    if len(images) > 0:
        sizes = ["not fetched" if i.size is None else f"{i.size[0]}x{i.size[1]}" for i in images]
        sentences.append(f"Images: {len(images)} ({', '.join(sizes)}).")
    if prompt.choice > 0:
        sentences.append(f"This is choice {prompt.choice}.")
    return Generation(" ".join([*sentences, f"You said: {question}"]))
