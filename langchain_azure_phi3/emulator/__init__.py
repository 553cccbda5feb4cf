"""A local emulator of Azure's Phi endpoints, for tests and offline work.

It shares no code with the client: an emulator that used the client's encoder would reproduce its
bugs. Names are imported on first use, as in the whole package.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_azure_phi3.emulator.conversation import (
        Generation,
        Image,
        Message,
        Prompt,
        Responder,
    )
    from langchain_azure_phi3.emulator.emulator import Emulator
    from langchain_azure_phi3.emulator.faults import Fault
    from langchain_azure_phi3.emulator.models import MODELS, Model
    from langchain_azure_phi3.emulator.quota import QuotaPeriod
    from langchain_azure_phi3.emulator.wire import Headers, Request

__all__ = [
    "MODELS",
    "Emulator",
    "Fault",
    "Generation",
    "Headers",
    "Image",
    "Message",
    "Model",
    "Prompt",
    "QuotaPeriod",
    "Request",
    "Responder",
]

_MODULES = ("conversation", "models", "wire", "emulator")
_RENAMED = {"Persona": "Responder", "Picture": "Image", "Spoken": "Generation", "Turn": "Message"}

if not TYPE_CHECKING:  # so that type checkers only accept these names

    def __getattr__(name: str) -> object:
        if name in _RENAMED:
            from langchain_azure_phi3.emulator._deprecation import warn_renamed

            new = _RENAMED[name]
            warn_renamed(f"{__name__}.{name}", new)
            return getattr(import_module(__name__), new)
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        modules = (import_module(f"{__name__}.{module}") for module in _MODULES)
        globals()[name] = next(getattr(m, name) for m in modules if hasattr(m, name))
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
