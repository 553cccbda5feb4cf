"""Bodies that the API refuses, with the words it refuses them in."""

from collections.abc import Callable
from typing import Any

import pytest

from langchain_azure_phi3.emulator.models import model_named
from tests.unit_tests.emulator.conftest import PASS_THROUGH, Desk


@pytest.mark.parametrize(
    ("fields", "loc", "kind"),
    [
        ({"temperature": None}, ["temperature"], "float_type"),
        ({"top_p": None}, ["top_p"], "float_type"),
        ({"presence_penalty": None}, ["presence_penalty"], "float_type"),
        ({"frequency_penalty": None}, ["frequency_penalty"], "float_type"),
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
        (
            {"messages": [{"role": "developer", "content": "x"}]},
            ["messages", 0, "role"],
            "literal_error",
        ),
    ],
)
def test_a_field_that_does_not_fit_is_unprocessable(
    desk: Desk, fields: dict[str, Any], loc: list[Any], kind: str
) -> None:
    """FastAPI's shape: where, what kind, and what was sent."""
    response = desk.ask(**fields)

    assert response.status_code == 422
    (problem,) = response.json()["detail"]
    assert (problem["loc"], problem["type"]) == (["body", *loc], kind)
    assert {"msg", "input"} <= problem.keys()


def test_a_range_is_named_in_the_refusal(desk: Desk) -> None:
    """With the limit and the value, so that clients can show them."""
    (problem,) = desk.ask(temperature=1.5).json()["detail"]

    assert problem == {
        "type": "less_than_equal",
        "loc": ["body", "temperature"],
        "msg": "Input should be less than or equal to 1",
        "input": 1.5,
        "ctx": {"le": 1.0},
    }


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": ""},
        {"type": "text"},
        {"type": "image_url", "image_url": "https://example.org/a.png"},
        {
            "type": "image_url",
            "image_url": {"url": "https://example.org/a.png", "detail": "medium"},
        },
        {"type": "video"},
        "text",
    ],
)
def test_a_part_that_does_not_fit_is_unprocessable(desk: Desk, part: Any) -> None:
    """Empty text among them."""
    response = desk.ask([part])

    assert response.status_code == 422
    assert all(p["loc"][:3] == ["body", "messages", 0] for p in response.json()["detail"])


@pytest.mark.parametrize(
    ("content", "loc", "kind"),
    [
        (b"{", ["body", 1], "json_invalid"),
        (b"", ["body", 0], "json_invalid"),
        (b"[]", ["body"], "model_type"),
        (b"\xff", ["body", 0], "json_invalid"),
    ],
)
def test_a_body_that_is_no_json_object_is_unprocessable(
    desk: Desk, content: bytes, loc: list[Any], kind: str
) -> None:
    """With the place where reading failed."""
    response = desk.http.post(
        "/chat/completions", content=content, headers={"content-type": "application/json"}
    )

    assert response.status_code == 422
    (problem,) = response.json()["detail"]
    assert (problem["loc"], problem["type"]) == (loc, kind)


def test_a_body_that_does_not_say_that_it_is_json_is_unprocessable(desk: Desk) -> None:
    """Even when it is."""
    response = desk.http.post("/chat/completions", content=b"{}")

    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body"]


@pytest.mark.parametrize(
    "fields",
    [
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
    ],
)
def test_what_the_server_coerces_or_ignores_is_accepted(desk: Desk, fields: dict[str, Any]) -> None:
    """Numbers as text, whole numbers as floats, nulls where they mean nothing, unknown keys."""
    assert desk.ask(**fields).status_code == 200


def test_stream_may_be_written_as_text(desk: Desk) -> None:
    """The server coerces it."""
    assert desk.ask(stream="True").headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("fields", [{"tools": []}, {"tool_choice": "auto"}, {"tools": [{}]}])
def test_tools_are_refused_even_when_empty(desk: Desk, fields: dict[str, Any]) -> None:
    """No Phi on this server calls tools."""
    response = desk.ask(**fields)

    assert response.status_code == 400
    assert response.json() == {"detail": "Tools and tool_choice are not supported."}


def test_json_mode_is_refused_as_documented(desk: Desk) -> None:
    """Azure's API reference, word for word."""
    response = desk.ask(response_format={"type": "json_object"})

    assert response.status_code == 422
    assert response.headers["x-ms-error-code"] == "parameter_not_supported"
    assert response.json() == {
        "status": 422,
        "code": "parameter_not_supported",
        "detail": {"loc": ["body", "response_format"], "input": "json_object"},
        "message": "One of the parameters contain invalid values.",
    }


@pytest.mark.parametrize("stop", ["", ["a", ""]])
def test_an_empty_stop_string_is_a_bad_request(desk: Desk, stop: Any) -> None:
    """The engine's own check."""
    response = desk.ask(stop=stop)

    assert response.status_code == 400
    assert response.json()["message"] == "stop cannot contain an empty string."


@pytest.mark.parametrize("headers", [None, {"extra-parameters": "error"}])
def test_extra_parameters_are_refused_by_default(
    desk: Desk, headers: dict[str, str] | None
) -> None:
    """All are named, and the way to pass them; a null is an extra as well."""
    response = desk.ask(headers=headers, n=None, logprobs=True)

    assert response.status_code == 400
    assert response.json() == {
        "detail": "Extra parameters ['n', 'logprobs'] are not allowed when extra-parameters is not "
        "set or set to be 'error'. Set extra-parameters to 'pass-through' to pass to the model."
    }


def test_extra_parameters_can_be_dropped(desk: Desk) -> None:
    """In silence."""
    assert len(desk.ask(headers={"extra-parameters": "drop"}, n=2).json()["choices"]) == 1


def test_extra_parameters_can_be_passed_through(desk: Desk) -> None:
    """Then they mean something."""
    assert len(desk.ask(headers=PASS_THROUGH, n=2).json()["choices"]) == 2


@pytest.mark.parametrize("mode", ["passthrough", "Pass-Through", "allow", ""])
def test_a_mode_that_does_not_exist_is_refused(desk: Desk, mode: str) -> None:
    """Even without any extra parameter; upper case is another word."""
    response = desk.ask(headers={"extra-parameters": mode})

    assert response.status_code == 400
    assert response.json() == {
        "detail": f"Unexpected EXTRA_PARAMETERS option {mode}, expected options are "
        "['error', 'drop', 'pass-through']"
    }


@pytest.mark.parametrize(
    ("headers", "count"), [(None, 1), ({"extra-parameters": "nonsense"}, 1), (PASS_THROUGH, 2)]
)
def test_the_v1_route_never_refuses_extra_parameters(
    desk: Desk, headers: dict[str, str] | None, count: int
) -> None:
    """They reach the engine only where the header says so."""
    response = desk.ask(path="/v1/chat/completions", headers=headers, n=2)

    assert len(response.json()["choices"]) == count


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"flavour": 1}, "Extra inputs are not permitted"),
        ({"n": 0}, "greater than or equal to 1"),
        ({"logprobs": True, "top_logprobs": 21}, "less than or equal to 20"),
        ({"top_logprobs": 2}, "`logprobs` must be set to true"),
        ({"logit_bias": {"1": 101}}, "less than or equal to 100"),
    ],
)
def test_an_extra_parameter_that_the_engine_refuses_is_a_bad_request(
    desk: Desk, fields: dict[str, Any], words: str
) -> None:
    """In the engine's shape."""
    response = desk.ask(headers=PASS_THROUGH, **fields)

    assert response.status_code == 400
    assert (response.json()["object"], response.json()["code"]) == ("error", 400)
    assert words in response.json()["message"]


def test_known_engine_parameters_without_effect_are_accepted(desk: Desk) -> None:
    """Nulls stand for their defaults there."""
    fields: dict[str, Any] = {
        "top_k": 5,
        "user": "me",
        "stream_options": None,
        "logit_bias": {"1": -100},
    }

    assert desk.ask(headers=PASS_THROUGH, **fields).status_code == 200


def test_a_prompt_that_fills_the_context_is_refused(desk: Desk) -> None:
    """Without `max_tokens` the engine speaks of the messages only."""
    response = desk.ask("a " * 4093)

    assert response.status_code == 400
    assert response.json() == {
        "object": "error",
        "message": "This model's maximum context length is 4096 tokens. However, you requested "
        "4097 tokens in the messages, Please reduce the length of the messages.",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    }


def test_prompt_and_answer_must_fit_together(desk: Desk) -> None:
    """The engine does the sum in its message."""
    message = desk.ask("a", max_tokens=4093).json()["message"]

    assert message.startswith("This model's maximum context length is 4096 tokens. However, you")
    assert "requested 4097 tokens (4 in the messages, 4093 in the completion)." in message


def test_what_just_fits_is_answered(desk: Desk) -> None:
    """The limit itself is allowed."""
    assert desk.ask("a", max_tokens=4092).status_code == 200


def test_the_limits_are_the_catalogues() -> None:
    """Of Phi-3-small-8k Azure's registry says 131,072; its weights say 8,192."""
    assert model_named("phi-3-small-8k-instruct").context == 8192
    assert model_named("Phi-4").max_output == 16_384


def test_an_answer_ends_at_the_models_own_limit(open_desk: Callable[..., Desk]) -> None:
    """4,096 tokens, however long the context."""
    desk = open_desk("Phi-3-mini-128k-instruct", persona=lambda _: "a " * 5000)

    body = desk.ask().json()

    assert body["usage"]["completion_tokens"] == 4096
    assert body["choices"][0]["finish_reason"] == "length"
