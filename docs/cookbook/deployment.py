"""Shared helper: a chat model for your deployment, or for an emulator.

If `AZURE_INFERENCE_ENDPOINT` and `AZURE_INFERENCE_CREDENTIAL` are set, the programs use your
deployment. Otherwise they start an emulator on this machine, which returns scripted responses
instead of running a model. The programs print which one they use.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator, Responder


@contextmanager
def deployment(
    name: str = "Phi-3-mini-4k-instruct",
    *,
    responder: Responder | None = None,
    responses: tuple[str, ...] = (),
) -> Iterator[ChatAzurePhi3]:
    """Create a chat model for your deployment, or else for an emulator of `name`.

    Args:
        name: The model that the emulator provides.
        responder: Generates the emulator's responses; default: the emulator's own responder.
        responses: The emulator's first responses.
    """
    if os.environ.get("AZURE_INFERENCE_ENDPOINT"):
        model = ChatAzurePhi3(temperature=0, model=os.environ.get("AZURE_INFERENCE_MODEL"))
        print(f"Using {model.endpoint}.\n")
        yield model
        return
    options = {} if responder is None else {"responder": responder}
    with Emulator(name, **options) as phi:
        print(f"AZURE_INFERENCE_ENDPOINT is not set: using an emulator of {name}.\n")
        phi.script(*responses)
        yield ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, temperature=0, model=name)
