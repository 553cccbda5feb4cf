"""What the stand-in model says. It is a script, not a language model, and understands nothing.

It knows the two questions that Azure's how-tos ask, with their answers. It follows instructions
in the prompt that ask for tool calls or for JSON, with values taken from the conversation or made
up. To anything else it says what reached it: that is what an emulator can be asked about honestly.
"""

from dataclasses import replace

from langchain_azure_phi3.emulator import deciding, invention
from langchain_azure_phi3.emulator.conversation import Picture, Prompt, Spoken
from langchain_azure_phi3.emulator.evidence import Evidence
from langchain_azure_phi3.emulator.following import Form, Result, Wanted, wanted_by
from langchain_azure_phi3.emulator.wire import Json

LANGUAGES = Spoken(
    "As of now, it's estimated that there are about 7,000 languages spoken around the world. "
    "However, this number can vary as some languages become extinct and new ones develop. It's "
    "also important to note that the number of speakers can greatly vary between languages, with "
    "some having millions of speakers and others only a few hundred.",
    tokens=72,
)
CHART = Spoken(
    "The chart illustrates that larger models tend to perform better in quality, as indicated by "
    "their size in billions of parameters. However, there are exceptions to this trend, such as "
    "Phi-3-medium and Phi-3-small, which outperform smaller models in quality. This suggests that "
    "while larger models generally have an advantage, there may be other factors at play that "
    "influence a model's performance.",
    tokens=126,
)


def scripted(prompt: Prompt) -> Spoken:
    """What was asked for by instructions, else a known answer, else an account of what arrived."""
    wanted = wanted_by(prompt)
    spoken = _instructed(wanted)
    if spoken is None:
        spoken = _known(prompt)
    if spoken is None:
        spoken = Spoken(_account(prompt, wanted))
    return replace(spoken, thoughts=_thoughts(wanted)) if prompt.reasons else spoken


def calling(calls: list[deciding.Call], form: Form) -> Spoken:
    """Calls in the form that they were asked for in."""
    if form == "native":
        return Spoken("", calls=tuple((c.name, invention.written(c.arguments)) for c in calls))
    listed = [invention.written({"name": c.name, "arguments": c.arguments}) for c in calls]
    if form == "tagged":
        return Spoken(f"<|tool_call|>[{', '.join(listed)}]<|/tool_call|>")
    return Spoken("\n".join(listed))


def _instructed(wanted: Wanted) -> Spoken | None:
    call = deciding.next_call(wanted)
    if call is not None:
        return calling([call], wanted.form)
    schema = schema_for(wanted)
    if schema is not None:
        texts = [result.text for result in wanted.results]
        value = invention.instance(schema, Evidence(wanted.question, *texts))
        return Spoken(invention.written(value))
    if len(wanted.results) > 0:
        return Spoken("\n".join(_told(result) for result in wanted.results))
    return None


def schema_for(wanted: Wanted) -> Json | None:
    """The schema that the answer must fit, `None` where it may be words."""
    if wanted.schema is not None or not wanted.wants_json:
        return wanted.schema
    keys = wanted.keys if len(wanted.keys) > 0 else ("answer",)
    properties: Json = {key: {"type": "string"} for key in keys}
    return {"type": "object", "properties": properties, "required": list(keys)}


def _told(result: Result) -> str:
    text = result.text if result.text else "(nothing)"
    return f"The tool {result.name} {'failed' if result.failed else 'says'}: {text}"


def _thoughts(wanted: Wanted) -> str:
    tools = ", ".join(offer.name for offer in wanted.offers)
    offered = f" I could call {tools}." if tools else ""
    return f"The user says: {wanted.question}{offered} I answer as my script tells me."


def _known(prompt: Prompt) -> Spoken | None:
    question = prompt.last_user_text.lower()
    if "how many languages are in the world" in question:
        return LANGUAGES
    sees = any(len(turn.pictures) > 0 for turn in prompt.turns)
    return CHART if sees and "conclusion" in question and "chart" in question else None


def _account(prompt: Prompt, wanted: Wanted) -> str:
    roles = ", ".join(turn.role for turn in prompt.turns)
    pictures = [_seen(picture) for turn in prompt.turns for picture in turn.pictures]
    said = [
        f"I am a scripted stand-in for {prompt.model}.",
        f"Turns: {len(prompt.turns)} ({roles}).",
    ]
    if len(pictures) > 0:
        said.append(f"Images: {len(pictures)} ({', '.join(pictures)}).")
    if prompt.choice > 0:
        said.append(f"This is choice {prompt.choice}.")
    # Tools repeated word for word would read as calls.
    said.append(f"You said: {prompt.last_user_text if wanted.offers == () else wanted.question}")
    return " ".join(said)


def _seen(picture: Picture) -> str:
    return "not fetched" if picture.size is None else f"{picture.size[0]}x{picture.size[1]}"
