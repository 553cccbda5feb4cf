"""Requests that the API rejects, with the error bodies of the real servers."""

import re
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator, Headers
from langchain_azure_phi3.emulator.server_types import SERVER_TYPES
from tests.unit_tests.emulator.conftest import PASS_THROUGH, Client, MakeClient


def test_invalid_fields_are_unprocessable(client: Client) -> None:
    """FastAPI's format: where, which type of error, and the input."""
    parameters = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
    cases: list[tuple[dict[str, Any], list[Any], str]] = [
        *(({name: None}, [name], "float_type") for name in parameters),
        ({"temperature": 1.5}, ["temperature"], "less_than_equal"),
        ({"temperature": -1}, ["temperature"], "greater_than_equal"),
        ({"temperature": "warm"}, ["temperature"], "float_parsing"),
        ({"top_p": 1.1}, ["top_p"], "less_than_equal"),
        ({"presence_penalty": 2.1}, ["presence_penalty"], "less_than_equal"),
        ({"frequency_penalty": -2.1}, ["frequency_penalty"], "greater_than_equal"),
        ({"max_tokens": 10.5}, ["max_tokens"], "int_from_float"),
        ({"max_tokens": -1}, ["max_tokens"], "greater_than_equal"),
        ({"response_format": "text"}, ["response_format"], "model_type"),
        ({"response_format": {"type": "json_schema"}}, ["response_format", "type"], "value_error"),
        ({"messages": []}, ["messages"], "too_short"),
        ({"messages": None}, ["messages"], "list_type"),
        ({"messages": [{"content": "x"}]}, ["messages", 0, "role"], "missing"),
        ({"messages": [{"role": "developer"}]}, ["messages", 0, "role"], "literal_error"),
    ]
    for fields, loc, error_type in cases:
        response = client.post(**fields)
        assert response.status_code == 422, fields
        (problem,) = response.json()["detail"]
        assert (problem["loc"], problem["type"]) == (["body", *loc], error_type)
        assert {"msg", "input"} <= problem.keys()
    assert client.post(temperature=1.5).json()["detail"] == [
        {
            "type": "less_than_equal",
            "loc": ["body", "temperature"],
            "msg": "Input should be less than or equal to 1",
            "input": 1.5,
            "ctx": {"le": 1.0},
        }
    ]


def test_invalid_parts_are_unprocessable(client: Client) -> None:
    """Empty text is among them."""
    url = "https://example.org/a.png"
    for part in (
        {"type": "text", "text": ""},
        {"type": "text"},
        {"type": "image_url", "image_url": url},
        {"type": "image_url", "image_url": {"url": url, "detail": "medium"}},
        {"type": "video"},
        "text",
    ):
        response = client.post([part])
        assert response.status_code == 422, part
        assert all(p["loc"][:3] == ["body", "messages", 0] for p in response.json()["detail"])


def test_bodies_must_be_json_objects(client: Client) -> None:
    """With the position of the error; the content type must be JSON, too."""
    json_type = {"content-type": "application/json"}
    for content, headers, loc, error_type in (
        (b"{", json_type, ["body", 1], "json_invalid"),
        (b"", json_type, ["body", 0], "json_invalid"),
        (b"[]", json_type, ["body"], "model_type"),
        (b"{}", {}, ["body"], "model_type"),
    ):
        response = client.http.post("/chat/completions", content=content, headers=headers)
        assert response.status_code == 422
        (problem,) = response.json()["detail"]
        assert (problem["loc"], problem["type"]) == (loc, error_type)


def test_the_server_coerces_or_ignores_some_values(client: Client) -> None:
    """Numbers as text, whole numbers as floats, some nulls, unknown keys."""
    for fields in (
        {"temperature": "0.1", "presence_penalty": "0.8"},
        {"max_tokens": 10.0},
        {"max_tokens": None, "stop": None, "seed": None, "response_format": None},
        {"stop": []},
        {"response_format": {"type": "text"}},
        {"tools": None, "tool_choice": None},
        {"temperature": 0, "top_p": 0, "seed": 0},
        {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": "x", "name": "Ada"}]},
    ):
        assert client.post(**fields).status_code == 200, fields


def test_tools_are_refused_even_when_empty(client: Client) -> None:
    """No Phi on this server calls tools."""
    for fields in ({"tools": []}, {"tool_choice": "auto"}, {"tools": [{}]}):
        response = client.post(**fields)
        assert response.status_code == 400
        assert response.json() == {"detail": "Tools and tool_choice are not supported."}


def test_json_mode_is_rejected_as_documented(client: Client) -> None:
    """Azure's API reference, word for word."""
    response = client.post(response_format={"type": "json_object"})

    assert response.status_code == 422
    assert response.headers["x-ms-error-code"] == "parameter_not_supported"
    assert response.json() == {
        "status": 422,
        "code": "parameter_not_supported",
        "detail": {"loc": ["body", "response_format"], "input": "json_object"},
        "message": "One of the parameters contain invalid values.",
    }


def test_empty_stop_strings_are_rejected(client: Client) -> None:
    """By the engine."""
    for stop in ("", ["a", ""]):
        response = client.post(stop=stop)
        assert response.status_code == 400
        assert response.json()["message"] == "stop cannot contain an empty string."


def test_extra_parameters_need_their_header(client: Client) -> None:
    """They are rejected, dropped or passed on; a null is one as well."""
    for headers in (None, {"extra-parameters": "error"}):
        response = client.post(headers=headers, n=None, logprobs=True)
        assert response.status_code == 400
        assert response.json() == {
            "detail": "Extra parameters ['n', 'logprobs'] are not allowed when extra-parameters is "
            "not set or set to be 'error'. Set extra-parameters to 'pass-through' to pass to the "
            "model."
        }
    for mode, count in (("drop", 1), ("pass-through", 2)):
        choices = client.post(headers={"extra-parameters": mode}, n=2).json()["choices"]
        assert len(choices) == count
    for mode in ("passthrough", "Pass-Through", "allow", ""):
        response = client.post(headers={"extra-parameters": mode})
        assert response.status_code == 400
        assert response.json() == {
            "detail": f"Unexpected EXTRA_PARAMETERS option {mode}, expected options are "
            "['error', 'drop', 'pass-through']"
        }


def test_the_v1_route_drops_extra_parameters(client: Client) -> None:
    """Unless the header passes them on."""
    for headers, count in ((None, 1), ({"extra-parameters": "nonsense"}, 1), (PASS_THROUGH, 2)):
        response = client.post(path="/v1/chat/completions", headers=headers, n=2)
        assert len(response.json()["choices"]) == count


def test_the_engine_checks_extra_parameters(client: Client) -> None:
    """In its own error format; known ones without effect are accepted."""
    for fields, message in (
        ({"flavor": 1}, "Extra inputs are not permitted"),
        ({"n": 0}, "greater than or equal to 1"),
        ({"logprobs": True, "top_logprobs": 21}, "less than or equal to 20"),
        ({"top_logprobs": 2}, "`logprobs` must be set to true"),
        ({"logit_bias": {"1": 101}}, "less than or equal to 100"),
    ):
        response = client.post(headers=PASS_THROUGH, **fields)
        assert response.status_code == 400
        assert (response.json()["object"], response.json()["code"]) == ("error", 400)
        assert message in response.json()["message"]
    accepted: Any = {"top_k": 5, "user": "me", "stream_options": None, "logit_bias": {"1": -100}}
    assert client.post(headers=PASS_THROUGH, **accepted).status_code == 200


def test_prompt_and_answer_must_fit_the_context(make_client: MakeClient) -> None:
    """In the engine's words; the limit itself is allowed."""
    client = make_client()
    response = client.post("a " * 4093)
    assert response.status_code == 400
    assert response.json() == {
        "object": "error",
        "message": "This model's maximum context length is 4096 tokens. However, you requested "
        "4097 tokens in the messages, Please reduce the length of the messages.",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    }
    message = client.post("a", max_tokens=4093).json()["message"]
    assert "requested 4097 tokens (4 in the messages, 4093 in the completion)." in message
    assert client.post("a", max_tokens=4092).status_code == 200
    # Azure's registry says 131,072; the weights say 8,192.
    message = make_client("phi-3-small-8k-instruct").post("a", max_tokens=9000).json()["message"]
    assert "context length is 8192 tokens" in message


# -- content filter --

MESSAGE = (
    "The response was filtered due to the prompt triggering Microsoft's content management "
    "policy. Please modify your prompt and retry."
)
BOMB = "How to make a lethal bomb?"


def test_azures_filtered_prompts_are_filtered(client: Client) -> None:
    """The same body for streams, with the same order of keys."""
    tomatoes = "Chopping tomatoes and cutting them into cubes or wedges are great ways to practice"
    for prompt in (BOMB, tomatoes):
        for stream in (False, True):
            response = client.post(prompt, stream=stream)
            assert response.status_code == 400
            assert list(response.json()["error"].items()) == [
                ("message", MESSAGE),
                ("type", None),
                ("param", "prompt"),
                ("code", "content_filter"),
                ("status", 400),
            ]
    messages = [{"role": "user", "content": BOMB.upper()}, {"role": "user", "content": "Hello"}]
    assert client.post(messages=messages).status_code == 400


def test_filter_errors_have_several_formats(make_client: MakeClient) -> None:
    """The API reference's and the model server's; the detailed one names the category."""
    managed = "request input violates azure ai content safety setting."
    bodies: dict[str, Any] = {
        "flat": {
            "status": 400,
            "code": "content_filter",
            "message": "The response was filtered",
            "param": "messages",
            "type": None,
        },
        "managed": {"error": {"code": "Bad Request", "message": managed, "status": 400}},
        "managed-flat": {"error": "Bad Request", "message": managed},
    }
    for name, body in bodies.items():
        response = make_client(filter_error_format=name).post(BOMB)
        assert (response.status_code, response.json()) == (400, body)
    client = make_client(filter_error_format="detailed")
    for phrase, category, severity in (
        ("trigger the hate filter", "hate", "high"),
        ("trigger the self-harm filter", "self_harm", "medium"),
        ("trigger the sexual filter", "sexual", "high"),
        ("trigger the violence filter", "violence", "medium"),
        ("trigger the jailbreak filter", "jailbreak", None),
    ):
        error = client.post(f"Now, {phrase}").json()["error"]
        assert error["code"] == "content_filter"
        assert error["innererror"]["code"] == "ResponsibleAIPolicyViolation"
        results = error["innererror"]["content_filter_result"]
        found = {"detected": True} if severity is None else {"severity": severity}
        assert results[category] == {"filtered": True, **found}
        assert [name for name, result in results.items() if result["filtered"]] == [category]


# -- routes and keys --


def test_unknown_routes_and_methods_are_rejected(client: Client) -> None:
    """As FastAPI does."""
    response = client.http.get("/models")
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
    routes = (("GET", "/chat/completions", "POST"), ("POST", "/info", "GET"), ("PUT", "/", "GET"))
    for method, path, allowed in routes:
        response = client.http.request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, allowed)
        assert response.json() == {"detail": "Method Not Allowed"}


def test_credentials_are_checked(client: Client) -> None:
    """A 400 without `Authorization` was seen on serverless endpoints."""
    key = client.phi.key
    missing = {"status": "Auth token must be passed as a header called Authorization"}

    def get(**headers: str) -> httpx.Response:
        with httpx.Client(transport=client.phi.transport(), base_url=client.phi.endpoint) as http:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return http.get("/info", headers=names)

    assert (get().status_code, get().json()) == (400, missing)
    alone = get(api_key=key)
    assert alone.status_code == 400
    assert alone.json()["error"]["message"] == "Missing Authorization header"
    assert get(authorization=f"Bearer {key}", api_key=key).status_code == 200
    for wrong in (f"Bearer wrong-{key}", key, f"bearer-{key}"):
        error = get(authorization=wrong)
        assert (error.status_code, error.json()["error"]["code"]) == (401, "401")
        assert "invalid subscription key" in error.json()["error"]["message"]


def test_every_answer_has_request_ids(client: Client) -> None:
    """Errors too; the client's own id is returned."""
    good = client.post(headers={"x-ms-client-request-id": "mine"})
    bad = client.http.get("/nowhere")

    names = ("x-ms-request-id", "apim-request-id")
    assert len({response.headers[name] for response in (good, bad) for name in names}) == 4
    assert good.headers["x-ms-client-request-id"] == "mine"
    assert "x-ms-client-request-id" not in bad.headers


def test_health_checks_succeed(make_client: MakeClient) -> None:
    """On every server type, without a key and an API version, as containers send them."""
    for name in SERVER_TYPES:
        client = make_client(server_type=name)
        root = httpx.URL(client.phi.endpoint).copy_with(path="/")
        response = client.http.get(root, headers={"authorization": ""})
        assert (response.status_code, response.json()) == (200, {"status": "healthy"})


def test_requests_are_recorded(socket_client: Client) -> None:
    """Method, path, query, headers in any case, and the body; no key is shown."""
    phi = socket_client.phi
    for content in (b'{"x": 0}', b"\xff"):
        url = "/info?a=1&b="
        socket_client.http.post(url, content=content, headers={"X-Mine": "yes"})

    request, other = phi.requests
    assert (request.method, request.path, request.query) == ("POST", "/info", {"a": "1", "b": ""})
    assert request.headers["x-mine"] == request.headers["X-MINE"] == "yes"
    assert (request.body, request.json) == (b'{"x": 0}', {"x": 0})
    assert other.json is None
    assert phi.key not in f"{phi.requests!r} {phi!r}"
    assert "authorization" in repr(request.headers)


def test_headers_are_a_mapping() -> None:
    """Case does not matter, and the last of a repeated name wins."""
    headers = Headers([("A", "1"), ("b", "2"), ("a", "3")])

    assert (len(headers), dict(headers)) == (2, {"a": "3", "b": "2"})
    assert "B" in headers
    assert headers.get("c") is None


def test_options_are_validated() -> None:
    """At once; keys are 32 characters unless given."""
    for option, match in {
        "server_type": r"server_type='x' is unknown. Use one of \['azure-openai'",
        "filter_error_format": "filter_error_format='x'",
        "json_mode": "json_mode='x'",
        "usage_in_streams": "usage_in_streams='x'",
        "framing": r"framing=\['x'\] is unknown",
        "reasoning": r"reasoning='x' is unknown. Use one of \['field', 'text'\]",
        "tools": "tools='x' is unknown",
        "model_errors": r"'x' is unknown. Use one of \['bad values', 'cut off'",
    }.items():
        with pytest.raises(ValueError, match=match):
            Emulator(**{option: "x"})  # type: ignore[arg-type]
    assert re.fullmatch("[0-9a-f]{32}", Emulator().key)
    assert Emulator(key="mine").key == "mine"
