"""Events on OpenTelemetry's current span: a retry, a wait, a correction, a rejected constraint.

They contain no text of prompts and responses: a trace may be read by more people than these.
"""

import sys
from collections.abc import Mapping

RETRY = "azure_phi3.retry"
WAIT = "azure_phi3.wait"
CORRECTION = "azure_phi3.correction"
CONSTRAINT_REJECTED = "azure_phi3.constraint_rejected"


def add_span_event(name: str, attributes: Mapping[str, str | int | float]) -> None:
    """Add an event to the current span, if one is recording.

    It is not imported for this: as long as nobody has imported it, there is no span.
    """
    if "opentelemetry.trace" not in sys.modules:
        return
    from opentelemetry import trace

    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(name, attributes)
