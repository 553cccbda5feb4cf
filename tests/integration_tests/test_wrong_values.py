"""Values that cannot be right, and what the error says about them."""

from typing import Any

import pytest

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.errors import InvalidInputError

ENDPOINT = "https://phi.eastus2.models.ai.azure.com"

# Arguments, values, and what the message says about both.
SETTINGS: tuple[tuple[str, Any, str], ...] = (
    ("timeout", "30 seconds", "timeout must be a number of seconds, .* not '30 seconds'"),
    ("timeout", -1, r"timeout must be .* above 0 .*, not -1"),
    ("timeout", (5, 0), r"timeout must be .*, not \(5, 0\)"),
    ("timeout", True, r"timeout must be .*, not True"),
    ("temperature", "warm", "temperature must be a valid number, not 'warm'"),
    ("temperature", False, "temperature must be a number, not False"),
    ("max_tokens", True, "max_tokens must be a number, not True"),
    ("max_tokens", 99.5, r"max_tokens must be a valid integer, not 99\.5"),
    ("n", 0, "n must be at least 1, not 0"),
    ("stop", ["###", ""], r"stop\[1\] must have at least 1 character, not ''"),
    ("logit_bias", {"50256": "low"}, r"logit_bias\['50256'\] must be a valid number, not 'low'"),
    ("reasoning", "high", "reasoning must be 'auto', 'on' or 'off', not 'high'"),
    ("tokenizer", 7, "tokenizer must be a path or an object with an encode method, not 7"),
    ("rate_limiter", 10, "rate_limiter must be an instance of BaseRateLimiter, not 10"),
    ("profile", "Phi-4", "profile must be a valid dictionary, not 'Phi-4'"),
)


def make_model(**settings: Any) -> ChatAzurePhi3:
    """A model of a serverless API."""
    return ChatAzurePhi3(**{"endpoint": ENDPOINT, "credential": "key", **settings})


def test_wrong_settings_are_shown_with_their_values() -> None:
    """In the constructor, in `model_copy`, and in an assignment, as one sentence."""
    for name, value, expected in SETTINGS:
        with pytest.raises(InvalidInputError, match=f"arguments: {expected}\\.$"):
            make_model(**{name: value})
        if name == "profile":  # one of LangChain's settings, which it validates itself
            continue
        with pytest.raises(InvalidInputError, match=expected):
            make_model().model_copy(update={name: value})
        with pytest.raises(InvalidInputError, match=expected):
            setattr(make_model(), name, value)


def test_wrong_parameters_of_calls_are_shown_with_their_values() -> None:
    """By the same rules."""
    for name, value, expected in SETTINGS:
        if name in ("temperature", "max_tokens", "n", "stop", "logit_bias"):
            with pytest.raises(InvalidInputError, match=f"{expected}\\.$"):
                make_model().invoke("Hi", **{name: value})


def test_settings_that_may_hold_keys_are_not_shown() -> None:
    """Only their types are."""
    for name, value, expected in (
        ("endpoint", ["canary-0123"], "endpoint must be a valid string, not list"),
        ("default_headers", "api-key: canary-0123", "must be a valid dictionary, not str"),
        ("default_headers", {"api-key": ["canary-0"]}, r"default_headers\['api-key'\] must be"),
        ("model_extras", ["canary-0123"], "model_extras must be a valid dictionary, not list"),
    ):
        with pytest.raises(InvalidInputError, match=expected) as caught:
            make_model(**{name: value})
        assert "canary" not in str(caught.value)


def test_long_values_are_shortened() -> None:
    """A message is to be read."""
    with pytest.raises(InvalidInputError) as caught:
        make_model(max_tokens="many " * 1_000)
    assert len(str(caught.value)) < 200


def test_one_scope_needs_no_list() -> None:
    """A text is a sequence of texts for type checkers."""
    assert make_model(credential_scopes="api://phi/.default").credential_scopes == [
        "api://phi/.default"
    ]


def test_positional_arguments_are_named() -> None:
    """After the class that was called, without the value."""

    class OwnPhi(ChatAzurePhi3):
        pass

    for model in (ChatAzurePhi3, OwnPhi):
        with pytest.raises(TypeError, match=rf"^{model.__name__} takes no .* model='") as caught:
            model("canary")  # type: ignore[misc, call-arg]
        assert "canary" not in str(caught.value)
