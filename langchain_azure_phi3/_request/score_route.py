"""Converts chat payloads for Azure Machine Learning's own `/score` route.

Sources: azureml-examples (foundation-models/phi-3) and the server's code.
"""

from collections.abc import Mapping
from typing import Any

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

_RENAMED = {"max_tokens": "max_new_tokens"}
# Fields of other routes that this one does not have.
_OMITTED = frozenset({"messages", "model", "stream", "stream_options", "n"})
# This route does not accept these for any model.
_REFUSED = frozenset({"tools", "tool_choice", "response_format"})


def to_score_request(payload: Mapping[str, Any]) -> Json:
    """Convert a chat payload to the form of the route, which ignores unknown parameters.

    Raises:
        InvalidInputError: The payload requests a feature that the route does not have.
    """
    if payload.get("n", 1) != 1:
        raise InvalidInputError("The /score route returns one completion. Leave n out.")
    payload = {name: value for name, value in payload.items() if value != {"type": "text"}}
    if refused := _REFUSED & payload.keys():
        raise InvalidInputError(
            f"The /score route does not accept {', '.join(sorted(refused))}. Leave tool_calling at "
            "'auto', so that they go into the prompt, or use another route."
        )
    parameters = {
        _RENAMED.get(name, name): value for name, value in payload.items() if name not in _OMITTED
    }
    if "temperature" in parameters:
        # Without it, servers that sample by default would ignore `temperature=0`.
        parameters.setdefault("do_sample", parameters["temperature"] != 0)
    return {"input_data": {"input_string": payload["messages"], "parameters": parameters}}
