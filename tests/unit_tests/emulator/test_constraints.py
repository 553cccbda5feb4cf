"""Constrained decoding: what each server does with a schema in the request."""

import json
import re
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator, Generation
from tests.unit_tests.emulator.conftest import PASS_THROUGH, Client, Json, MakeClient

CITY: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer", "minimum": 5}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY}}
FORMS: dict[str, Json] = {
    "json_object": {"response_format": {"type": "json_object"}},
    "json_schema": {"response_format": FORMAT},
    "guided_json": {"guided_json": CITY},
    "structured_outputs": {"structured_outputs": {"json": CITY}},
}
MINIMAL = {"city": "city", "people": 5}

# What each path does with the four forms: an object or one that fits, free text, or an error.
OBJECT, FITS, FREE = '{"answer": "answer"}', '{"city": "city", "people": 5}', "free"
NOT_KNOWN = "extra_forbidden"
ONLY_OBJECT = "type must be either 'text' or 'json_object'"
NOT_SUPPORTED = "parameter_not_supported"
OWN = (OBJECT, FITS, FREE, FREE)
AZURE = (NOT_SUPPORTED, ONLY_OBJECT, FREE, NOT_KNOWN)
PATHS = {
    ("managed-2024-06", "/chat/completions"): (OBJECT, ONLY_OBJECT, FITS, NOT_KNOWN),
    ("managed-2025-01", "/chat/completions"): (OBJECT, ONLY_OBJECT, FITS, NOT_KNOWN),
    ("managed-2026-07", "/chat/completions"): (OBJECT, ONLY_OBJECT, FREE, FITS),
    ("managed-2026-07", "/v1/chat/completions"): (OBJECT, ONLY_OBJECT, FREE, FITS),
    ("foundation-model-serve", "/v1/chat/completions"): (OBJECT, FITS, FREE, FITS),
    ("vllm", "/v1/chat/completions"): (OBJECT, FITS, FREE, FITS),
    ("llama.cpp", "/v1/chat/completions"): OWN,
    ("ollama", "/v1/chat/completions"): OWN,
    ("openai-server", "/v1/chat/completions"): OWN,
    ("serverless", "/chat/completions"): AZURE,
    ("foundry", "/models/chat/completions?api-version=2024-05-01-preview"): AZURE,
    ("openai-v1", "/openai/v1/chat/completions"): AZURE,
}


def connect(**options: Any) -> tuple[Emulator, httpx.Client]:
    """An emulator, and a client for all its paths."""
    phi = Emulator("Phi-4", **options)
    headers = {"authorization": f"Bearer {phi.key}"}
    transport = phi.transport()
    return phi, httpx.Client(base_url="http://phi", headers=headers, transport=transport)


def result_of(client: httpx.Client, path: str, fields: Json, headers: Json = PASS_THROUGH) -> str:
    """The text of the answer, `FREE` for an unconstrained one, or the error."""
    body = {"model": "Phi-4", "messages": [{"role": "user", "content": "Hello"}], **fields}
    response = client.post(path, json=body, headers=headers)
    if response.status_code != 200:
        return response.text
    text: str = response.json()["choices"][0]["message"]["content"]
    return FREE if text.startswith("I am a scripted") else text


def test_each_server_has_its_own_constraints() -> None:
    """As observed on Azure's model servers and llama.cpp, and read of the others."""
    for (server_type, path), expected in PATHS.items():
        _, client = connect(server_type=server_type)
        for (form, fields), outcome in zip(FORMS.items(), expected, strict=True):
            found = result_of(client, path, fields)
            is_error = outcome in (NOT_KNOWN, ONLY_OBJECT, NOT_SUPPORTED)
            assert outcome in found if is_error else outcome == found, (server_type, form)


def test_rejections_have_their_servers_form() -> None:
    """The older engine's error is wrapped from version 0.2.16 on; the gateway sends a 424."""
    wrapped = {"managed-2024-06": False, "managed-2025-01": True}
    for server_type, is_wrapped in wrapped.items():
        _, client = connect(server_type=server_type)
        body = {"messages": [{"role": "user", "content": "Hi"}], **FORMS["structured_outputs"]}
        response = client.post("/chat/completions", json=body, headers=PASS_THROUGH)

        assert response.status_code == 424
        assert response.headers["ms-azureml-model-error-statuscode"] == "400"
        error = json.loads(response.text.partition("\n")[0])
        if is_wrapped:
            error = json.loads(error["error"]["message"])
        assert error["object"] == "error"
        assert "'loc': ('body', 'structured_outputs')" in error["message"]


def test_extra_parameters_need_their_header() -> None:
    """Without it the strict path rejects them, and the lenient one drops them."""
    for server_type in ("managed-2024-06", "managed-2025-01", "managed-2026-07"):
        _, client = connect(server_type=server_type)
        for form in ("guided_json", "structured_outputs"):
            error = result_of(client, "/chat/completions", FORMS[form], {})
            assert f"Extra parameters ['{form}'] are not allowed" in error
    for headers, outcome in (({}, FREE), (PASS_THROUGH, FITS)):
        fields = FORMS["structured_outputs"]
        assert outcome == result_of(client, "/v1/chat/completions", fields, headers)


def test_score_forwards_no_constraint() -> None:
    """On no version of the model server."""
    for server_type in ("managed-2024-05", "managed-2024-06", "managed-2026-07"):
        _, client = connect(server_type=server_type)
        for fields in FORMS.values():
            messages = [{"role": "user", "content": "Hello"}]
            data = {"input_string": messages, "parameters": fields}
            answer = client.post("/score", json={"input_data": data}, headers=PASS_THROUGH).json()
            assert answer["output"].startswith("I am a scripted")


def test_behavior_can_be_overridden() -> None:
    """Comply on Foundry, ignore on vLLM, reject on both."""
    for server_type, path in (
        ("foundry", "/models/chat/completions?api-version=2024-05-01-preview"),
        ("vllm", "/v1/chat/completions"),
    ):
        for mode, expected in (
            ("enforce", (OBJECT, FITS, FITS, FITS)),
            ("ignore", (FREE, FREE, FREE, FREE)),
            ("reject", (NOT_SUPPORTED, ONLY_OBJECT, NOT_KNOWN, NOT_KNOWN)),
        ):
            _, client = connect(server_type=server_type, constrained_decoding=mode)
            for fields, outcome in zip(FORMS.values(), expected, strict=True):
                found = result_of(client, path, fields)
                is_accepted = outcome in (OBJECT, FITS, FREE)
                assert outcome == found if is_accepted else outcome in found, (mode, fields)


@pytest.fixture
def constrained(make_client: MakeClient) -> Client:
    """A server that enforces `guided_json`."""
    return make_client("Phi-4", constrained_decoding="enforce")


def test_answers_that_fit_are_kept(constrained: Client) -> None:
    """As written; of other texts, the first object that fits."""
    fitting = '{"people": 7, "city": "Rome"}'
    for scripted, expected in (
        (f" {fitting}\n", f" {fitting}\n"),
        (f"Here: {{}} ```json\n{fitting}\n```", fitting),
        ("No idea.", json.dumps(MINIMAL)),
        ('{"city": "Rome", "people": 4}', json.dumps(MINIMAL)),
        ("", json.dumps(MINIMAL)),
    ):
        constrained.phi.script(scripted)
        assert constrained.text(guided_json=CITY) == expected


def test_models_cannot_err_in_constrained_answers(constrained: Client) -> None:
    """Except that an answer may be cut off."""
    for name in ("prose", "schema echo", "wrong types", "bad values", "single quotes", "empty"):
        constrained.phi.inject_model_error(name)
        assert json.loads(constrained.text(guided_json=CITY)) == MINIMAL, name
    cut = constrained.choice(guided_json=CITY, max_tokens=4)
    assert (cut["finish_reason"], cut["message"]["content"]) == ("length", '{"city"')


def test_minimal_values_follow_the_schema(constrained: Client) -> None:
    """In the order of the properties."""
    node: Json = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["next"],
    }
    listed = {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 3}
    schema = {
        "$defs": {"node": node},
        "type": "object",
        "properties": {
            "list": {"$ref": "#/$defs/node"},
            "unit": {"const": "km"},
            "choices": listed,
            "code": {"type": "string", "minLength": 8, "maxLength": 9},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
            "open": {"type": ["boolean", "null"]},
            "note": {"type": "string"},
        },
        "required": ["list", "unit", "choices", "code", "share", "open"],
    }
    value = json.loads(constrained.text(guided_json=schema))

    assert list(value) == schema["required"]
    assert (value["unit"], value["choices"], value["open"]) == ("km", ["a", "a"], False)
    assert len(value["code"]) == 8
    assert 0 < value["share"] <= 0.5
    levels = 0
    while value["list"] is not None:
        levels, value = levels + 1, {"list": value["list"]["next"]}
    assert 0 < levels < 10


def test_texts_match_their_patterns(constrained: Client) -> None:
    """Except for those with look-around and such, and those that are too long."""
    for pattern in (
        r"^[A-Z]{2}\d{3}$",
        r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[1-2][0-9]|3[0-1])$",
        r"^[^\x00- \"@\\\x7f]+@[^a@]+$",
        r"^(?:ab|cd)+?[^a]\W\s\D.[\s]$",
        "^[^aA0]?[^aA0]x*$",
    ):
        schema = {"type": "string", "pattern": pattern}
        text = json.loads(constrained.text(guided_json=schema))
        assert re.search(pattern, text), pattern
    for pattern in ("[[a]b]", "^(?=a)a$", r"^(a)\1$", "^a{2000}$"):
        schema = {"type": "string", "pattern": pattern}
        assert json.loads(constrained.text(guided_json=schema)) == "text"


def test_values_fit_combined_schemas(constrained: Client) -> None:
    """A branch with its siblings, and required keys without a property."""
    text, number = {"type": "string"}, {"type": "integer"}
    for schema, value in (
        (
            {"type": "object", "properties": {"id": number}, "anyOf": [{"required": ["id"]}]},
            {"id": 1},
        ),
        ({"type": "object", "properties": {}, "required": ["a"]}, {"a": "a"}),
        ({"properties": {"b": text, "a": number}, "required": ["a", "b"]}, {"b": "b", "a": 1}),
    ):
        found = json.loads(constrained.text(guided_json=schema))
        assert list(found.items()) == list(value.items())


def test_streams_are_constrained(constrained: Client) -> None:
    """Chunk by chunk the same text."""
    constrained.phi.script("No idea.")
    chunks = constrained.chunks(guided_json=CITY)

    deltas = [chunk["choices"][0]["delta"]["content"] for chunk in chunks]
    assert json.loads("".join(deltas)) == MINIMAL


def test_choices_are_enforced(constrained: Client) -> None:
    """In either of vLLM's spellings."""
    for fields in (
        {"guided_choice": ["yes", "no"]},
        {"structured_outputs": {"choice": ["yes", "no"]}},
    ):
        constrained.phi.script("no", "Perhaps.")
        assert [constrained.text(**fields), constrained.text(**fields)] == ["no", "yes"]


def test_llama_cpp_accepts_a_schema_in_json_mode() -> None:
    """As an extension of OpenAI's format."""
    _, client = connect(server_type="llama.cpp")

    fields = {"response_format": {"type": "json_object", "schema": CITY}}
    assert result_of(client, "/v1/chat/completions", fields) == FITS


def test_invalid_schemas_are_rejected(constrained: Client) -> None:
    """With the reason."""
    for fields, reason in (
        ({"guided_json": {"type": "record"}}, "record"),
        ({"guided_json": "{"}, "not JSON"),
        ({"structured_outputs": {"json": {"$ref": "#/$defs/missing"}}}, "missing"),
        ({"guided_json": {"$ref": "http://127.0.0.1:1/schema.json"}}, "not part of the schema"),
        ({"guided_json": 5}, "5"),
        ({"response_format": {"type": "json_schema"}}, "schema is missing"),
    ):
        response = constrained.post(headers=PASS_THROUGH, **fields)
        assert response.status_code == 400
        assert reason in response.json()["message"]


def test_constraints_forbid_unparsed_reasoning(make_client: MakeClient) -> None:
    """Only a server that parses reasoning constrains what follows it."""

    def think(_: Any) -> Generation:
        return Generation("No idea.", reasoning="Let me think.")

    for place in ("text", "field"):
        options: Json = {"reasoning": place, "constrained_decoding": "enforce"}
        message = make_client("Phi-4-reasoning", responder=think, **options).choice(
            guided_json=CITY
        )["message"]
        assert json.loads(message["content"]) == MINIMAL
        assert message.get("reasoning_content") == ("Let me think." if place == "field" else None)
