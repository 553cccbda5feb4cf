"""Starts Foundry Local on this machine with its SDK (2.x, which runs in this process)."""

from importlib import import_module
from typing import Any, NamedTuple

from langchain_azure_phi3.errors import InvalidInputError


class LocalService(NamedTuple):
    """A model that Foundry Local serves.

    Attributes:
        endpoint: The base URL of its web service.
        model: The id of the build that suits this machine.
        context: The limit on the tokens of prompt and response together; `None` if the SDK does
            not report it.
        has_tools: Whether it accepts `tools`; `None` if the SDK does not report it.
    """

    endpoint: str
    model: str
    context: int | None
    has_tools: bool | None


def start_service(alias: str, app_name: str) -> LocalService:
    """Load a model, downloading it if necessary, and start the web service if it is not running.

    Args:
        alias: The model's alias, such as `"phi-4-mini"`, or the id of one of its builds.
        app_name: The name under which Foundry Local keeps its data, if it does not run yet.

    Raises:
        ImportError: The SDK is missing; install the extra `foundry-local`.
        InvalidInputError: Foundry Local does not have this model.
    """
    manager = _manager(app_name)
    model = manager.catalog.get_model(alias) or manager.catalog.get_model_variant(alias)
    if model is None:
        known = ", ".join(sorted({model.alias for model in manager.catalog.list_models()}))
        raise InvalidInputError(
            f"Foundry Local has no model {alias!r}. It has: {known or 'none'}. Without a network, "
            "it only has downloaded models."
        )
    if not model.is_cached:
        model.download()
    if not model.is_loaded:
        model.load()
    if not manager.urls:
        manager.start_web_service()
    endpoint = f"{manager.urls[0].rstrip('/')}/v1"
    return LocalService(endpoint, model.id, model.context_length, model.supports_tool_calling)


def _manager(app_name: str) -> Any:
    """Return the SDK's manager, which is a singleton."""
    try:
        sdk: Any = import_module("foundry_local_sdk")
    except ImportError as missing:
        raise ImportError(
            "Foundry Local needs its SDK: pip install 'langchain-azure-phi3[foundry-local]'."
        ) from missing
    if sdk.FoundryLocalManager.instance is None:
        sdk.FoundryLocalManager.initialize(sdk.Configuration(app_name=app_name))
    return sdk.FoundryLocalManager.instance
