"""Routes, keys and headers: everything before the body matters."""

import re
from collections.abc import Callable

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator, Headers
from tests.unit_tests.emulator.conftest import Desk


def test_an_unknown_path_is_not_found(desk: Desk) -> None:
    """FastAPI's words."""
    response = desk.http.get("/models")

    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/chat/completions", "POST"), ("POST", "/info", "GET"), ("PUT", "/", "GET")],
)
def test_a_wrong_method_is_refused(desk: Desk, method: str, path: str, allowed: str) -> None:
    """And the right one is named."""
    response = desk.http.request(method, path)

    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert response.json() == {"detail": "Method Not Allowed"}


@pytest.mark.parametrize("path", ["/info", "/chat/completions"])
def test_no_credential_is_a_bad_request(desk: Desk, path: str) -> None:
    """A 400, not a 401, was seen on serverless endpoints."""
    response = httpx.request("POST" if "chat" in path else "GET", desk.phi.endpoint + path)

    assert response.status_code == 400
    assert response.json() == {
        "status": "Auth token must be passed as a header called Authorization"
    }


def test_an_api_key_alone_is_a_missing_authorization(desk: Desk) -> None:
    """Serverless endpoints read `Authorization` only."""
    response = httpx.get(f"{desk.phi.endpoint}/info", headers={"api-key": desk.phi.key})

    assert response.status_code == 400
    assert response.json()["error"]["message"] == "Missing Authorization header"


def test_both_headers_together_are_welcome(desk: Desk) -> None:
    """As Azure's own client sends them."""
    assert desk.http.get("/info", headers={"api-key": desk.phi.key}).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer wrong-", "", "bearer-"])
def test_a_wrong_key_is_unauthorized(desk: Desk, scheme: str) -> None:
    """Another key, a key without its scheme, another scheme."""
    headers = {"authorization": f"{scheme}{desk.phi.key}"}
    response = httpx.get(f"{desk.phi.endpoint}/info", headers=headers)

    assert response.status_code == 401
    assert response.json()["error"]["code"] == "401"
    assert "invalid subscription key" in response.json()["error"]["message"]


def test_info_is_azures(desk: Desk) -> None:
    """The how-to's three fields, in its order."""
    assert list(desk.http.get("/info?api-version=2024-05-01-preview").json().items()) == [
        ("model_name", "Phi-3-mini-4k-Instruct"),
        ("model_type", "chat-completions"),
        ("model_provider_name", "Microsoft"),
    ]


def test_the_root_says_that_it_is_healthy(desk: Desk) -> None:
    """To anybody."""
    assert httpx.get(desk.phi.endpoint).json() == {"status": "healthy"}


def test_every_answer_has_request_ids(desk: Desk) -> None:
    """Errors too; the client's own id comes back."""
    good = desk.ask(headers={"x-ms-client-request-id": "mine"})
    bad = desk.http.get("/nowhere")

    ids = {
        response.headers[name]
        for response in (good, bad)
        for name in ("x-ms-request-id", "apim-request-id")
    }
    assert len(ids) == 4
    assert good.headers["x-ms-client-request-id"] == "mine"
    assert "x-ms-client-request-id" not in bad.headers


def test_requests_are_recorded_as_they_arrived(desk: Desk) -> None:
    """Method, path, query, headers in any case, and the body."""
    desk.http.post("/info?a=1&b=", content=b'{"x": 0}', headers={"X-Mine": "yes"})

    (request,) = desk.phi.requests
    assert (request.method, request.path, request.query) == ("POST", "/info", {"a": "1", "b": ""})
    assert request.headers["x-mine"] == request.headers["X-MINE"] == "yes"
    assert (request.body, request.json) == (b'{"x": 0}', {"x": 0})


def test_a_body_that_is_no_json_has_none(desk: Desk) -> None:
    """The bytes remain."""
    desk.http.post("/info", content=b"\xff")

    assert desk.phi.requests[0].json is None


def test_a_recorded_request_does_not_show_its_key(desk: Desk) -> None:
    """It may end up in a failed assertion's output."""
    desk.http.get("/info")

    assert desk.phi.key not in repr(desk.phi.requests)
    assert desk.phi.key not in repr(desk.phi)
    assert "authorization" in repr(desk.phi.requests[0].headers)


def test_headers_are_a_mapping() -> None:
    """Case never matters, and the last of a repeated name wins."""
    headers = Headers([("A", "1"), ("b", "2"), ("a", "3")])

    assert (len(headers), dict(headers)) == (2, {"a": "3", "b": "2"})
    assert "B" in headers
    assert headers.get("c") is None


def test_the_key_is_32_characters_unless_given(open_desk: Callable[..., Desk]) -> None:
    """As Azure's are."""
    assert re.fullmatch("[0-9a-f]{32}", Emulator().key)
    assert open_desk(key="mine").http.headers["authorization"] == "Bearer mine"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dialect": "x"}, r"dialect='x' is unknown; use one of \['azure-openai'"),
        ({"safety": "x"}, "safety='x'"),
        ({"json_mode": "x"}, "json_mode='x'"),
        ({"usage_in_streams": "x"}, "usage_in_streams='x'"),
        ({"framing": "x"}, r"framing \['x'\] is unknown"),
    ],
)
def test_an_unknown_option_is_refused_with_the_known_ones(
    options: dict[str, str], match: str
) -> None:
    """At once, not when it first matters."""
    with pytest.raises(ValueError, match=match):
        Emulator(**options)  # type: ignore[arg-type]
