"""Schema in, object out: an answer that fits, or the reason why none did."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.messages.ai import add_usage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.v1 import BaseModel as BaseModelV1
from pydantic.v1 import ValidationError as ValidationErrorV1

from langchain_azure_phi3._request.flatten_tools import instructed
from langchain_azure_phi3._tools import json_extraction
from langchain_azure_phi3._tools.json_extraction import ObjectExtractor
from langchain_azure_phi3._tools.tool_choice import function_choice
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

Method = Literal["json_schema", "function_calling", "json_mode"]


def wire_format(response_format: Json | type, strict: bool | None = None) -> Json:
    """The wire's `response_format` for what a user or an agent gives: its own form, or a schema."""
    if isinstance(response_format, dict) and "type" in response_format:
        kind = response_format["type"]
        if kind in ("text", "json_object", "json_schema"):
            return response_format
    shape = shape_of(response_format)
    described: Json = {"name": shape.name, "schema": shape.schema}
    if strict is not None:
        described["strict"] = strict
    return {"type": "json_schema", "json_schema": described}


@dataclass(frozen=True, slots=True)
class Shape:
    """What an object must be.

    Attributes:
        name: Of the schema, for the wire.
        schema: The JSON schema.
        made: Turns an object that fits the schema into what the user asked for.
    """

    name: str
    schema: Json
    made: Callable[[Json], Any]


def shape_of(schema: Json | type) -> Shape:
    """The shape that a user's schema describes.

    Raises:
        InvalidInputError: It describes none.
    """
    try:
        return _shape(schema)
    # Pydantic's own are RuntimeErrors; LangChain looks into JSON schemas without looking first.
    except (ValueError, TypeError, RuntimeError, AttributeError) as problem:
        raise InvalidInputError(
            f"The schema describes no object: {problem}. Pass a pydantic model, a TypedDict, a "
            "dataclass, or a JSON schema with a title."
        ) from None


def _shape(schema: Json | type) -> Shape:
    if isinstance(schema, type) and dataclasses.is_dataclass(schema):
        adapter = TypeAdapter(schema)
        described = {"title": schema.__name__, **adapter.json_schema()}
        return Shape(schema.__name__, described, adapter.validate_python)
    described = convert_to_json_schema(schema)
    name = str(described.get("title") or "Answer")
    return Shape(name, described, _maker(schema))


def _maker(schema: Json | type) -> Callable[[Json], Any]:
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema.model_validate
    if isinstance(schema, type) and issubclass(schema, BaseModelV1):
        return schema.parse_obj
    return lambda value: value


class _Attempt(Protocol):
    """One way to ask for an object: what is bound, what is asked, and how it is read."""

    bound: Json

    def asking(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The conversation with what the model must be told."""

    def read(self, answer: AIMessage) -> tuple[Json | None, str]:
        """The object, or what is wrong."""

    def again(self, answer: AIMessage, problem: str) -> list[BaseMessage]:
        """What to add to the conversation to have it corrected."""


class _ByText:
    """The object is the text of the answer; the schema is in the prompt, or on the wire."""

    def __init__(self, shape: Shape, *, told: Json | None, bound: Json) -> None:
        """`told`: the schema to describe in words, `{}` for any object, `None` for nothing."""
        self.bound = bound
        self._told = told
        self._reader = ObjectExtractor(shape.schema)

    def asking(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        if self._told is None:
            return list(messages)
        return instructed(messages, json_extraction.instructions(self._told))

    def read(self, answer: AIMessage) -> tuple[Json | None, str]:
        return self._reader.read(answer.text)

    def again(self, answer: AIMessage, problem: str) -> list[BaseMessage]:
        return [answer, HumanMessage(json_extraction.correction(problem, answer.text))]


class _ByTool:
    """The object is the arguments of a tool that must be called."""

    def __init__(self, schema: Json | type, shape: Shape, *, strict: bool | None) -> None:
        tool = convert_to_openai_tool(
            shape.schema if dataclasses.is_dataclass(schema) else schema, strict=strict
        )
        self._name = tool["function"]["name"]
        # Corrections are made here, where each is a run of its own.
        self.bound: Json = {
            "tools": [tool],
            "tool_choice": function_choice(self._name),
            "max_corrections": 0,
        }

    def asking(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        return list(messages)

    def read(self, answer: AIMessage) -> tuple[Json | None, str]:
        for call in answer.tool_calls:
            if call["name"] == self._name:
                return dict(call["args"]), ""
        unmet = answer.response_metadata.get("unmet")
        return None, unmet or f"There was no call of {self._name}."

    def again(self, answer: AIMessage, problem: str) -> list[BaseMessage]:
        if not answer.tool_calls:
            wrote = answer.text or "".join(str(c["args"]) for c in answer.invalid_tool_calls)
            told = AIMessage(wrote)
            return [told, HumanMessage(f"That cannot be used. {problem} Call {self._name} again.")]
        results: list[BaseMessage] = [
            ToolMessage(problem, tool_call_id=call["id"], name=call["name"], status="error")
            for call in answer.tool_calls
        ]
        return [answer, *results]


def structured(
    model: BaseChatModel,
    schema: Json | type,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    native: bool,
    corrections: int,
    kwargs: Mapping[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    """A runnable that gives objects of `schema`; the parameters are `with_structured_output`'s.

    Raises:
        InvalidInputError: `schema` is none, or `method` is unknown.
    """
    shape = shape_of(schema)
    attempt = _attempt(schema, shape, method, strict=strict, native=native)
    traced = {"kwargs": {"method": method, "strict": strict}, "schema": shape.schema}
    bound = model.bind(**attempt.bound, ls_structured_output_format=traced, **kwargs)
    asker = _Asker(attempt, shape, corrections, include_raw=include_raw)

    def run(asked: LanguageModelInput, config: RunnableConfig) -> Any:
        conversation = asker.begin(asked)
        while True:
            answer = bound.invoke(conversation.messages, config)
            if asker.settled(conversation, answer):
                return asker.given(conversation)

    async def arun(asked: LanguageModelInput, config: RunnableConfig) -> Any:
        conversation = asker.begin(asked)
        while True:
            answer = await bound.ainvoke(conversation.messages, config)
            if asker.settled(conversation, answer):
                return asker.given(conversation)

    return RunnableLambda(run, arun, name=f"structured_output<{shape.name}>")


def _attempt(
    schema: Json | type, shape: Shape, method: str, *, strict: bool | None, native: bool
) -> _Attempt:
    if method == "function_calling":
        return _ByTool(schema, shape, strict=strict)
    if method == "json_schema":
        if native:
            fields = {"response_format": wire_format(shape.schema, strict)}
            return _ByText(shape, told=None, bound=fields)
        return _ByText(shape, told=shape.schema, bound={})
    if method == "json_mode":
        if native:
            return _ByText(shape, told=None, bound={"response_format": {"type": "json_object"}})
        return _ByText(shape, told={}, bound={})
    raise InvalidInputError(
        f"method={method!r} is unknown: use 'json_schema', 'function_calling' or 'json_mode'."
    )


@dataclass(slots=True)
class _Conversation:
    messages: list[BaseMessage]
    answers: list[AIMessage] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    parsed: Any = None


@dataclass(frozen=True, slots=True)
class _Asker:
    """Decides after each answer whether it will do."""

    attempt: _Attempt
    shape: Shape
    corrections: int
    include_raw: bool

    def begin(self, asked: LanguageModelInput) -> _Conversation:
        if isinstance(asked, PromptValue):
            messages = asked.to_messages()
        elif isinstance(asked, str):
            messages = [HumanMessage(asked)]
        else:
            messages = convert_to_messages(asked)
        return _Conversation(self.attempt.asking(messages))

    def settled(self, conversation: _Conversation, answer: AIMessage) -> bool:
        """Whether to stop asking: the object is there, or the corrections are used up."""
        parsed, problem = self._made(answer)
        conversation.answers.append(answer)
        if not problem:
            conversation.parsed = parsed
            return True
        conversation.problems.append(problem)
        if len(conversation.problems) > self.corrections:
            return True
        conversation.messages += self.attempt.again(answer, problem)
        return False

    def _made(self, answer: AIMessage) -> tuple[Any, str]:
        value, problem = self.attempt.read(answer)
        if value is None:
            return None, problem
        try:
            return self.shape.made(value), ""
        except (ValidationError, ValidationErrorV1) as wrong:
            return None, "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in wrong.errors()
            )

    def given(self, conversation: _Conversation) -> Any:
        """What the user gets.

        Raises:
            OutputParserException: No object came, and `include_raw` is off.
        """
        failed = len(conversation.problems) == len(conversation.answers)
        error = None
        if failed:
            error = OutputParserException(
                f"No {self.shape.name} in {len(conversation.answers)} answers: "
                f"{conversation.problems[-1]}",
                llm_output=conversation.answers[-1].text,
            )
        if self.include_raw:
            raw = _with_history(conversation)
            return {"raw": raw, "parsed": conversation.parsed, "parsing_error": error}
        if error is not None:
            raise error
        return conversation.parsed


def _with_history(conversation: _Conversation) -> AIMessage:
    """The last answer, with the usage of all and the answers that were corrected."""
    *earlier, last = conversation.answers
    if not earlier:
        return last
    total = None
    for answer in conversation.answers:
        if answer.usage_metadata is not None:
            total = add_usage(total, answer.usage_metadata)
    corrected = [
        {"content": answer.content, "problem": problem}
        for answer, problem in zip(earlier, conversation.problems, strict=False)
    ]
    metadata = {**last.response_metadata, "corrections": corrected}
    return last.model_copy(update={"usage_metadata": total, "response_metadata": metadata})
