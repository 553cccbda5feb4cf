"""Schemas for constrained decoding, compiled by the compilers that servers use."""

import json
import time
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3._tools.answer_parser import AnswerParser
from langchain_azure_phi3._tools.constraint_patterns import translate_pattern
from langchain_azure_phi3._tools.constraint_schema import constraint_schema, tool_calls_schema
from langchain_azure_phi3._types import Json
from tests.grammar_compilers import accepts_with_llguidance, accepts_with_xgrammar
from tests.unit_tests._tools.constraint_cases import CASES, Case

_COMPILERS = (accepts_with_llguidance, accepts_with_xgrammar)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_compilers_accept_and_reject(case: Case) -> None:
    """Each compiler accepts the values that fit, and rejects those that do not."""
    rewritten = constraint_schema(case.schema)
    assert rewritten is not None
    for accepts in _COMPILERS:
        for value in case.accepted:
            assert accepts(rewritten, _text(value)), (accepts, rewritten, value)
        for value in case.rejected:
            assert not accepts(rewritten, _text(value)), (accepts, rewritten, value)
