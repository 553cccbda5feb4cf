"""Constrained decoding: parses the constraint of a request, and generates responses that fit."""

import json
from typing import Any

import jsonschema_rs

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator import error_bodies
from langchain_azure_phi3.emulator.conversation import Generation
from langchain_azure_phi3.emulator.prompt_parser import find_json_objects
from langchain_azure_phi3.emulator.server_types import ConstraintModes
from langchain_azure_phi3.emulator.validation import ChatRequest, EngineParameters
from langchain_azure_phi3.emulator.value_generator import generate_value
from langchain_azure_phi3.emulator.wire import to_json

_OBJECT: Json = {"type": "object"}
_FIELDS = frozenset({"response_format", "structured_outputs"})


class Constraint:
    """A JSON schema, or a list of texts, that the response must fit.

    Raises:
        ApiError: The schema is invalid.
    """

    def __init__(self, schema: Any, choices: tuple[str, ...] = ()) -> None:
        self.schema = schema
        self.choices = choices
        try:
            self._validator = jsonschema_rs.validator_for(schema, retriever=_refuse_to_fetch)
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise error_bodies.engine_error(f"The schema cannot be compiled: {error}") from error

    @property
    def options(self) -> tuple[str, ...]:
        """The values that fit, if the request lists them."""
        listed = self.schema.get("enum", ()) if isinstance(self.schema, dict) else ()
        return self.choices or tuple(v if isinstance(v, str) else to_json(v) for v in listed)

    def apply(self, generation: Generation) -> Generation:
        """Return the generation of an engine that constrains each token.

        A text that fits is unchanged. Otherwise, the response is the first JSON object in it that
        fits, or else a minimal value. Tool calls, refusals and truncated texts are unchanged.
        """
        has_no_text = len(generation.tool_calls) > 0 or generation.refusal != ""
        if generation.truncated or has_no_text or self._fits(generation.text):
            return generation
        return Generation(self._closest(generation.text), reasoning=generation.reasoning)

    def _fits(self, text: str) -> bool:
        if len(self.choices) > 0:
            return text in self.choices
        try:
            return self._validator.is_valid(json.loads(text))
        except ValueError:
            return False

    def _closest(self, text: str) -> str:
        if len(self.choices) > 0:
            return self.choices[0]
        fitting = (value for _, value in find_json_objects(text) if self._validator.is_valid(value))
        value = next(fitting, None)
        return to_json(generate_value(self.schema) if value is None else value)


def _refuse_to_fetch(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema.")


def parse_constraint(
    chat: ChatRequest, engine: EngineParameters, modes: ConstraintModes
) -> Constraint | None:
    """Parse the constraint of a request, if the server enforces it.

    Raises:
        ApiError: A schema is invalid.
    """
    extras = engine.model_extra or {}
    guided = {n.removeprefix("guided_"): v for n, v in extras.items() if n.startswith("guided_")}
    options = (
        guided if modes.guided == "enforce" else None,
        extras.get("structured_outputs") if modes.structured_outputs == "enforce" else None,
    )
    found = (_parse_options(option) for option in options if isinstance(option, dict))
    constraint = next((constraint for constraint in found if constraint is not None), None)
    return _parse_format(chat.response_format, modes) if constraint is None else constraint


def _parse_options(options: Json) -> Constraint | None:
    """Parse vLLM's options; regular expressions and grammars have no effect here."""
    choices = options.get("choice")
    if isinstance(choices, list) and len(choices) > 0:
        return Constraint({}, tuple(map(str, choices)))
    if options.get("json") is not None:
        return Constraint(_parse_schema(options["json"]))
    return Constraint(_OBJECT) if options.get("json_object") is True else None


def _parse_format(response_format: Any, modes: ConstraintModes) -> Constraint | None:
    if response_format is None or getattr(modes, response_format.type, None) != "enforce":
        return None
    if response_format.type == "json_object":
        # llama.cpp also accepts a schema here.
        return Constraint((response_format.model_extra or {}).get("schema", _OBJECT))
    json_schema = response_format.json_schema
    schema = json_schema.get("schema") if isinstance(json_schema, dict) else None
    if schema is None:
        raise error_bodies.engine_error("response_format.json_schema.schema is missing.")
    return Constraint(schema)


def _parse_schema(value: Any) -> Any:
    """Parse a schema, which may be a string."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise error_bodies.engine_error(f"The schema is not JSON: {error}") from error


def to_model_fields(fields: Json, constraint: Constraint | None) -> Json:
    """Return the request's fields with this constraint, or none, in OpenAI's form."""
    if constraint is not None and len(constraint.choices) > 0:
        return fields  # only vLLM has this form
    kept = {
        name: value
        for name, value in fields.items()
        if name not in _FIELDS and not name.startswith("guided_")
    }
    if constraint is None:
        return kept
    json_schema = {"name": "answer", "schema": constraint.schema}
    default = {"type": "json_schema", "json_schema": json_schema}
    return kept | {"response_format": fields.get("response_format", default)}
