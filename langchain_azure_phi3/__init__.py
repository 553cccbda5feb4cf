"""LangChain chat model for Microsoft's Phi family, wherever it is deployed.

Names are imported when they are first used: pytest imports this package at every start, for its
plugin, and must not wait for LangChain each time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_azure_phi3._response.model_info import ModelInfo
    from langchain_azure_phi3.chat_models import ChatAzurePhi3
    from langchain_azure_phi3.errors import (
        AuthenticationError,
        AzurePhi3Error,
        BadRequestError,
        ConnectionFailedError,
        ContentFilterError,
        ContextLengthError,
        FailedResponse,
        FilterResult,
        InterruptedStreamError,
        InvalidInputError,
        InvalidResponseError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        RequestTimeoutError,
        ServerError,
    )
    from langchain_azure_phi3.images import image_block
    from langchain_azure_phi3.models import PhiModel, register_model

__all__ = [
    "AuthenticationError",
    "AzurePhi3Error",
    "BadRequestError",
    "ChatAzurePhi3",
    "ConnectionFailedError",
    "ContentFilterError",
    "ContextLengthError",
    "FailedResponse",
    "FilterResult",
    "InterruptedStreamError",
    "InvalidInputError",
    "InvalidResponseError",
    "ModelInfo",
    "NotFoundError",
    "PermissionDeniedError",
    "PhiModel",
    "RateLimitError",
    "RequestTimeoutError",
    "ServerError",
    "image_block",
    "register_model",
]

# Module and name there, of all that is not in `errors`.
_HOMES = {
    "ChatAzurePhi3": ("chat_models", "ChatAzurePhi3"),
    "ModelInfo": ("_response.model_info", "ModelInfo"),
    "PhiModel": ("models", "PhiModel"),
    "image_block": ("images", "image_block"),
    "register_model": ("models", "register_model"),
}

if not TYPE_CHECKING:  # a type checker shall know the names above and no others

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home, name_there = _HOMES.get(name, ("errors", name))
        globals()[name] = getattr(import_module(f"{__name__}.{home}"), name_there)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
