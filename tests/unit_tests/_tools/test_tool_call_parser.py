"""Tool calls in every form in which Phi models write them, and text that only looks like one."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from langchain_azure_phi3._tools.lexer import TokenType
from langchain_azure_phi3._tools.tool_call_parser import (
    _NEXT_TOKEN,
    _TRANSITIONS,
    TRUNCATED,
    State,
    ToolCallParser,
)
from langchain_azure_phi3._tools.tools import Call, Tool
from tests.growth import grows_linearly

_TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.json"))
_each_file = pytest.mark.parametrize("file", _TRANSCRIPTS, ids=lambda file: file.stem)


_WEATHER = Tool(
    "get_weather",
    "Current weather",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
)
_SEARCH = Tool(
    "search",
    "Search the web",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)
_MARKERS = re.compile(r"</?\|?/?[a-z_]+\|?>|functools|(?:```|~~~)\w*|[\s,;\[\]}]")
_PARIS = '{"name": "get_weather", "arguments": {"city": "Paris"}}'


def _parse(
    pieces: Iterable[str],
    tools: Iterable[Tool] = (_WEATHER, _SEARCH),
    *,
    required: bool = False,
    truncated: bool = False,
) -> tuple[str, list[Call]]:
    parser = ToolCallParser(tools, required=required)
    results = [parser.feed(piece) for piece in pieces]
    results.append(parser.finish(truncated=truncated))
    text = "".join(result.text for result in results)
    return text, [call for result in results for call in result.calls]


def _transcripts(file: Path) -> Iterator[tuple[Any, Callable[[Iterable[str]], Any]]]:
    """Each transcript of a file, with the function that parses pieces of its text."""
    corpus = json.loads(file.read_text(encoding="utf-8"))
    tools = {name: Tool(name, **fields) for name, fields in corpus["tools"].items()}
    for transcript in corpus["transcripts"]:
        available = [tools[name] for name in transcript["tools"]]
        options = {name: transcript.get(name, False) for name in ("required", "truncated")}
        yield transcript, partial(_parse, tools=available, **options)


def _summary(call: Call, expected: dict[str, Any]) -> dict[str, Any]:
    """A call in the form of what is expected of it; of its error only the expected part."""
    if call.error is None:
        return {"name": call.name, "arguments": call.arguments}
    error = expected.get("error", "")
    return {"name": call.name, "error": error if error in call.error else call.error}


@_each_file
def test_transcripts_parse_into_text_and_calls(file: Path) -> None:
    """Complete answers, mostly real ones."""
    for transcript, parse in _transcripts(file):
        text, calls = parse([transcript["emitted"]])
        expected = transcript["calls"]

        assert (transcript["name"], transcript["text"]) == (transcript["name"], text)
        assert len(expected) == len(calls), transcript["name"]
        assert expected == list(map(_summary, calls, expected)), transcript["name"]


@_each_file
def test_transcripts_parse_the_same_wherever_cut(file: Path) -> None:
    """Streams of single characters, and of two pieces cut at each place."""
    for transcript, parse in _transcripts(file):
        emitted = transcript["emitted"]
        complete = parse([emitted])

        assert complete == parse(emitted), transcript["name"]
        for at in range(1, len(emitted)):
            assert complete == parse([emitted[:at], emitted[at:]]), (transcript["name"], at)


@_each_file
def test_only_markers_and_separators_are_dropped(file: Path) -> None:
    """All else is in the text or in the raw text of a call."""
    for transcript, parse in _transcripts(file):
        text, calls = parse([transcript["emitted"]])
        rest = transcript["emitted"]
        for raw in dict.fromkeys(call.raw for call in calls):
            assert raw in rest, transcript["name"]
            rest = rest.replace(raw, "")

        assert _MARKERS.sub("", rest) == _MARKERS.sub("", text), transcript["name"]


def test_each_transcript_names_its_origin() -> None:
    """The corpus holds more than a hundred transcripts."""
    origins = [known["origin"] for file in _TRANSCRIPTS for known, _ in _transcripts(file)]

    assert len(origins) > 100
    assert all(len(origin) > 10 for origin in origins)


def test_blocks_of_other_languages_hold_no_calls() -> None:
    """With both fences of Markdown, and wherever the stream is cut."""
    for fence, other in (("```", "~~~"), ("~~~", "```")):
        for language in ("python", "xml", "diff"):
            block = f"So:\n{fence}{language}\n{_PARIS}\n{other}\n{_PARIS}\n{fence}\nDone."
            for at in range(len(block)):
                assert (block, []) == _parse([block[:at], block[at:]]), (block, at)
        _, calls = _parse(f"{fence}json\n{_PARIS}\n{fence}")
        assert ["get_weather"] == [call.name for call in calls]


_FRAGMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *("<|tool_call|>", "<|/tool_call|>", "functools", "[", "]", "{", "}", ",", ":"),
                *(
                    '"',
                    "'",
                    "\\",
                    "```",
                    "~~~",
                    "`",
                    "json",
                    "python",
                    "\n",
                    " ",
                    "<|end|>",
                    "</s>",
                ),
                *('"name"', '"get_weather"', '"arguments"', '{"city": "Paris"}', _PARIS),
                *('"type"', '"function"', '"tool_calls"', '"parameters"', '"""', "//", "1"),
            ]
        ),
        st.text(max_size=4),
    ),
    max_size=24,
)


@settings(deadline=None, max_examples=500)
@example(pieces=['{"name":("\x00<"'], required=True, truncated=True)
@given(pieces=_FRAGMENTS, required=st.booleans(), truncated=st.booleans())
def test_any_text_parses_the_same_wherever_cut(
    pieces: list[str], required: bool, truncated: bool
) -> None:
    """Arbitrary text in arbitrary pieces; the example is what the fuzzer once found."""
    options = {"required": required, "truncated": truncated}
    text = "".join(pieces)
    complete = _parse([text], **options)

    assert complete == _parse(pieces, **options)
    assert complete == _parse(text, **options)


@settings(deadline=None, max_examples=500)
@given(st.text(alphabet=st.characters(exclude_characters="{[<`f"), min_size=1))
def test_text_without_markers_comes_back_unchanged(text: str) -> None:
    """Nothing is added, removed or held back."""
    assert (text, []) == _parse([text])


def test_ordinary_text_is_passed_on_at_once() -> None:
    """An answer without calls streams as if there were no tools."""
    parser = ToolCallParser([_WEATHER], required=False)
    pieces = [" The", " capital", " of", " Fra", "nce"]

    assert pieces == [parser.feed(piece).text for piece in pieces]


def test_held_text_is_released_as_soon_as_possible() -> None:
    """With the first character that rules a call out."""
    for held, decisive in [
        ("```", "python"),
        ("```json\n", "4"),
        ("{", "x"),
        ('{"n', "u"),
        ('{"name": "Ann", "a', "g"),
        ('{"name": "Ann", "arguments": ', '"'),
        ('{"tool": "get_', "x"),
        ('{"type": "', "o"),
        ('{"type": "fun', '"'),
        ('{"id": 1, "t', "i"),
        ('{"name": ', "["),
        ('{"get_weather": ', '"'),
        ("[", "l"),
        ("<", " "),
        ("<|tool_", "x"),
        ("func", "t"),
        ("functools", "."),
        ("<tool_call>", "I"),
    ]:
        parser = ToolCallParser([_WEATHER], required=False)

        assert parser.feed(held).text == "", held
        assert held in parser.feed(decisive).text + parser.feed("ion of").text


def test_a_call_is_complete_with_its_last_bracket() -> None:
    """Before the list and the tags around it are closed; `raw` is what the model wrote."""
    parser = ToolCallParser([_WEATHER], required=False)

    assert parser.feed(f"<|tool_call|>[{_PARIS[:-1]}").calls == ()
    assert parser.feed("}").calls == (Call("get_weather", {"city": "Paris"}, _PARIS),)


def test_a_truncated_call_is_an_error() -> None:
    """At the limit of tokens arguments may be missing, even where only brackets seem to be."""
    _, calls = _parse([_PARIS[:-2]], truncated=True)

    assert [Call("get_weather", None, _PARIS[:-2], TRUNCATED)] == calls


def test_forgotten_brackets_at_the_end_are_added() -> None:
    """Where the model stopped by itself."""
    _, calls = _parse([_PARIS[:-2]])

    assert [{"city": "Paris"}] == [call.arguments for call in calls]


def test_an_incomplete_value_is_never_guessed() -> None:
    """The model stopped within a string, or before a value: the call is an error."""
    for ending in ('"Par', "", "{"):
        _, calls = _parse(['{"name": "get_weather", "arguments": {"city": ' + ending])

        assert [True] == [call.error is not None for call in calls], ending


def test_excessive_nesting_is_text() -> None:
    """Such arguments would exhaust a recursive parser; a call after them is found."""
    call = '{"name": "search", "arguments": ' + '{"a": ' * 100 + "1" + "}" * 101
    data = '{"data": ' * 65 + "\n"

    assert (call, []) == _parse([call])
    assert (data, 1) == (_parse([data, _PARIS])[0], len(_parse([data, _PARIS])[1]))


@pytest.mark.parametrize(
    ("prefix", "length"),
    [
        ("", 100_000),
        ('{"data": "', 100_000),
        ("```python\n", 100_000),
        ('{"name": "search", "arguments": {"query": "', 100_000),
        ("{", 20_000),
        ("<", 20_000),
    ],
)
def test_work_grows_linearly_with_the_answer(prefix: str, length: int) -> None:
    """Fed by the character: four times the text takes about four times as long, not sixteen."""
    filler = prefix if len(prefix) == 1 else "some text "

    assert grows_linearly(lambda size: _parse(prefix + filler * (size // len(filler))), length)


def test_work_grows_linearly_with_a_name() -> None:
    """Where a call is required, any name may be that of an invented tool."""
    assert grows_linearly(lambda size: _parse(['{"name": "' + "a" * size], required=True), 200_000)


def test_arguments_are_found_where_models_put_them() -> None:
    """Missing ones stay missing."""
    for emitted, arguments in [
        ('{"name": "search", "arguments": {"query": null}}', {"query": None}),
        ('{"name": "search", "arguments": null}', {}),
        ('{"name": "search", "arguments": [{"query": "x"}]}', {"query": "x"}),
        ('{"name": "search", "arguments": ""}', {}),
        ('{"name": "search"}', {}),
        ('{"function": {"name": "search", "arguments": {"query": "x"}}}', {"query": "x"}),
        (
            '{"tool_calls": {"function": {"name": "search", "args": {"query": "x"}}}}',
            {"query": "x"},
        ),
    ]:
        _, calls = _parse([emitted])

        assert [arguments] == [call.arguments for call in calls], emitted


def test_endless_wrappers_are_text() -> None:
    """A model that repeats itself makes no call."""
    text = '{"tool_calls": [' * 10 + "{}" + "]}" * 10

    assert (text, []) == _parse([text])


def test_a_marked_object_without_call_is_an_error() -> None:
    """So that the model can correct it: no name, a repeated description, arguments too deep."""
    description = {
        "name": "search",
        "description": "Search the web",
        "parameters": {"type": "object", "properties": {}},
    }
    for emitted, error in [
        (
            '<|tool_call|>{"city": "Paris"}<|/tool_call|>',
            "The call names no tool. There are: get_weather, search.",
        ),
        (
            f"<|tool_call|>{json.dumps(description)}<|/tool_call|>",
            "This describes the tool instead of calling it.",
        ),
        (
            f'{{"name": "search", "arguments": "{"[" * 3000}"}}',
            "The arguments are not a JSON object.",
        ),
    ]:
        _, calls = _parse([emitted])

        assert [(None, error)] == [(call.arguments, call.error) for call in calls]


def test_tools_with_similar_names_are_not_confused() -> None:
    """A name that could be either is an error; an exact one is not."""
    tools = [Tool("get-time"), Tool("get_time")]
    _, calls = _parse(['<tool_call>[{"name": "GET_TIME"}, {"name": "get_time"}]'], tools)

    assert [call.error for call in calls] == [
        "The call names no tool. There are: get-time, get_time.",
        None,
    ]


def test_importing_the_parser_loads_no_library() -> None:
    """Applications without tools do not pay for what only calls need."""
    program = (
        "import sys, langchain_azure_phi3._tools.tool_call_parser;"
        "print([name for name in ('jsonschema_rs', 'json_repair') if name in sys.modules])"
    )
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert run.stdout == "[]\n"


def test_a_schema_with_broken_properties_is_tolerated() -> None:
    """It is the mistake of the tool's author; the call may be found or not."""
    for properties in (None, 5, ["city"], {5: {}}):
        tool = Tool("get_weather", "", {"properties": properties})
        for emitted in (_PARIS, '{"name": "get_weather", "city": "Paris"}', '{"city": "Paris"}'):
            _, calls = _parse([emitted], [tool], required=True)

            assert {"get_weather"} >= {call.name for call in calls}


def test_each_state_handles_each_of_its_tokens() -> None:
    """The table has a row for every state, and an end in each."""
    assert set(State) == set(_TRANSITIONS) == set(_NEXT_TOKEN)
    assert all({TokenType.END, TokenType.TRUNCATED} <= set(row) for row in _TRANSITIONS.values())


def test_a_tool_is_read_from_openais_form() -> None:
    """Also where description and parameters are missing."""
    assert Tool("f", "", {}) == Tool.from_wire({"type": "function", "function": {"name": "f"}})
    assert Tool("f", "d", {"type": "object"}) == Tool.from_wire(
        {"function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    )
