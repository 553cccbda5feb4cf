"""What the programs share: the deployment that they ask.

With `AZURE_INFERENCE_ENDPOINT` and `AZURE_INFERENCE_CREDENTIAL` in the environment it is yours.
Without, it is the emulator on this machine, where a script answers instead of a model. The
programs say which of the two it was.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator, Persona


@contextmanager
def deployment(
    name: str = "Phi-3-mini-4k-instruct",
    *,
    persona: Persona | None = None,
    answers: tuple[str, ...] = (),
) -> Iterator[ChatAzurePhi3]:
    """A chat model for your deployment, else for an emulator of `name`.

    Args:
        name: What the emulator is to be.
        persona: What its stand-in says; default: the emulator's own script.
        answers: What it says first, word for word.
    """
    if os.environ.get("AZURE_INFERENCE_ENDPOINT"):
        model = ChatAzurePhi3(temperature=0, model=os.environ.get("AZURE_INFERENCE_MODEL"))
        print(f"Asking {model.endpoint}.\n")
        yield model
        return
    options = {} if persona is None else {"persona": persona}
    with Emulator(name, **options) as phi:
        print(f"AZURE_INFERENCE_ENDPOINT is not set: a scripted stand-in for {name} answers.\n")
        phi.script(*answers)
        yield ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, temperature=0, model=name)
