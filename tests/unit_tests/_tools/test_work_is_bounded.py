"""Whatever a schema contains, checking one answer takes bounded time beyond work linear in it."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3._request.build import (
    ChatRequest,
    EndpointFeatures,
    RequestSettings,
    build_request,
)
from langchain_azure_phi3._response.stream_assembler import StreamAssembler
from langchain_azure_phi3._response.text_parser import parse_text
from langchain_azure_phi3._tools.schema_validation import _compile
from langchain_azure_phi3._tools.tool_choice import OutputSpec
from langchain_azure_phi3.emulator import Emulator
from tests.unit_tests._response.wire import INFO, Json, deltas

# The most CPU time: fixed, and for each character of the answer and of the schema.
_SECONDS, _SECONDS_PER_CHARACTER = 0.1, 40e-6
_LENGTH = 12_000
_CLOSED = {"type": "object", "required": ["a"], "additionalProperties": False}


def chain(depth: int, keyword: str, last: Json) -> Json:
    """A property whose definitions each refer twice to the next one."""
    definitions: Json = {
        f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)
    }
    definitions[f"d{depth}"] = last
    return {"properties": {"q": {"$ref": "#/$defs/d0"}}, "$defs": definitions}


def nested(depth: int, keyword: str, value: Any) -> Any:
    """A value within many objects of one property."""
    for _ in range(depth):
        value = {keyword: value}
    return value


def of(schema: Json) -> Json:
    """An object whose one property has this schema."""
    return {"type": "object", "properties": {"q": schema}}


INTEGER_TOOL = {
    "type": "function",
    "function": {"name": "t", "parameters": of({"type": "integer"})},
}


def pairs() -> Iterator[tuple[Json, Json]]:
    """Hostile schemas, each with arguments."""
    for pattern in ("^(a+)+$", "(a*)*\\1b", "(.*a){20}x", "(?=(a+)+$)b", "((a?){20}){20}a{9999}"):
        yield of({"type": "string", "pattern": pattern}), {"q": "a" * _LENGTH + "!"}
        keys = {"a" * 20 + str(n): 1 for n in range(_LENGTH // 25)}
        yield {"type": "object", "patternProperties": {pattern: {"type": "integer"}}}, keys
    closed = {**_CLOSED, "properties": {"a": {"type": "boolean"}}}
    for keyword in ("allOf", "anyOf", "oneOf"):
        for depth in (12, 40, 120):
            yield chain(depth, keyword, {"type": "string"}), {"q": 5}
            yield chain(depth, keyword, closed), {"q": {"a": "true", "b": 1}}
        either = [of({"$ref": "#/$defs/n"}), {"items": {"$ref": "#/$defs/n"}, "type": "array"}]
        deep: Any = "1"
        for _ in range(28):
            deep = [deep]
        tree = {"$defs": {"n": {keyword: [*either, {"type": "integer"}]}}}
        yield {**tree, **of({"$ref": "#/$defs/n"})}, {"q": [deep] * (_LENGTH // 60)}
        constants = [{"const": f"v{n}"} for n in range(300)]
        yield of({"items": {keyword: constants}}), {"q": ["v299"] * (_LENGTH // 7)}
        loose = [{"properties": {f"p{n}": {"type": "integer"}}} for n in range(200)]
        yield of({"items": {keyword: loose}}), {"q": [{"p199": "1"}] * (_LENGTH // 13)}
        node = [of({"$ref": "#/$defs/n"}), {**of({"$ref": "#/$defs/n"}), "title": "x"}]
        yield {"$defs": {"n": {keyword: node}}, "$ref": "#/$defs/n"}, nested(60, "q", 1)
    for items in (range(_LENGTH // 6), [{"a": n} for n in range(_LENGTH // 14)]):
        yield of({"type": "array", "uniqueItems": True}), {"q": list(items)}
    yield {"allOf": [{"$ref": "#"}, {"$ref": "#"}], **of({"$ref": "#"})}, nested(50, "q", 1)
    cycle: Json = {f"a{n}": {"$ref": f"#/$defs/a{(n + 1) % 3000}"} for n in range(3000)}
    yield {**of({"$ref": "#/$defs/a0"}), "$defs": cycle}, {"q": 1}
    yield {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, {"q": 1}
    names = [f"p{n}" for n in range(3000)]
    wide = {"properties": {name: {"type": "integer"} for name in names}, "required": names}
    yield {"type": "object", **wide}, {f"P_{n}": "1" for n in range(_LENGTH // 12)}
    texts = [{"properties": {f"a{n}": {"type": "array"}}, "required": [f"a{n}"]} for n in range(50)]
    branches = [{"type": "object", **text} for text in texts]
    yield of({"anyOf": branches}), {"q": "{'a49': [" + "1," * (_LENGTH // 2)}


@contextmanager
def untraced() -> Iterator[None]:
    """Measure the code alone: under coverage, its tracer takes as long again."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def test_work_on_an_answer_is_bounded() -> None:
    """As the arguments of a call and as an object, with the instructions and the constraint."""
    settings = RequestSettings(endpoint=EndpointFeatures(constraints=("response_format",)))
    for schema, value in pairs():
        tool = {"type": "function", "function": {"name": "t", "parameters": schema}}
        format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        call = OutputSpec((tool,), choice="any"), json.dumps({"name": "t", "arguments": value})
        object_ = OutputSpec((), response_format=format_), json.dumps(value)
        # One response, one budget: many values cost no more than one, beyond linear work.
        many = call[0], "\n".join([call[1]] * min(100, 1 + _LENGTH // len(call[1])))
        for spec, text in (call, object_, many):
            arguments = {"tools": list(spec.tools), "response_format": spec.response_format}
            size = len(json.dumps(schema)) + len(text)
            seconds = []
            for _ in range(3):
                _compile.cache_clear()
                with untraced():
                    began = time.thread_time()
                    build_request(settings, [HumanMessage("Hi")], arguments)
                    parse_text(text, spec, parses_reasoning=True, truncated=False)
                    seconds.append(time.thread_time() - began)
                if seconds[-1] < _SECONDS + _SECONDS_PER_CHARACTER * size:
                    break
            else:
                raise AssertionError(f"{min(seconds):.2f} s: {str(schema)[:200]} {text[:100]}")


DEGENERATE = (
    *(
        '{"q" ',
        "{'",
        "[",
        "`",
        "```json\n",
        "<think>",
        "<|tool_call|>",
        '{"name": "t", "arguments": ',
    ),
    *('{"name": "t", "arguments": {"q": 1}}\n', '{"name": "t", "arguments": {"q": "x"}}\n'),
)
OUTPUTS: dict[str, Json] = {
    "nothing": {},
    "tools": {"tools": [INTEGER_TOOL]},
    "a call": {"tools": [INTEGER_TOOL], "tool_choice": "any"},
    "an object": {
        "tools": [],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": of({"type": "integer"})},
        },
    },
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_no_piece_of_a_stream_stalls(output: str) -> None:
    """All pieces, of one character each, and the end together do not."""
    request = build_request(RequestSettings(), [HumanMessage("Hi")], OUTPUTS[output])
    for unit in DEGENERATE:
        text = (unit * _LENGTH)[:_LENGTH]
        for _ in range(3):
            seconds = streaming_seconds(request, text)
            if seconds < _SECONDS + _SECONDS_PER_CHARACTER * _LENGTH:
                break
        else:
            raise AssertionError(f"{unit}: {seconds:.2f} s")


def streaming_seconds(request: ChatRequest, text: str) -> float:
    """The CPU time of a stream of one character per piece."""
    assembler = StreamAssembler(request, corrects=True)
    pieces = deltas(*text)
    with untraced():
        began = time.thread_time()
        for body in pieces:
            assembler.feed(body, INFO)
        assembler.finish()
        return time.thread_time() - began


@pytest.mark.parametrize("tool_calling", ["prompted", "native"])
def test_deep_schemas_and_arguments_are_input_errors(tool_calling: Any) -> None:
    """Never a `RecursionError`, nor the end of the process; those of ordinary depth work."""
    with Emulator(tools="native") as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, tool_calling=tool_calling, max_retries=0
        )
        for depth in (10, 300, 3000, 50_000):
            schema: Json = {"type": "integer"}
            for _ in range(depth):
                schema = of(schema)
            tool = {"title": "t", "description": "d", **schema}
            for call in (
                lambda tool=tool: model.bind_tools([tool]).invoke("Hi"),
                lambda tool=tool: model.get_num_tokens_from_messages([HumanMessage("a")], [tool]),
                lambda tool=tool: model.bind_tools([tool], tool_choice="t").invoke("Hi"),
                lambda tool=tool: model.with_structured_output(tool).invoke("Hi"),
            ):
                if depth == 10:
                    call()
                    continue
                with pytest.raises(InvalidInputError, match=r"nested|deep|depth|recursion"):
                    call()
