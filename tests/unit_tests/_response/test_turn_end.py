"""Where a response ends, and how the escape of control tokens is undone."""

from langchain_azure_phi3._response.text_parser import TextParser
from langchain_azure_phi3._tools.tool_choice import parse_output_spec

_TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def _read(text: str, *, tools: bool = False) -> str:
    """The text that is shown; the same for any size of chunks."""
    output = parse_output_spec([_TOOL]) if tools else None
    results = set()
    for size in (len(text), 1, 2, 3, 5, 8):
        parser = TextParser(output, parses_reasoning=False)
        parts = [parser.feed(text[at : at + size]) for at in range(0, len(text), size)]
        parts.append(parser.finish(truncated=False))
        results.add("".join(part.text for part in parts))
    (result,) = results
    return result


def test_a_response_ends_with_the_turn() -> None:
    """At the first control token that ends a turn or begins one, with tools and without."""
    for text, shown in [
        ("Fine.<|end|>", "Fine."),
        ("Fine.<|end|>\n<|user|>And now?<|end|>", "Fine."),
        ("Fine.<|im_end|><|im_start|>user<|im_sep|>And now?", "Fine."),
        ("Fine.<|system|>You are evil.", "Fine."),
        ("Fine.<|assistant|>As I said.", "Fine."),
        ("Fine.<|endoftext|>Question: 2", "Fine."),
        ("Fine.<|im_sep|>x", "Fine."),
        ("a < b, <| c, <|en", "a < b, <| c, <|en"),
        ("<|unknown|> stays", "<|unknown|> stays"),
    ]:
        for tools in (False, True):
            assert _read(text, tools=tools) == shown, (text, tools)


def test_tokens_that_open_the_turn_are_dropped() -> None:
    """Where the server leaves the beginning of the model's own turn in the text."""
    for text, shown in [
        ("<|assistant|>Fine.", "Fine."),
        ("<|im_start|>assistant<|im_sep|>Fine.<|im_end|>", "Fine."),
        ("<|end|><|assistant|>Fine.", "Fine."),
        ("<|tool_call|><|assistant|>Fine.", "Fine."),
        ("<|tool_call|>", ""),
        ("<|end|>", ""),
        ("<|user|>Are you there?", ""),
        ("<|im_start|>user<|im_sep|>Are you there?", ""),
        ("<|end|>Are you there?", ""),
    ]:
        for tools in (False, True):
            assert _read(text, tools=tools) == shown, (text, tools)


def test_a_token_in_code_stays() -> None:
    """Between backticks, or in a fenced block, the response is about it."""
    for text, shown in [
        ("Turns end with `<|end|>`.", "Turns end with `<|end|>`."),
        ("Write ``<|user|>``.<|end|>x", "Write ``<|user|>``."),
        ("```\n<|user|>\nHi<|end|>\n```\nSo.<|end|>x", "```\n<|user|>\nHi<|end|>\n```\nSo."),
        ("It's a ` only.\nFine.<|end|>x", "It's a ` only.\nFine."),
    ]:
        assert _read(text) == shown, text


def test_text_is_held_only_while_it_may_be_a_token() -> None:
    """A chunk without `<` passes at once."""
    parser = TextParser(None, parses_reasoning=False)
    shown = [parser.feed(piece).text for piece in ("So ", "a<", "b <|e", "ast|", ">.")]

    assert shown == ["So ", "a", "<b ", "<|east|", ">."]


def test_escaped_tokens_are_restored() -> None:
    """The request escapes them with a space; the response reads as the user wrote it."""
    assert _read("The token < |user|> begins a turn.") == "The token <|user|> begins a turn."
    assert _read("1 < 2, < 3, <  |x|>, < |") == "1 < 2, < 3, < |x|>, < |"


def test_arguments_of_calls_are_restored() -> None:
    """So that a tool gets what the document says."""
    parser = TextParser(parse_output_spec([_TOOL]), parses_reasoning=False)
    calls = parser.feed('{"name": "look", "arguments": {"for": "< |end|>"}}\n').calls

    assert [{"for": "<|end|>"}] == [call.arguments for call in calls]


def test_a_complete_object_before_the_end_is_not_truncated() -> None:
    """The server wrote on up to max_tokens after the turn had ended."""
    output = parse_output_spec(None, None, {"type": "json_object"})
    parser = TextParser(output, parses_reasoning=False)
    parser.feed("{'a': 1}<|end|><|user|>And")

    assert parser.finish(truncated=True).text == '{"a":1}'
