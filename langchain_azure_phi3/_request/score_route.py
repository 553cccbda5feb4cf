"""Azure Machine Learning's own `/score` route: chat payloads and answers in its form.

Its request and its answers: azureml-examples (foundation-models/phi-3) and the server's source.
"""

from collections.abc import Mapping
from typing import Any

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError, ServerError

_RENAMED = {"max_tokens": "max_new_tokens"}
# What another route says in the payload: here nobody asks for it, or there is none.
_LEFT_OUT = frozenset({"messages", "model", "stream", "stream_options", "n"})
# On the wire, this route has none of these for any model.
_REFUSED = frozenset({"tools", "tool_choice", "response_format"})
_ANSWERED = ("id", "model", "created", "usage", "system_fingerprint")


def request(payload: Mapping[str, Any]) -> Json:
    """A chat payload in the form of the route, which drops parameters that it does not know.

    Raises:
        InvalidInputError: The payload asks for what the route cannot give.
    """
    if payload.get("n", 1) != 1:
        raise InvalidInputError("The /score route gives one answer: leave n out.")
    payload = {name: value for name, value in payload.items() if value != {"type": "text"}}
    if refused := _REFUSED & payload.keys():
        raise InvalidInputError(
            f"The /score route takes no {', '.join(sorted(refused))}. Leave tool_calling at "
            "'auto', so that they go into the prompt, or use another route."
        )
    given = {
        _RENAMED.get(name, name): value for name, value in payload.items() if name not in _LEFT_OUT
    }
    if "temperature" in given:
        # Without it, servers that sample by default would ignore the temperature 0.
        given.setdefault("do_sample", given["temperature"] != 0)
    return {"input_data": {"input_string": payload["messages"], "parameters": given}}


def completion(body: Json, request_id: str | None) -> Json:
    """An answer of the route as a chat completion.

    Raises:
        ServerError: It is one of the forms in which the route fails with status 200.
    """
    said = body.get("output")
    given = body.get("message")
    # Up to the server's version 0.2, a failed engine's answer is the word None.
    if not isinstance(said, str) or (said == "None" and given is None):
        found = "an empty object" if not body else f"output {said!r}"
        raise ServerError(
            f"The /score route answered 200 with {found}: the model failed, or its content safety "
            "refused the conversation; this route does not say which. The log of the deployment "
            "does, and so does the route /chat/completions where there is one (api='auto').",
            status_code=200,
            request_id=request_id,
            body=body,
        )
    message: Json = given if isinstance(given, dict) else {}
    beside = {name: body[name] for name in ("tool_calls", "reasoning_content") if body.get(name)}
    choice: Json = {"index": 0, "message": {**beside, **message, "content": said}}
    if body.get("finish_reason") is not None:
        choice["finish_reason"] = body["finish_reason"]
    return {name: body[name] for name in _ANSWERED if name in body} | {"choices": [choice]}
