"""Azure Machine Learning's own `/score` route: chat payloads in its form.

Sources: azureml-examples (foundation-models/phi-3) and the server's code.
"""

from collections.abc import Mapping
from typing import Any

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

_RENAMED = {"max_tokens": "max_new_tokens"}
# Fields of other routes that this one does not have.
_OMITTED = frozenset({"messages", "model", "stream", "stream_options", "n"})
# This route accepts none of these for any model.
_REFUSED = frozenset({"tools", "tool_choice", "response_format"})


def to_score_request(payload: Mapping[str, Any]) -> Json:
    """Return a chat payload in the form of the route, which drops parameters that it does not know.

    Raises:
        InvalidInputError: The payload requests what the route does not offer.
    """
    if payload.get("n", 1) != 1:
        raise InvalidInputError("The /score route returns one completion: leave n out.")
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
        # Without it, servers that sample by default would ignore the temperature 0.
        parameters.setdefault("do_sample", parameters["temperature"] != 0)
    return {"input_data": {"input_string": payload["messages"], "parameters": parameters}}
