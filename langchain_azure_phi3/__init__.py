"""LangChain chat model for Microsoft's Phi family, wherever it is deployed.

Names are imported on first use, because pytest imports this package at each start for its plugin,
and should not have to import LangChain.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from langchain_azure_phi3._deprecated import install_old_modules, old_module

if TYPE_CHECKING:
    from langchain_azure_phi3._doctor.doctor import diagnose
    from langchain_azure_phi3._doctor.report import DoctorReport, Finding
    from langchain_azure_phi3._provider import register_provider
    from langchain_azure_phi3._response.model_info import ModelInfo
    from langchain_azure_phi3.chat_models import ChatAzurePhi3
    from langchain_azure_phi3.decisions import PhiDecisions as PhiDecisions
    from langchain_azure_phi3.errors import (
        AuthenticationError,
        AzurePhi3Error,
        BadRequestError,
        ConnectionFailedError,
        ContentFilterError,
        ContextLengthError,
        FailedResponse,
        FilteredCompletionError,
        FilterResult,
        InterruptedStreamError,
        InvalidInputError,
        InvalidResponseError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        RefusalError,
        RequestTimeoutError,
        RetiredModelWarning,
        ServerError,
        UnknownModelWarning,
    )
    from langchain_azure_phi3.images import image_block
    from langchain_azure_phi3.models import PhiModel, Price, register_model, usage_cost

    __version__: str

__all__ = [
    "AuthenticationError",
    "AzurePhi3Error",
    "BadRequestError",
    "ChatAzurePhi3",
    "ConnectionFailedError",
    "ContentFilterError",
    "ContextLengthError",
    "DoctorReport",
    "FailedResponse",
    "FilterResult",
    "FilteredCompletionError",
    "Finding",
    "InterruptedStreamError",
    "InvalidInputError",
    "InvalidResponseError",
    "ModelInfo",
    "NotFoundError",
    "PermissionDeniedError",
    "PhiModel",
    "Price",
    "RateLimitError",
    "RefusalError",
    "RequestTimeoutError",
    "RetiredModelWarning",
    "ServerError",
    "UnknownModelWarning",
    "diagnose",
    "image_block",
    "register_model",
    "register_provider",
    "usage_cost",
]

# The modules of all names that are not in `errors`. `PhiDecisions` is not in `__all__`: it raises
# with langchain-core before 1.8, where `from langchain_azure_phi3 import *` must work too.
_MODULES = {
    "ChatAzurePhi3": "chat_models",
    "DoctorReport": "_doctor.report",
    "Finding": "_doctor.report",
    "ModelInfo": "_response.model_info",
    "PhiDecisions": "decisions",
    "PhiModel": "models",
    "Price": "models",
    "diagnose": "_doctor.doctor",
    "image_block": "images",
    "register_model": "models",
    "register_provider": "_provider",
    "usage_cost": "models",
}

install_old_modules()

if not TYPE_CHECKING:  # so that type checkers only accept the names above

    def __getattr__(name: str) -> object:
        if name not in __all__ and name not in _MODULES:
            if name == "__version__":
                from importlib.metadata import version  # imported here: few programs need it

                return version("langchain-azure-phi3")
            if (module := old_module(name)) is not None:
                return module
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = import_module(f"{__name__}.{_MODULES.get(name, 'errors')}")
        globals()[name] = getattr(home, name)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_MODULES})
