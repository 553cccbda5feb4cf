"""Decides which schema constrains a response, and in which parameter it is sent.

Pure. The code that sends the requests stores rejections in `DeploymentFacts`.
"""

from dataclasses import dataclass
from typing import Literal

from langchain_azure_phi3._tools.constraint_schema import constraint_schema, tool_calls_schema
from langchain_azure_phi3._tools.tool_choice import OutputSpec
from langchain_azure_phi3._tools.tool_prompt import is_trained
from langchain_azure_phi3._types import ConstraintForm, Json

ConstrainedDecoding = Literal["auto", "off", "response_format", "guided_json", "structured_outputs"]

Forms = tuple[ConstraintForm, ...]
"""The parameters that one request sends together."""

# Parameters in `model_extras` that set the format, or are the user's own constraint.
_OWN_CONSTRAINTS = frozenset(
    {"response_format", "structured_outputs", "grammar", "json_schema", "lark_grammar"}
    | {"guided_json", "guided_regex", "guided_choice", "guided_grammar"}
)
_ANY_OBJECT: Json = {}


@dataclass(frozen=True, slots=True)
class Constraint:
    """A schema that a response must follow, and how to request that.

    Attributes:
        schema: The JSON schema of the response's text; `{}` for any object.
        attempts: The forms to try, in order: each is for servers that reject the previous ones.
    """

    schema: Json
    attempts: tuple[Forms, ...]


def constraint_fields(forms: Forms, schema: Json) -> Json:
    """Return the payload's fields that constrain a response to a schema."""
    return {form: _field(form, schema) for form in forms}


def _field(form: ConstraintForm, schema: Json) -> Json:
    if form == "guided_json":
        return schema
    if form == "structured_outputs":
        return {"json": schema}
    if schema == _ANY_OBJECT:
        return {"type": "json_object"}
    definition = {"name": "output", "schema": schema, "strict": True}
    return {"type": "json_schema", "json_schema": definition}


def constraint_headers(forms: Forms) -> dict[str, str]:
    """Return the headers that Azure's servers require for these forms."""
    return {} if set(forms) <= {"response_format"} else {"extra-parameters": "pass-through"}


def find_attempts(
    setting: ConstrainedDecoding, endpoint_forms: Forms, *, is_reasoning: bool
) -> tuple[Forms, ...]:
    """Return the forms to try, in order.

    Args:
        setting: The constructor's `constrained_decoding`.
        endpoint_forms: The forms that servers of this type accept; each server accepts one.
        is_reasoning: Whether the model should reason first, which a constraint would prevent.
    """
    if setting == "off":
        return ()
    if setting != "auto":
        return ((setting,),)
    if is_reasoning or not endpoint_forms:
        return ()
    if len(endpoint_forms) == 1:
        return (endpoint_forms,)
    return (endpoint_forms, *((form,) for form in endpoint_forms))


def find_constraint(
    attempts: tuple[Forms, ...],
    output: OutputSpec,
    requested: Json | None,
    payload: Json,
    *,
    tool_format: str,
    takes_json_object: bool,
) -> Constraint | None:
    """Return the constraint of one request; `None` without one.

    Args:
        attempts: The forms to try.
        output: The tools and the format that the prompt requests.
        requested: The schema of the call's argument `constrained_schema`; `{}` for any object.
        payload: The request. If it already has a constraint from the user, nothing is added.
        tool_format: The format in which the model writes tool calls.
        takes_json_object: Whether the server can constrain to any object without endless white
            space.
    """
    if not attempts or not _OWN_CONSTRAINTS.isdisjoint(payload):
        return None
    schema = _schema_of(output, requested, tool_format)
    if schema is None:
        return None
    if schema == _ANY_OBJECT:
        attempts = attempts if takes_json_object and attempts == (("response_format",),) else ()
    return Constraint(schema, attempts) if attempts else None


def _schema_of(output: OutputSpec, requested: Json | None, tool_format: str) -> Json | None:
    """Return a schema that every acceptable response fits; `None` if free text is acceptable."""
    wanted = output.schema if requested is None else requested
    if not output.tools:
        return constraint_schema(wanted) if wanted else wanted
    if wanted == _ANY_OBJECT or (wanted is None and not output.requires_tool_call):
        return None
    named = [tool for tool in output.tools if tool["function"]["name"] == output.choice]
    # As the prompt requests them: an array from models that were trained on it, else one call. If a
    # tool is named, it is one call as well, because weak models would repeat it.
    is_array = is_trained(tool_format) and output.parallel is not False and not named
    return tool_calls_schema(
        named or output.tools,
        parallel=is_array,
        alternative=None if output.requires_tool_call else wanted,
    )
