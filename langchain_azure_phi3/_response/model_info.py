"""What a deployment reports about its model (`GET /info`)."""

from dataclasses import dataclass

from langchain_azure_phi3._response.wire_response import str_or_none
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import InvalidResponseError


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a deployment reports about its model (`GET /info`).

    Attributes:
        model_name: The model, such as `"Phi-3-mini-4k-Instruct"`; its spelling varies by server.
        model_type: Such as `"chat-completions"`; managed compute reports `"chat-completion"`.
        model_provider_name: Such as `"Microsoft"`; some servers leave it out.
    """

    model_name: str
    model_type: str | None = None
    model_provider_name: str | None = None


def parse_model_info(body: Json, info: ResponseInfo) -> ModelInfo:
    """The typed form of a response of `/info`.

    Raises:
        InvalidResponseError: The response names no model.
    """
    name = str_or_none(body.get("model_name"))
    if name is None:
        raise InvalidResponseError(
            "The /info route answered without a model_name.",
            status_code=info.status_code,
            request_id=info.request_id,
            body=body,
        )
    return ModelInfo(
        name, str_or_none(body.get("model_type")), str_or_none(body.get("model_provider_name"))
    )
