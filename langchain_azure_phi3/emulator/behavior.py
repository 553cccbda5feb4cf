"""The options of a deployment, with their allowed values."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from langchain_azure_phi3.emulator.framing import FRAMINGS
from langchain_azure_phi3.emulator.server_types import (
    SERVER_TYPES,
    ChatPath,
    ConstraintMode,
    ConstraintModes,
    FilterErrorFormat,
    ServerTypeName,
    StreamUsage,
)

JsonMode = Literal["refuse", "flood"]
ToolMode = Literal["refuse", "native"]
ReasoningPlace = Literal["text", "field"]

_ALLOWED: Mapping[str, frozenset[str]] = {
    "server_type": frozenset(SERVER_TYPES),
    "filter_error_format": frozenset(get_args(FilterErrorFormat)),
    "json_mode": frozenset(get_args(JsonMode)),
    "constrained_decoding": frozenset(get_args(ConstraintMode)),
    "usage_in_streams": frozenset(get_args(StreamUsage)),
    "tools": frozenset(get_args(ToolMode)),
    "reasoning": frozenset(get_args(ReasoningPlace)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """The options of a deployment. `Emulator` documents the fields.

    Raises:
        ValueError: An unknown value. The message lists the allowed ones.
    """

    server_type: ServerTypeName = "serverless"
    filter_error_format: FilterErrorFormat | None = None
    include_filter_results: bool = False
    json_mode: JsonMode | None = None
    constrained_decoding: ConstraintMode | None = None
    usage_in_streams: StreamUsage | None = None
    framing: frozenset[str] = frozenset()
    tools: ToolMode = "refuse"
    reasoning: ReasoningPlace = "text"
    max_body_bytes: int = 100_000_000

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise ValueError(f"{name}={value!r} is unknown. Use one of {sorted(allowed)}.")
        unknown = self.framing - FRAMINGS
        if len(unknown) > 0:
            raise ValueError(f"framing={sorted(unknown)} is unknown. Use {sorted(FRAMINGS)}.")

    def adapt(self, path: ChatPath) -> ChatPath:
        """Return the rules of a path with this behavior's constrained decoding."""
        modes = path.constraints
        if self.tools == "native":
            modes = modes._replace(json_object="enforce", json_schema="enforce")
        if self.constrained_decoding is not None:
            modes = ConstraintModes(*[self.constrained_decoding] * len(modes))
        return replace(path, constraints=modes)
