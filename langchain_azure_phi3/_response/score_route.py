"""Converts responses of Azure Machine Learning's own `/score` route to chat completions.

Sources: azureml-examples (foundation-models/phi-3) and the server's code.
"""

from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import ServerError

_COPIED = ("id", "model", "created", "usage", "system_fingerprint")


def from_score_response(body: Json, info: ResponseInfo) -> Json:
    """Convert a response of the route to a chat completion.

    Raises:
        ServerError: It is one of the forms in which the route fails with status 200.
    """
    text = body.get("output")
    message = body.get("message")
    # Up to version 0.2 of the server, the output of a failed engine is the word None.
    if not isinstance(text, str) or (text == "None" and message is None):
        found = "an empty object" if not body else f"output {text!r}"
        raise ServerError(
            f"The /score route returned {info.status_code} with {found}: the model failed, or its "
            "content safety blocked the conversation; this route does not say which. The log of "
            "the deployment does, and so does the route /chat/completions if there is one "
            "(api='auto').",
            status_code=info.status_code,
            request_id=info.request_id,
            body=body,
        )
    fields = {name: body[name] for name in ("tool_calls", "reasoning_content") if body.get(name)}
    given: Json = message if isinstance(message, dict) else {}
    choice: Json = {"index": 0, "message": {**fields, **given, "content": text}}
    if body.get("finish_reason") is not None:
        choice["finish_reason"] = body["finish_reason"]
    return {name: body[name] for name in _COPIED if name in body} | {"choices": [choice]}
