"""What real Phi models wrote when they had tools: public results, with the calls they mean."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from langchain_azure_phi3._response.text_parser import TextParser
from langchain_azure_phi3._tools.tool_choice import OutputSpec, parse_output_spec
from langchain_azure_phi3._tools.tools import Call

_CORPUS = json.loads((Path(__file__).parent / "real_answers.json").read_text("utf-8"))
_CONTROL_TOKEN = re.compile(r"<\|/?[a-z_]+\|>")
# Forms in which nothing is to be executed. Echoed descriptions and broken calls may be invalid
# calls; arguments without a name belong to the only tool.
_TEXT_FORMS = ("none", "code", "py-inside", "py-nonliteral", "py-unbound")
# A call of a tool that there is not is an invalid call, not silence.
_UNKNOWN_CALL = re.compile(r'(?:```json\s*)?\[?\{"name": "[a-z_]+", "(?:arguments|parameters)": \{')


def _answers() -> Iterator[tuple[dict[str, Any], OutputSpec]]:
    for answer in _CORPUS["answers"]:
        functions = [_CORPUS["tools"][index] for index in answer["tools"]]
        tools = [{"type": "function", "function": function} for function in functions]
        yield answer, parse_output_spec(tools)


def _parse(
    answer: dict[str, Any], output: OutputSpec, pieces: Iterable[str]
) -> tuple[str, list[Call]]:
    parser = TextParser(output, parses_reasoning=False, corrects=False)
    parts = [parser.feed(piece) for piece in pieces]
    parts.append(parser.finish(truncated=answer.get("finish") == "length"))
    return "".join(part.text for part in parts), [call for part in parts for call in part.calls]


def _names(calls: list[dict[str, Any]]) -> list[str]:
    return [call["name"] for call in calls]


def test_each_call_is_found_or_reported() -> None:
    """One that is not valid breaks its schema; no call is missing, and none is added."""
    found = {"valid": 0, "invalid": 0}
    for answer, output in _answers():
        if answer["form"] not in ("call", "json", "py"):
            continue
        _, calls = _parse(answer, output, [answer["text"]])

        assert _names(answer["calls"]) == [call.name for call in calls], answer["id"]
        for call in calls:
            found["valid" if call.error is None else "invalid"] += 1
    assert found == {"valid": 161, "invalid": 9}


def test_no_text_becomes_a_valid_call() -> None:
    """And all of it is passed on, but for control tokens."""
    for answer, output in _answers():
        if answer["form"] not in _TEXT_FORMS:
            continue
        text, calls = _parse(answer, output, [answer["text"]])

        assert [] == [call for call in calls if call.error is None], answer["id"]
        if not _UNKNOWN_CALL.match(answer["text"]):
            turn = re.split(r"(?<!>)<\|im_(?:end|start)\|>", answer["text"])[0]
            assert _CONTROL_TOKEN.sub("", turn).strip() == text.strip(), answer["id"]


def test_no_control_token_or_further_turn_is_shown() -> None:
    """In no answer."""
    for answer, output in _answers():
        text, _ = _parse(answer, output, [answer["text"]])

        assert _CONTROL_TOKEN.search(text) is None, answer["id"]


def test_streams_equal_complete_answers() -> None:
    """For chunks of 1, 2, 3, 7 and 40 characters."""
    for answer, output in _answers():
        text = answer["text"]
        complete = _parse(answer, output, [text])
        for size in (1, 2, 3, 7, 40):
            pieces = [text[at : at + size] for at in range(0, len(text), size)]

            assert complete == _parse(answer, output, pieces), (answer["id"], size)
