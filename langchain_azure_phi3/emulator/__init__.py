"""A Phi endpoint on your desk: Azure's API with Phi's quirks, offline.

It shares no code with the client: an emulator with the client's encoder would agree with its bugs.
"""

from langchain_azure_phi3.emulator.conversation import Persona, Picture, Prompt, Spoken, Turn
from langchain_azure_phi3.emulator.endpoint import Emulator
from langchain_azure_phi3.emulator.quirks import MODELS, Model
from langchain_azure_phi3.emulator.wire import Headers, Request

__all__ = [
    "MODELS",
    "Emulator",
    "Headers",
    "Model",
    "Persona",
    "Picture",
    "Prompt",
    "Request",
    "Spoken",
    "Turn",
]
