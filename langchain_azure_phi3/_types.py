"""Types that every part of the package uses."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
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


def json_levels(value: Any) -> Iterator[list[Any]]:
    """Yield a JSON value, the values in it, the values in those, and so on, without recursion."""
    level = [value]
    while level:
        yield level
        containers = (each for each in level if isinstance(each, dict | list))
        level = [
            inner
            for each in containers
            for inner in (each.values() if isinstance(each, dict) else each)
        ]


def is_deeper(value: Any, levels: int) -> bool:
    """Return whether a JSON value has more than this number of levels."""
    return next(islice(json_levels(value), levels, None), None) is not None
