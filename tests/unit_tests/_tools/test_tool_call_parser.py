"""Every form in which Phi models write calls, and everything that only looks like one."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_azure_phi3._tools.tool_call_parser import TRUNCATED, ToolCallParser
from langchain_azure_phi3._tools.tools import Call, Tool
from tests.growth import grows_linearly

_FILES = sorted((Path(__file__).parent / "transcripts").glob("*.json"))


def _transcripts() -> Iterable[Any]:
    for file in _FILES:
        known = json.loads(file.read_text(encoding="utf-8"))
        tools = {name: Tool(name, **told) for name, told in known["tools"].items()}
        for transcript in known["transcripts"]:
            allowed_tools = [tools[name] for name in transcript["tools"]]
            yield pytest.param(transcript, allowed_tools, id=f"{file.stem}: {transcript['name']}")


_TRANSCRIPTS = list(_transcripts())
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
_MARKS = re.compile(r"</?\|?/?[a-z_]+\|?>|functools|```\w*|[\s,;\[\]}]")
_PARIS = '{"name": "get_weather", "arguments": {"city": "Paris"}}'


def _read(
    pieces: Iterable[str],
    tools: Iterable[Tool] = (_WEATHER, _SEARCH),
    *,
    required: bool = False,
    truncated: bool = False,
) -> tuple[str, list[Call]]:
    reader = ToolCallParser(tools, required=required)
    readings = [reader.feed(piece) for piece in pieces]
    readings.append(reader.finish(truncated=truncated))
    text = "".join(reading.text for reading in readings)
    return text, [call for reading in readings for call in reading.calls]


def _read_as(transcript: dict[str, Any], tools: list[Tool], pieces: Iterable[str]) -> Any:
    options = {name: transcript.get(name, False) for name in ("required", "truncated")}
    return _read(pieces, tools, **options)


def _matches(call: Call, expected: dict[str, Any]) -> bool:
    if "error" in expected:
        return call.name == expected["name"] and expected["error"] in (call.error or "")
    return call.error is None and (call.name, call.arguments) == (
        expected["name"],
        expected["arguments"],
    )


@pytest.mark.parametrize(("transcript", "tools"), _TRANSCRIPTS)
def test_a_transcript_reads_as_its_author_says(transcript: Any, tools: list[Tool]) -> None:
    """Text and calls, of an answer read whole."""
    text, calls = _read_as(transcript, tools, [transcript["emitted"]])

    assert transcript["text"] == text
    assert len(transcript["calls"]) == len(calls), calls
    assert [
        (expected, call)
        for expected, call in zip(transcript["calls"], calls, strict=True)
        if not _matches(call, expected)
    ] == []


@pytest.mark.parametrize(("transcript", "tools"), _TRANSCRIPTS)
def test_a_transcript_reads_the_same_wherever_it_is_cut(transcript: Any, tools: list[Tool]) -> None:
    """Streams cut anywhere: at every character, and once at each place."""
    emitted = transcript["emitted"]
    whole = _read_as(transcript, tools, [emitted])

    assert whole == _read_as(transcript, tools, emitted)
    for place in range(1, len(emitted)):
        assert whole == _read_as(transcript, tools, [emitted[:place], emitted[place:]]), place


@pytest.mark.parametrize(("transcript", "tools"), _TRANSCRIPTS)
def test_nothing_of_a_transcript_is_lost_but_marks_and_brackets(
    transcript: Any, tools: list[Tool]
) -> None:
    """What is neither text nor a call's raw text is a marker, a separator or white space."""
    emitted = transcript["emitted"]
    text, calls = _read_as(transcript, tools, [emitted])
    rest = emitted
    for raw in dict.fromkeys(call.raw for call in calls):
        assert raw in rest
        rest = rest.replace(raw, "")

    assert _MARKS.sub("", rest) == _MARKS.sub("", text)


def test_the_corpus_is_large_and_each_transcript_says_where_it_is_from() -> None:
    """At least seventy; origins in words."""
    origins = [param.values[0]["origin"] for param in _TRANSCRIPTS]

    assert len(origins) >= 70
    assert all(len(origin) > 10 for origin in origins)


_TRICKY = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *("<|tool_call|>", "<|/tool_call|>", "functools", "[", "]", "{", "}", ",", ":"),
                *('"', "'", "\\", "```", "`", "json", "python", "\n", " ", "<|end|>", "</s>"),
                *('"name"', '"get_weather"', '"arguments"', '{"city": "Paris"}', _PARIS),
                *('"type"', '"function"', '"tool_calls"', '"parameters"', '"""', "//", "1"),
            ]
        ),
        st.text(max_size=4),
    ),
    max_size=24,
)


def test_what_may_begin_a_marker_is_taken_once() -> None:
    """Between a name's odd characters, in whatever pieces it comes: the fuzzer found it thrice."""
    text = '{"name":("\x00<"'
    options = {"required": True, "truncated": True}

    whole = _read([text], **options)

    assert ["(\x00<"] == [call.name for call in whole[1]]
    assert whole == _read(text, **options)


@settings(deadline=None, max_examples=500)
@given(pieces=_TRICKY, required=st.booleans(), truncated=st.booleans())
def test_no_text_breaks_the_reader_and_cuts_do_not_matter(
    pieces: list[str], required: bool, truncated: bool
) -> None:
    """Arbitrary text in arbitrary pieces reads as it does whole."""
    options = {"required": required, "truncated": truncated}
    text = "".join(pieces)
    whole = _read([text], **options)

    assert whole == _read(pieces, **options)
    assert whole == _read(text, **options)


@settings(deadline=None, max_examples=500)
@given(st.text(alphabet=st.characters(exclude_characters="{[<`f"), min_size=1))
def test_text_without_marks_comes_back_unchanged(text: str) -> None:
    """Nothing is added, removed or held."""
    assert (text, []) == _read(text)


def test_the_first_word_of_an_answer_is_passed_on_at_once() -> None:
    """An ordinary answer streams as if there were no tools."""
    reader = ToolCallParser([_WEATHER], required=False)

    assert [reader.feed(word).text for word in (" The", " capital", " of", " Fra")] == [
        " The",
        " capital",
        " of",
        " Fra",
    ]


@pytest.mark.parametrize(
    ("held", "decisive"),
    [
        ("```", "python"),
        ("```json\n", "4"),
        ("{", "x"),
        ('{"n', "u"),
        ('{"name": "', "A"),
        ('{"name": "get_', "x"),
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
    ],
)
def test_what_is_held_is_released_as_soon_as_it_can_be_no_call(held: str, decisive: str) -> None:
    """Not a character later."""
    reader = ToolCallParser([_WEATHER], required=False)

    assert reader.feed(held).text == ""
    assert held in reader.feed(decisive).text + reader.feed("ion of").text


def test_a_call_comes_as_soon_as_its_last_bracket() -> None:
    """Before the list and the tags around it are closed."""
    reader = ToolCallParser([_WEATHER], required=False)

    assert reader.feed(f"<|tool_call|>[{_PARIS[:-1]}").calls == ()
    assert [call.arguments for call in reader.feed("}").calls] == [{"city": "Paris"}]


def test_raw_is_the_text_that_the_model_wrote() -> None:
    """For quoting it back."""
    _, calls = _read([f"<|tool_call|>[{_PARIS}]"])

    assert [call.raw for call in calls] == [_PARIS]


def test_half_a_call_at_the_limit_of_tokens_is_no_call() -> None:
    """Even where only brackets seem to be missing: arguments may be, too."""
    _, calls = _read([_PARIS[:-2]], truncated=True)

    assert [(call.name, call.arguments, call.error) for call in calls] == [
        ("get_weather", None, TRUNCATED)
    ]


def test_half_a_call_is_completed_where_the_model_stopped_by_itself() -> None:
    """A forgotten bracket."""
    _, calls = _read([_PARIS[:-2]])

    assert [call.arguments for call in calls] == [{"city": "Paris"}]


@pytest.mark.parametrize("ending", ['"Par', "", "{"])
def test_a_value_that_is_half_there_is_never_guessed(ending: str) -> None:
    """The model stopped within a string, or before a value: no call with half of it."""
    _, calls = _read(['{"name": "get_weather", "arguments": {"city": ' + ending])

    assert all(call.error is not None for call in calls)
    assert len(calls) == 1


def test_nesting_beyond_reason_is_text() -> None:
    """Such arguments would exhaust a recursive parser."""
    text = '{"name": "search", "arguments": ' + '{"a": ' * 100 + "1" + "}" * 101

    assert (text, []) == _read([text])


def test_a_call_after_nesting_beyond_reason_is_found() -> None:
    """The reader gives up on the data, not on the answer."""
    text, calls = _read(['{"data": ' * 65 + "\n", _PARIS])

    assert (text, len(calls)) == ('{"data": ' * 65 + "\n", 1)


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
def test_work_grows_with_the_length_of_the_answer(prefix: str, length: int) -> None:
    """Fed by the character; four times the text takes about four times as long, not sixteen."""
    filler = prefix if len(prefix) == 1 else "some text "

    assert grows_linearly(lambda size: _read(prefix + filler * (size // len(filler))), length)


def test_work_grows_with_the_length_of_a_name() -> None:
    """Where a call is demanded, any name may be that of an invented tool."""
    assert grows_linearly(lambda size: _read(['{"name": "' + "a" * size], required=True), 200_000)


@pytest.mark.parametrize(
    ("emitted", "arguments"),
    [
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
    ],
)
def test_arguments_are_found_where_models_put_them(emitted: str, arguments: Any) -> None:
    """Whatever is missing stays missing."""
    _, calls = _read([emitted])

    assert [arguments] == [call.arguments for call in calls]


def test_wrappers_in_wrappers_end_somewhere() -> None:
    """A model that repeats itself makes no call."""
    text = '{"tool_calls": [' * 10 + "{}" + "]}" * 10

    assert (text, []) == _read([text])


def test_an_object_that_names_no_tool_is_an_error_where_calls_are_marked() -> None:
    """So that the model can be asked again."""
    _, calls = _read(['<|tool_call|>{"city": "Paris"}<|/tool_call|>'])

    assert [call.error for call in calls] == [
        "The call names no tool. There are: get_weather, search."
    ]


def test_a_marked_description_of_a_tool_is_an_error() -> None:
    """It was told, not called."""
    written = {
        "name": "search",
        "description": "Search the web",
        "parameters": {"type": "object", "properties": {}},
    }
    _, calls = _read([f"<|tool_call|>{json.dumps(written)}<|/tool_call|>"])

    assert [call.arguments for call in calls] == [None]
    assert [call.error for call in calls] == ["The arguments are not a JSON object."]


def test_two_tools_of_like_names_are_not_confused() -> None:
    """A name that could be either is an error; an exact one is not."""
    tools = [Tool("get-time"), Tool("get_time")]
    _, calls = _read(['<tool_call>[{"name": "GET_TIME"}, {"name": "get_time"}]'], tools)

    assert [call.error for call in calls] == [
        "The call names no tool. There are: get-time, get_time.",
        None,
    ]


def test_arguments_too_deep_to_read_are_an_error() -> None:
    """In a string, where the reader does not see their depth."""
    _, calls = _read([f'{{"name": "search", "arguments": "{"[" * 3000}"}}'])

    assert [call.error for call in calls] == ["The arguments are not a JSON object."]


def test_importing_the_reader_imports_neither_library_that_it_needs_for_calls() -> None:
    """They take a tenth of a second, which an application without tools need not pay."""
    program = (
        "import sys, langchain_azure_phi3._tools.tool_call_parser;"
        "print([name for name in ('jsonschema_rs', 'json_repair') if name in sys.modules])"
    )
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert run.stdout == "[]\n"


@pytest.mark.parametrize("properties", [None, 5, ["city"], {5: {}}])
@pytest.mark.parametrize(
    "emitted", [_PARIS, '{"name": "get_weather", "city": "Paris"}', '{"city": "Paris"}']
)
def test_a_schema_without_proper_properties_is_survived(properties: Any, emitted: str) -> None:
    """Its author's mistake; the call is read all the same, or not."""
    tool = Tool("get_weather", "", {"properties": properties})
    _, calls = _read([emitted], [tool], required=True)

    assert {"get_weather"} >= {call.name for call in calls}


def test_a_tool_is_read_from_the_wire() -> None:
    """OpenAI's form, also with what it leaves out."""
    assert Tool("f", "", {}) == Tool.from_wire({"type": "function", "function": {"name": "f"}})
    assert Tool("f", "d", {"type": "object"}) == Tool.from_wire(
        {"function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    )
