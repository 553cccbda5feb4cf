"""The earlier names of `call_modes`, until every test uses the new ones."""

from tests.integration_tests.call_modes import CALL_MODES as COLOURS
from tests.integration_tests.call_modes import call_model as ask
from tests.integration_tests.call_modes import merge_chunks as sum_of

__all__ = ["COLOURS", "ask", "sum_of"]
