"""What the stand-in model says. It is a script, not a language model, and understands nothing.

It knows the two questions that Azure's how-tos ask, with their answers. To anything else it says
what reached it: that is what an emulator can be asked about honestly.
"""

from langchain_azure_phi3.emulator.conversation import Picture, Prompt, Spoken

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
    """The known answer to a known question, else an account of what arrived."""
    question = prompt.last_user_text.lower()
    if "how many languages are in the world" in question:
        return LANGUAGES
    sees = any(len(turn.pictures) > 0 for turn in prompt.turns)
    if sees and "conclusion" in question and "chart" in question:
        return CHART
    return Spoken(_account(prompt))


def _account(prompt: Prompt) -> str:
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
    said.append(f"You said: {prompt.last_user_text}")
    return " ".join(said)


def _seen(picture: Picture) -> str:
    return "not fetched" if picture.size is None else f"{picture.size[0]}x{picture.size[1]}"
