"""Parses the information of a deployment on its model (`GET /info` or `GET /v1/models`)."""

from dataclasses import dataclass

from langchain_azure_phi3._model_listing import ListedModel, parse_models
from langchain_azure_phi3._response.wire_response import str_or_none
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import InvalidInputError, InvalidResponseError, NotFoundError


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The information of a deployment on its model.

    Attributes:
        model_name: The model, such as `"Phi-3-mini-4k-Instruct"`; its spelling varies by server. In
            a list, the name to use in requests.
        model_type: Such as `"chat-completions"`; managed compute reports `"chat-completion"`.
        model_provider_name: Such as `"Microsoft"`; some servers leave it out.
        base_model: In a list, the model behind a custom name, as vLLM reports it.
        context: In a list, the context size that the server runs the model with.
    """

    model_name: str
    model_type: str | None = None
    model_provider_name: str | None = None
    base_model: str | None = None
    context: int | None = None


def parse_model_info(body: Json, info: ResponseInfo, model: str | None = None) -> ModelInfo:
    """Parse a response of `/info`, or one entry of `/v1/models`.

    Args:
        body: The response.
        info: The status and headers of the response.
        model: The name to find in a list; `None` for the only one.

    Raises:
        InvalidInputError: The list has several models, and none is named.
        NotFoundError: The list does not contain the model.
        InvalidResponseError: The response does not name a model.
    """
    if isinstance(body.get("data"), list):
        return _listed_info(parse_models(body), info, model)
    name = str_or_none(body.get("model_name"))
    if name is None:
        raise InvalidResponseError(
            "The /info route responded without a model_name.",
            status_code=info.status_code,
            request_id=info.request_id,
            body=body,
        )
    return ModelInfo(
        name, str_or_none(body.get("model_type")), str_or_none(body.get("model_provider_name"))
    )


def _listed_info(
    listed: tuple[ListedModel, ...], info: ResponseInfo, model: str | None
) -> ModelInfo:
    names = ", ".join(entry.name for entry in listed) or "no model"
    if model is None and len(listed) > 1:
        raise InvalidInputError(f"The server lists several models: {names}. Pass model= with one.")
    entry = next((entry for entry in listed if model in (None, entry.name)), None)
    if entry is None:
        raise NotFoundError(
            f"The server does not list the model {model!r}. It lists: {names}.",
            status_code=404,
            request_id=info.request_id,
        )
    base = None if entry.base == entry.name else entry.base
    return ModelInfo(entry.name, base_model=base, context=entry.context)
