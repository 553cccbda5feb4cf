"""Types that every part of the package uses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]
"""A JSON object, decoded."""

ConstraintForm = Literal["response_format", "guided_json", "structured_outputs"]
"""A parameter that carries a schema: of OpenAI, of vLLM before 0.12, and of later versions."""

Method = Literal["json_schema", "function_calling", "json_mode"]
"""How `with_structured_output` requests an object."""

ShowHeaders = Callable[[Mapping[str, str]], dict[str, str]]
"""Returns the headers of a response without secrets."""


@dataclass(slots=True)
class DeploymentFacts:
    """The facts that a server reported about a deployment; it is filled in as they arrive.

    Attributes:
        model: The name of its model in the catalog.
        context: The tokens that prompt and response share on this server.
        served_name: The name to request if the user gives none: the only one that is listed.
        rejected_constraints: Combinations of forms that it rejected; together with a schema, if the
            server cannot compile that schema. Adding one is a single operation, so that no lock is
            needed, which could remain locked after a fork.
    """

    model: str | None = None
    context: int | None = None
    served_name: str | None = None
    rejected_constraints: set[tuple[tuple[ConstraintForm, ...], str | None]] = field(
        default_factory=set
    )


class ResponseInfo(NamedTuple):
    """The status and headers of a response; all items of a stream share one object.

    Attributes:
        status_code: The HTTP status.
        request_id: The server's id of the request, if it sent one.
        headers: By name in lower case.
        rate_limit: The quota in the response's headers, such as `remaining_tokens`.
    """

    status_code: int = 200
    request_id: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    rate_limit: Json | None = None
