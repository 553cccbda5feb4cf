"""LangChain chat model for Microsoft's Phi family, wherever it is deployed."""

from langchain_azure_phi3._codec.replies import ModelInfo
from langchain_azure_phi3.catalogue import PhiModel
from langchain_azure_phi3.catalogue import register as register_model
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
