"""A Phi endpoint on your desk: Azure's API with Phi's quirks, offline.

It shares no code with the client: an emulator with the client's encoder would agree with its bugs.
Names are imported when they are first used, as those of the whole package are.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_azure_phi3.emulator.conversation import Persona, Picture, Prompt, Spoken, Turn
    from langchain_azure_phi3.emulator.emulator import Emulator
    from langchain_azure_phi3.emulator.faults import Fault
    from langchain_azure_phi3.emulator.models import MODELS, Model
    from langchain_azure_phi3.emulator.wire import Headers, Request

__all__ = [
    "MODELS",
    "Emulator",
    "Fault",
    "Headers",
    "Model",
    "Persona",
    "Picture",
    "Prompt",
    "Request",
    "Spoken",
    "Turn",
]

# Where each name lives, other than in `conversation`.
_HOMES = {
    "MODELS": "quirks",
    "Emulator": "endpoint",
    "Fault": "faults",
    "Headers": "wire",
    "Model": "quirks",
    "Request": "wire",
}

if not TYPE_CHECKING:  # a type checker shall know the names above and no others

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = import_module(f"{__name__}.{_HOMES.get(name, 'conversation')}")
        globals()[name] = getattr(home, name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
