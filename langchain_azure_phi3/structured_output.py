"""Requests objects that fit a schema, and has them corrected."""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol, cast

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import add_usage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.v1 import BaseModel as BaseModelV1
from pydantic.v1 import ValidationError as ValidationErrorV1

from langchain_azure_phi3._request.content import text_content
from langchain_azure_phi3._response.refusal import refusal_error
from langchain_azure_phi3._response.wire_response import (
    REASONING_USED_ALL_TOKENS,
    is_truncated,
)
from langchain_azure_phi3._span_events import CORRECTION, add_span_event
from langchain_azure_phi3._tools import json_extraction
from langchain_azure_phi3._tools.enum_names import with_enum_names
from langchain_azure_phi3._tools.json_extraction import (
    STOPPED_OBJECT,
    TRUNCATED_OBJECT,
    ObjectExtractor,
)
from langchain_azure_phi3._tools.json_scanner import is_closed_json
from langchain_azure_phi3._tools.schema_validation import schema_problem
from langchain_azure_phi3._tools.tool_choice import function_choice
from langchain_azure_phi3._tools.type_conversion import (
    JsonSchemaGenerator,
    conversion_problem,
    to_json_schema,
    to_wire_tool,
)
from langchain_azure_phi3._types import Json, Method
from langchain_azure_phi3.errors import InvalidInputError, RefusalError


def to_response_format(response_format: Json | type, strict: bool | None = None) -> Json:
    """Convert a schema, or OpenAI's form of it, to the `response_format` to send."""
    if isinstance(response_format, dict) and "type" in response_format:
        name = response_format["type"]
        if name in ("text", "json_object", "json_schema"):
            return response_format
    schema = parse_schema(response_format)
    field: Json = {"name": schema.name, "schema": schema.json_schema}
    if strict is not None:
        field["strict"] = strict
    return {"type": "json_schema", "json_schema": field}


# Characters that OpenAI's API does not allow in names of tools and schemas.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)
_SCHEMA_KEYWORDS = frozenset(
    {"type", "parameters", "properties", "$ref", "anyOf", "oneOf", "allOf", "additionalProperties"}
)


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of an object, with the functions to parse and check it.

    Attributes:
        name: The schema's name, for the wire.
        json_schema: The JSON schema.
        parse: Converts an object that fits the schema to an instance of the user's type.
        check: Returns the error of an object according to the user's type; `None` if only the
            JSON schema decides.
        enum_schema: The JSON schema with the names of enum members, for parsing objects.
    """

    name: str
    json_schema: Json
    parse: Callable[[Json], Any]
    check: Callable[[Json], str | None] | None = None
    enum_schema: Json | None = None

    @property
    def extractor(self) -> ObjectExtractor:
        """The extractor of objects of this schema from responses."""
        return ObjectExtractor(self.enum_schema or self.json_schema, self.check)


def parse_schema(schema: Json | type) -> Schema:
    """Parse the schema of a pydantic model, TypedDict, dataclass or JSON schema.

    Raises:
        InvalidInputError: It does not describe an object.
    """
    try:
        return _parse_schema(schema)
    # Pydantic's own errors are RuntimeErrors; LangChain reads JSON schemas without validating them.
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        reason = conversion_problem(error)
        if reason is None:
            reason = f"{schema!r} is not a schema"
        raise InvalidInputError(
            f"The schema does not describe an object: {reason}. Pass a pydantic model, a "
            "TypedDict, a dataclass, or a JSON schema with a title."
        ) from None


def _parse_schema(schema: Json | type) -> Schema:
    if isinstance(schema, type) and dataclasses.is_dataclass(schema):
        generated = TypeAdapter(schema).json_schema(schema_generator=JsonSchemaGenerator)
        json_schema = {"title": schema.__name__, **generated}
        return _with_check(schema.__name__, json_schema, schema, _json_parser(schema))
    if isinstance(schema, dict):
        _check_allows_objects(schema)  # LangChain drops its type if it has no properties
    json_schema = to_json_schema(schema)
    if isinstance(schema, dict):
        _check_json_schema(schema, json_schema)
    _check_allows_objects(json_schema)
    name = str(json_schema.get("title") or "Answer")
    if isinstance(schema, type):
        name = _NOT_IN_NAMES.sub("_", name)  # for example, the brackets of a generic model
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return _with_check(name, json_schema, schema, _json_parser(schema))
    if isinstance(schema, type) and issubclass(schema, BaseModelV1):
        return _with_check(name, json_schema, schema, schema.parse_obj)
    return Schema(name, json_schema, lambda value: value)


def _check_json_schema(schema: Json, json_schema: Json) -> None:
    """Raise an error if no object can fit; `json_schema` is LangChain's form of `schema`."""
    if not _SCHEMA_KEYWORDS & schema.keys():
        raise ValueError("it has neither properties nor another keyword of JSON Schema")
    problem = schema_problem(json_schema)
    if problem is not None:
        raise ValueError(f"it is not a valid JSON schema: {problem}")


def _check_allows_objects(schema: Json) -> None:
    """Raise an error for the schema of a list or another value that is not an object."""
    if not _allows_objects(schema):
        type_ = schema.get("type", "none of its alternatives")
        raise ValueError(f"its type is {type_!r}, not 'object'. Wrap it in a model with one field")


def _allows_objects(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return True
    declared = schema.get("type")
    if declared is not None:
        types = declared if isinstance(declared, list) else [declared]
        return "object" in types or "function" in types  # "function" is OpenAI's form of a tool
    branches = schema.get("anyOf")
    return not isinstance(branches, list) or any(map(_allows_objects, branches))


def _json_parser(type_: type) -> Callable[[Json], Any]:
    """Return a function that converts an object to an instance of a pydantic model or dataclass.

    Values are parsed as JSON, because strict models only accept the text of a date there
    (https://docs.pydantic.dev/latest/concepts/conversion_table/).
    """
    adapter: TypeAdapter[Any] = TypeAdapter(type_)
    return lambda value: adapter.validate_json(json.dumps(value))


def _with_check(name: str, json_schema: Json, schema: Any, parse: Callable[[Json], Any]) -> Schema:
    """Create the schema of a type that validates itself."""

    def check(value: Json) -> str | None:
        try:
            instance = parse(value)
        except (ValidationError, ValidationErrorV1) as error:
            return _format_errors(error)
        if value and not _uses_any(value, instance):
            return f"There is no field {', '.join(map(repr, value))}"
        return None

    return Schema(name, json_schema, parse, check, with_enum_names(json_schema, schema))


def _uses_any(value: Json, instance: Any) -> bool:
    """Whether at least one key of an object became a field, because models ignore unknown keys."""
    if isinstance(instance, BaseModelV1):
        fields, given = set(instance.__fields__), instance.__fields_set__
    elif isinstance(instance, BaseModel):
        fields, given = set(type(instance).model_fields), instance.model_fields_set
    else:
        fields = {field.name for field in dataclasses.fields(instance)}
        given = set(value)
    return not fields or bool(fields & given)


def _format_errors(error: ValidationError | ValidationErrorV1) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())


class _Strategy(Protocol):
    """One way to request an object: with bound arguments, a prompt, and a parser."""

    bound: Json

    def prepare(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Add the instructions that the model needs to the conversation."""

    def read(self, response: AIMessage, *, truncated: bool) -> tuple[Json | None, str]:
        """The object, or what is wrong."""

    def correction_messages(self, response: AIMessage, problem: str) -> list[BaseMessage]:
        """Return the messages that ask for a corrected object."""


class _PromptStrategy:
    """Requests the object as the response's text; the schema is in the prompt or sent natively."""

    def __init__(self, schema: Schema, *, prompt_schema: Json | None, bound: Json) -> None:
        """Request objects of a schema.

        Args:
            schema: The schema of the objects.
            prompt_schema: The schema to describe in the prompt; `{}` for any object, `None` for no
                instructions.
            bound: Arguments of the calls.
        """
        self.bound = bound
        self._prompt_schema = prompt_schema
        self._extractor = schema.extractor

    def prepare(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        if self._prompt_schema is None:
            return list(messages)
        return _append_instructions(messages, json_extraction.instructions(self._prompt_schema))

    def read(self, response: AIMessage, *, truncated: bool) -> tuple[Json | None, str]:
        if _ended_in_reasoning(response):
            return None, REASONING_USED_ALL_TOKENS
        return self._extractor.read(response.text, truncated=truncated)

    def correction_messages(self, response: AIMessage, problem: str) -> list[BaseMessage]:
        return [response, HumanMessage(json_extraction.correction(problem, response.text))]


class _ToolStrategy:
    """Requests the object as the arguments of a required tool call."""

    def __init__(self, given: Json | type, schema: Schema, *, strict: bool | None) -> None:
        tool = to_wire_tool(
            schema.json_schema if dataclasses.is_dataclass(given) else given, strict
        )
        self._name = schema.name
        tool = {**tool, "function": {**tool["function"], "name": schema.name}}
        self._extractor = schema.extractor
        # Corrections are made here, so that each is a separate run.
        self.bound: Json = {
            "tools": [tool],
            "tool_choice": function_choice(self._name),
            "max_corrections": 0,
        }

    def prepare(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        return list(messages)

    def read(self, response: AIMessage, *, truncated: bool) -> tuple[Json | None, str]:
        for call in response.tool_calls:
            if call["name"] == self._name:
                return self._extractor.fit(dict(call["args"]))
        unmet = response.response_metadata.get("unmet_requirement")
        # The user's model may accept objects that the JSON schema does not.
        for text in (*(call["args"] for call in response.invalid_tool_calls), response.text):
            value, _ = self._extractor.read(text or "", truncated=truncated)
            if value is not None:
                return value, ""
        if _ended_in_reasoning(response):
            return None, REASONING_USED_ALL_TOKENS
        if truncated:
            return None, TRUNCATED_OBJECT
        return None, unmet or f"There is no call of {self._name}."

    def correction_messages(self, response: AIMessage, problem: str) -> list[BaseMessage]:
        if not response.tool_calls:
            text = response.text or "".join(str(c["args"]) for c in response.invalid_tool_calls)
            prompt = f"That cannot be used. {problem} Call {self._name} again."
            return [AIMessage(text), HumanMessage(prompt)]
        results: list[BaseMessage] = [
            ToolMessage(problem, tool_call_id=call["id"], name=call["name"], status="error")
            for call in response.tool_calls
        ]
        return [response, *results]


def with_structured_output(
    model: BaseChatModel,
    schema: Json | type,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    is_native: bool,
    max_corrections: int,
    kwargs: Mapping[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    """Return a runnable that returns objects of `schema`.

    Args:
        model: The chat model.
        schema: A pydantic model (v2 or v1), TypedDict, dataclass or JSON schema.
        method: `"json_schema"`, `"function_calling"` or `"json_mode"`.
        include_raw: Whether to return `{"raw", "parsed", "parsing_error"}`.
        strict: Passed on if the schema is sent natively.
        is_native: Whether the schema is sent natively.
        max_corrections: How often the model is asked to correct its response.
        kwargs: Any other parameters of the calls.

    Raises:
        InvalidInputError: `schema` is not a valid schema, `method` is unknown, or there are tools.
    """
    if "tools" in kwargs:
        raise InvalidInputError(
            "with_structured_output takes no tools, because it returns an object and no calls: use "
            "create_agent(model, tools, response_format=...), or "
            "model.bind_tools(tools, response_format=...)."
        )
    return _StructuredOutput(
        model,
        schema,
        method=method,
        strict=strict,
        is_native=is_native,
        max_corrections=max_corrections,
        include_raw=include_raw,
        kwargs=kwargs,
    )


class _StructuredOutput(RunnableLambda[LanguageModelInput, Any]):
    """Requests objects of one schema.

    It is pickled as its arguments, because schemas and their checks hold local functions.
    """

    def __init__(
        self,
        model: BaseChatModel,
        schema: Json | type,
        *,
        method: Method,
        strict: bool | None,
        is_native: bool,
        max_corrections: int,
        include_raw: bool,
        kwargs: Mapping[str, Any],
    ) -> None:
        """See `with_structured_output`."""
        self._schema = parse_schema(schema)
        self._strategy = _make_strategy(
            schema, self._schema, method, strict=strict, is_native=is_native
        )
        traced = {
            "kwargs": {"method": method, "strict": strict},
            "schema": self._schema.json_schema,
        }
        self._bound = model.bind(
            **self._strategy.bound, ls_structured_output_format=traced, **kwargs
        )
        self._model = model
        self._stop = kwargs.get("stop") or getattr(model, "stop", None)
        self._max_corrections = max_corrections
        self._include_raw = include_raw
        options: Json = {
            "method": method,
            "strict": strict,
            "is_native": is_native,
            "kwargs": kwargs,
        }
        options |= {"max_corrections": max_corrections, "include_raw": include_raw}
        self._recreated = (partial(_StructuredOutput, **options), (model, schema))
        name = f"structured_output<{self._schema.name}>"
        super().__init__(self._request, self._arequest, name=name)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """How to create the same object in another process."""
        return self._recreated

    @cached_property
    def deps(self) -> list[Runnable[Any, Any]]:
        """The runnables that this one calls: its graph shows them."""
        return [self._bound]

    def _request(self, model_input: LanguageModelInput, config: RunnableConfig, **call: Any) -> Any:
        corrector = self._start(model_input, call)
        while not corrector.is_done:
            with corrector.catch_refusal():
                response = self._bound.invoke(corrector.messages, config, **call)
                corrector.add(response, has_stop=self._has_stop(call))
        return corrector.result(include_raw=self._include_raw)

    async def _arequest(
        self, model_input: LanguageModelInput, config: RunnableConfig, **call: Any
    ) -> Any:
        corrector = self._start(model_input, call)
        while not corrector.is_done:
            with corrector.catch_refusal():
                response = await self._bound.ainvoke(corrector.messages, config, **call)
                corrector.add(response, has_stop=self._has_stop(call))
        return corrector.result(include_raw=self._include_raw)

    def _start(self, model_input: LanguageModelInput, call: Json) -> "_Corrector":
        messages = self._model._convert_input(model_input).to_messages()
        if not messages:  # the instructions alone would be sent
            raise InvalidInputError("There is no message to send: pass at least one.")
        limit = call.pop("max_corrections", self._max_corrections)  # counted here, not in requests
        prepared = self._strategy.prepare(messages)
        return _Corrector(self._strategy, self._schema, prepared, limit)

    def _has_stop(self, call: Json) -> bool:
        return bool(self._stop or call.get("stop"))


def _make_strategy(
    given: Json | type, schema: Schema, method: str, *, strict: bool | None, is_native: bool
) -> _Strategy:
    if method == "function_calling":
        return _ToolStrategy(given, schema, strict=strict)
    constrained = {"constrained_schema": schema.json_schema}
    if method == "json_schema":
        if not is_native:
            return _PromptStrategy(schema, prompt_schema=schema.json_schema, bound=constrained)
        fields = {"response_format": to_response_format(schema.json_schema, strict)}
        return _PromptStrategy(schema, prompt_schema=None, bound=fields)
    if method == "json_mode":
        if not is_native:
            return _PromptStrategy(schema, prompt_schema={}, bound=constrained)
        fields = {"response_format": {"type": "json_object"}}
        return _PromptStrategy(schema, prompt_schema=None, bound=fields)
    raise InvalidInputError(
        f"method={method!r} is unknown. Use 'json_schema', 'function_calling' or 'json_mode'."
    )


class _Corrector:
    """Decides after each response whether to return it or to request a correction.

    Attributes:
        messages: The conversation to send next.
        is_done: Whether there is a result.
    """

    def __init__(
        self,
        strategy: _Strategy,
        schema: Schema,
        messages: list[BaseMessage],
        max_corrections: int,
    ) -> None:
        self.messages = messages
        self.is_done = False
        self._strategy = strategy
        self._schema = schema
        self._max_corrections = max_corrections
        self._responses: list[AIMessage] = []
        self._problems: list[str] = []
        self._parsed: Any = None
        self._refusal: RefusalError | None = None

    @contextmanager
    def catch_refusal(self) -> Iterator[None]:
        """Use a filtered response as the result, with its error as `parsing_error`."""
        try:
            yield
        except RefusalError as error:
            if error.raw_message is None:
                raise
            self._refuse(cast("AIMessage", error.raw_message), error)

    def add(self, response: AIMessage, *, has_stop: bool) -> None:
        """Read a response; if it is wrong, add the correction to the conversation.

        Args:
            response: The response.
            has_stop: Whether a stop sequence may have cut it off.
        """
        if (refusal := refusal_error(response)) is not None:
            self._refuse(response, refusal)
            return
        self._responses.append(response)
        self._parsed, problem = self._parse(response, has_stop=has_stop)
        if not problem:
            self.is_done = True
            return
        self._problems.append(problem)
        # Another attempt would reason again, at the same cost.
        is_last = problem == REASONING_USED_ALL_TOKENS
        if is_last or len(self._problems) > self._max_corrections:
            self.is_done = True
            return
        self.messages += self._strategy.correction_messages(response, problem)
        add_span_event(CORRECTION, {"azure_phi3.correction.number": len(self._problems)})

    def _refuse(self, response: AIMessage, error: RefusalError) -> None:
        self._responses.append(response)
        self._refusal, self.is_done = error, True

    def result(self, *, include_raw: bool) -> Any:
        """Return the result of the runnable.

        Raises:
            RefusalError: The model refused, or a content filter blocked the response, and
                `include_raw` is off.
            OutputParserException: There is no object, and `include_raw` is off.
        """
        error: Exception | None = self._refusal
        if len(self._problems) == len(self._responses):
            count = len(self._responses)
            responses = "1 response" if count == 1 else f"{count} responses"
            error = OutputParserException(
                f"No {self._schema.name} in {responses}: {self._problems[-1]}",
                llm_output=self._responses[-1].text,
            )
        if include_raw:
            return {"raw": self._raw(), "parsed": self._parsed, "parsing_error": error}
        if error is not None:
            raise error
        return self._parsed

    def _parse(self, response: AIMessage, *, has_stop: bool) -> tuple[Any, str]:
        is_stopped = has_stop and not is_closed_json(response.text)
        truncated = _is_truncated(response)
        value, problem = self._strategy.read(response, truncated=truncated or is_stopped)
        if value is None:
            is_by_stop = problem == TRUNCATED_OBJECT and not truncated
            return None, STOPPED_OBJECT if is_by_stop else problem
        try:
            return self._schema.parse(value), ""
        except (ValidationError, ValidationErrorV1) as error:
            return None, _format_errors(error)

    def _raw(self) -> AIMessage:
        """Return the last response, with the total usage and the corrected responses."""
        *earlier, last = self._responses
        if not earlier:
            return last
        total = None
        for response in self._responses:
            if response.usage_metadata is not None:
                total = add_usage(total, response.usage_metadata)
        corrections = [
            {"content": response.content, "problem": problem}
            for response, problem in zip(earlier, self._problems, strict=False)
        ]
        metadata = {**last.response_metadata, "corrections": corrections}
        return last.model_copy(update={"usage_metadata": total, "response_metadata": metadata})


def _is_truncated(response: AIMessage) -> bool:
    return is_truncated(response.response_metadata.get("finish_reason"))


def _ended_in_reasoning(response: AIMessage) -> bool:
    """Whether `max_tokens` cut off the reasoning, so that there is no text."""
    has_answer = response.text.strip() or response.tool_calls or response.invalid_tool_calls
    has_reasoning = bool(response.additional_kwargs.get("reasoning_content"))
    return _is_truncated(response) and has_reasoning and not has_answer


def _append_instructions(messages: Sequence[BaseMessage], text: str) -> list[BaseMessage]:
    """Append instructions to the first system message, or add them as one."""
    first = messages[0] if messages else None
    if isinstance(first, SystemMessage):
        given = text_content(first)
        return [SystemMessage(f"{given}\n\n{text}" if given else text), *messages[1:]]
    return [SystemMessage(text), *messages]
