"""Lists of calls that are the complete answer, in forms that no prompt asks for."""

from langchain_azure_phi3._tools.answer_parser import AnswerParser
from langchain_azure_phi3._tools.tools import Call, Tool

_TOOLS = (
    Tool(
        "orders.find",
        "",
        {
            "type": "object",
            "properties": {"id": {"type": "string"}, "n": {"type": "integer"}, "tags": {}},
            "required": ["id"],
        },
    ),
    Tool("stop", "", {}),
)


def _parse(text: str, size: int, *, truncated: bool = False) -> tuple[str, list[Call]]:
    parser = AnswerParser(_TOOLS, required=False)
    results = [parser.feed(text[at : at + size]) for at in range(0, len(text), size)]
    results.append(parser.finish(truncated=truncated))
    return "".join(r.text for r in results), [call for r in results for call in r.calls]


def _both(text: str, *, truncated: bool = False) -> tuple[str, list[Call]]:
    """The result, which is the same streamed by the character."""
    complete = _parse(text, len(text), truncated=truncated)
    assert complete == _parse(text, 1, truncated=truncated)
    return complete


def test_exact_lists_are_calls() -> None:
    """Python's, in a fence or not, and `name:` without braces."""
    find = ("orders.find", {"id": "A7", "n": 2})
    for text, expected in [
        ("[orders.find(id='A7', n=2)]", [find]),
        ("[orders.find(id='A7', n=2),\n stop()]\n", [find, ("stop", {})]),
        ("```python\n[orders.find(id='A7', n=2)]\n```", [find]),
        ("<|tool_call|>[orders.find(id='A7', n=2)]<|/tool_call|>", [find]),
        (
            "[orders.find(id='A7', tags=('x', {'y': None}))]",
            [("orders.find", {"id": "A7", "tags": ["x", {"y": None}]})],
        ),
        ('[name: "orders.find", {"id": "A7", "n": 2}]', [find]),
        ('<|tool_call|>[name: "orders.find", arguments: {"id": "A7", "n": 2}]', [find]),
    ]:
        rest, calls = _both(text)

        assert (rest, [(call.name, call.arguments) for call in calls]) == ("", expected), text
        assert all(call.error is None for call in calls)


def test_wrong_arguments_are_invalid_calls() -> None:
    """As in any other form."""
    _, calls = _both("[orders.find(n=2)]")

    assert [True] == [call.error is not None for call in calls]


def test_all_else_is_text() -> None:
    """Other names, no literals, values without names, words around it, half a list."""
    for text in (
        "[orders.lose(id='A7')]",
        "[orders.find(id=x)]",
        "[orders.find('A7')]",
        "[orders.find(id='A7'), other()]",
        "Use [orders.find(id='A7')].",
        "[orders.find(id='A7')] is a call.",
        "orders.find(id='A7')",
        "[orders.find(id={1, 2})]",
        "[orders.find(**x)]",
        "[1, 2]",
        "[]",
        "[orders",
    ):
        assert _both(text) == (text, []), text
    assert _both("[orders.find(id='A7')]", truncated=True)[1] == []
