"""JSON strict in what is sent, forgiving in what is read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3 import InvalidInputError
from langchain_azure_phi3._http.json_codec import decode, decode_lenient, encode

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
GUIDE = (
    b"\nPlease check this guide to understand why this error code might have been returned \n"
    b"https://docs.microsoft.com/en-us/azure/machine-learning/how-to-troubleshoot"
)


def loop() -> dict[str, Any]:
    """An object that holds itself."""
    found: dict[str, Any] = {}
    found["self"] = found
    return found


def test_nan_and_infinity_are_refused() -> None:
    """Python would write `NaN`, which servers answer with a riddle."""
    for value in [float("nan"), float("inf"), -float("inf")]:
        for place in ["plain", "list", "nested"]:
            held = {"plain": value, "list": [1.0, value], "nested": {"50256": ({"x": value},)}}[
                place
            ]
            with pytest.raises(InvalidInputError, match="NaN and infinity cannot be sent"):
                encode({"messages": [], "temperature": held})


def test_values_that_are_not_json_are_refused() -> None:
    """Half of a surrogate pair, an object in itself, any Python object."""
    for payload in [
        {"messages": [{"content": "half \ud83d"}]},
        {"messages": [{"content": loop()}]},
        {"logit_bias": loop()},
        {"x": object()},
        {"x": {1: object}},
    ]:
        with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
            encode(payload)


def test_zeros_and_false_are_sent() -> None:
    """Zero is an answer."""
    payload = {"temperature": 0, "top_p": 0.0, "seed": 0, "logprobs": False, "stop": "", "n": None}
    assert encode(payload) == (
        b'{"temperature":0,"top_p":0.0,"seed":0,"logprobs":false,"stop":"","n":null}'
    )


def test_characters_are_sent_as_utf_8() -> None:
    """Without escapes: fewer bytes, and every server reads them."""
    assert encode({"x": "Grüße 😀"}) == '{"x":"Grüße 😀"}'.encode()


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_encoding_keeps_every_value(payload: dict[str, Any]) -> None:
    """Read back by Python's own reader."""
    assert json.loads(encode(payload)) == payload


@given(JSON)
def test_decoding_keeps_every_value(value: Any) -> None:
    """Written by Python's own writer, escaped or not, after a byte order mark or not."""
    for escaped in (True, False):
        content = json.dumps(value, ensure_ascii=escaped).encode()
        assert decode(content) == value
        assert decode(b"\xef\xbb\xbf" + content) == value


def test_half_a_character_costs_one_character() -> None:
    """A model's token may end in the middle of one."""
    for content, value in [
        (rb'"\ud83d\ude00"', "😀"),
        (rb'"\ud83d"', "\ufffd"),
        (rb'"a\ude00b"', "a\ufffdb"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (b'"a\xffb"', "a\ufffdb"),
        (b'"\xf0\x9f"', "\ufffd"),
    ]:
        assert decode(content) == value


def test_invalid_json_is_a_value_error() -> None:
    """Never a RecursionError."""
    for content in [b"", b"{", b"[DONE]", b"hello", b"\xff", b"[" * 100_000]:
        with pytest.raises(ValueError):  # noqa: PT011 -- that it is one is all
            decode(content)


def test_lenient_decoding_finds_the_first_value() -> None:
    """AML's front ends append a guide's address to the JSON of an error."""
    for content, value in [
        (b'{"error": {"code": 1}}' + GUIDE, {"error": {"code": 1}}),
        (b'[{"a": 1}]' + GUIDE, [{"a": 1}]),
        (b' {"a": "\xff"} trailing', {"a": "\ufffd"}),
        (b"busy" + GUIDE, ("busy" + GUIDE.decode())),
        (b"  NOT FOUND \n", "NOT FOUND"),
        (b"1 validation error", "1 validation error"),
        (b"{broken", "{broken"),
        (b"[DONE]", "[DONE]"),
        (b"", ""),
        (b"[" * 5000, "[" * 5000),
    ]:
        assert decode_lenient(content) == value


@given(st.binary(max_size=80))
def test_lenient_decoding_takes_any_bytes(content: bytes) -> None:
    """A failed response may hold anything."""
    found = decode_lenient(content)
    again = decode_lenient(json.dumps(found).encode())
    assert again == found or "NaN" in json.dumps(found)
