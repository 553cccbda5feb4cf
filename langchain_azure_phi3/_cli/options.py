"""Converts options of the command line to the model's arguments and to messages."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.chat_models import ChatAzurePhi3
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.images import image_block

_URL_SCHEMES = ("http://", "https://", "data:")


_DEPLOYMENT_ARGUMENTS = ("endpoint", "model", "base_model", "api", "deployment")


def make_model(options: argparse.Namespace) -> ChatAzurePhi3:
    """Create the model from the options and the environment."""
    sampling = _given(options, ("temperature", "max_tokens"))
    return ChatAzurePhi3(**deployment_arguments(options), **sampling)


def deployment_arguments(options: argparse.Namespace) -> Json:
    """Return the arguments of `ChatAzurePhi3` for the deployment and the credential."""
    arguments = _given(options, _DEPLOYMENT_ARGUMENTS)
    if options.entra:
        arguments["credential"] = entra_credential()
    if options.allow_insecure_http:
        arguments["allow_insecure_http"] = True
    return arguments


def _given(options: argparse.Namespace, names: Iterable[str]) -> Json:
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def read_schema(path: str) -> Json:
    """Read a JSON schema from a file.

    Raises:
        InvalidInputError: The file does not contain a JSON object.
        OSError: The file cannot be read.
    """
    try:
        schema = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(schema, dict):
            raise ValueError("the file does not contain a JSON object")
    except ValueError as error:
        raise InvalidInputError(f"{path} is not a JSON schema: {error}.") from None
    # LangChain requires a title in every schema.
    return {"title": "Answer", **schema}


def entra_credential() -> object:
    """Create a credential from `az login`, the environment or a managed identity.

    Raises:
        InvalidInputError: azure-identity is not installed.
    """
    try:
        from azure.identity import DefaultAzureCredential
    except ModuleNotFoundError:
        raise InvalidInputError(
            "--entra needs azure-identity: pip install 'langchain-azure-phi3[entra]'."
        ) from None
    return DefaultAzureCredential()


def user_message(text: str, images: list[str]) -> HumanMessage:
    """Create a message from a text, and from images given as paths or URLs.

    Raises:
        InvalidInputError: A file is not an image that Phi's servers decode.
        OSError: A file cannot be read.
    """
    if not images:
        return HumanMessage(text)
    blocks = [_image_block(image) for image in images]
    return HumanMessage(content_blocks=[{"type": "text", "text": text}, *blocks])


def _image_block(source: str) -> Any:
    if source.lower().startswith(_URL_SCHEMES):
        return {"type": "image", "url": source}
    return image_block(source)


def format_usage(usage: Any) -> str:
    """Format token counts as one line."""
    if usage is None:
        return "The server reported no token counts."
    return (
        f"{usage['input_tokens']} input + {usage['output_tokens']} output = "
        f"{usage['total_tokens']} tokens"
    )
