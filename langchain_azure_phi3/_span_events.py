"""Adds events to OpenTelemetry's current span: retries, waits, corrections, rejected constraints.

They contain no text of prompts and responses, because more people may read a trace than these.
"""

import sys
from collections.abc import Mapping

RETRY = "azure_phi3.retry"
WAIT = "azure_phi3.wait"
CORRECTION = "azure_phi3.correction"
CONSTRAINT_REJECTED = "azure_phi3.constraint_rejected"


def add_span_event(name: str, attributes: Mapping[str, str | int | float]) -> None:
    """Add an event to the current span, if one is recording.

    OpenTelemetry is not imported for this: if no other code has imported it, there is no span.
    """
    if "opentelemetry.trace" not in sys.modules:
        return
    from opentelemetry import trace

    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(name, attributes)
