"""Complete answers: what Azure's how-tos show, and what each parameter changes."""

import re
from typing import Any

import pytest

from langchain_azure_phi3.emulator import MODELS, Emulator, Generation, Prompt
from tests.unit_tests.emulator.conftest import PASS_THROUGH, QUESTION, Client, MakeClient


def test_azures_sample_gets_azures_answer(client: Client) -> None:
    """The body equals the how-to's, in its order, except for id and time."""
    body = client.post(messages=QUESTION).json()

    assert list(body) == ["id", "object", "created", "model", "choices", "usage"]
    assert (body["object"], body["model"]) == ("chat.completion", "Phi-3-mini-4k-Instruct")
    (choice,) = body["choices"]
    assert list(choice) == ["index", "message", "finish_reason", "logprobs"]
    assert choice["message"]["content"].startswith("As of now, it's estimated that there are about")
    assert choice["message"]["tool_calls"] is None
    assert (choice["finish_reason"], choice["logprobs"]) == ("stop", None)
    assert list(body["usage"].items()) == [
        ("prompt_tokens", 19),
        ("total_tokens", 91),
        ("completion_tokens", 72),
    ]


def test_responders_refuse_in_a_field(make_client: MakeClient) -> None:
    """OpenAI's `refusal`; the answer then has no content, or that before the refusal."""
    client = make_client(responder=lambda _: Generation("", refusal="I cannot do that."))
    message = client.post().json()["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "I cannot do that.")
    deltas = [chunk["choices"][0]["delta"] for chunk in client.chunks()]
    assert "".join(delta.get("refusal", "") for delta in deltas) == "I cannot do that."
    assert sum("refusal" in delta for delta in deltas) > 1


def test_responders_set_details_of_the_usage(make_client: MakeClient) -> None:
    """Next to the counts, in complete answers and at the end of streams."""
    details = {"prompt_tokens_details": {"cached_tokens": 3}}
    client = make_client(responder=lambda _: Generation("Hi.", usage_details=details))
    usage = client.post().json()["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
    assert client.chunks()[-1]["usage"] == usage


def test_ids_depend_on_the_request(client: Client) -> None:
    """Ids are 32 hexadecimal digits."""
    first, again, other = (client.post(text).json()["id"] for text in ("a", "a", "b"))

    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first == again != other


def test_other_prompts_are_described(client: Client) -> None:
    """The answer lists the messages and repeats the last user text."""
    messages = [*QUESTION, {"role": "assistant", "content": "Many."}]
    messages.append({"role": "user", "content": "Name é 🙂."})

    assert client.text(messages=messages) == (
        "I am a scripted stand-in for Phi-3-mini-4k-Instruct. "
        "Messages: 4 (system, user, assistant, user). You said: Name é 🙂."
    )
    assert "(assistant). You said: " in client.text(
        messages=[{"role": "assistant", "content": None}]
    )


def test_tool_turns_are_dropped_by_the_template_of_mini(make_client: MakeClient) -> None:
    """Phi-3-mini's template knows three roles, Phi-3-small's shows any."""
    messages = [{"role": "user", "content": "Hi"}, {"role": "tool", "content": "42"}]

    for model, roles in (
        ("Phi-3-mini-4k-instruct", "user"),
        ("Phi-3-small-8k-instruct", "user, tool"),
    ):
        assert f"({roles})" in make_client(model).text(messages=messages)


def test_serverless_converts_system_messages(make_client: MakeClient) -> None:
    """Phi-3-medium's template drops system messages, so the API converts them."""
    body = make_client("Phi-3-medium-4k-instruct").post(messages=QUESTION).json()

    assert body["usage"]["prompt_tokens"] == 19


def test_limits_end_the_answer(client: Client) -> None:
    """`max_tokens` cuts and counts, and the earliest stop string wins."""
    body = client.post(messages=QUESTION, max_tokens=4).json()
    assert body["choices"][0]["message"]["content"] == "As of now,"
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 4
    choice = client.choice(max_tokens=0)
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    for stop in (" now", [" languages", " now"]):
        choice = client.choice(messages=QUESTION, stop=stop)
        assert (choice["message"]["content"], choice["finish_reason"]) == ("As of", "stop")


def test_models_have_their_own_limits(make_client: MakeClient) -> None:
    """4,096 tokens of output for Phi-3, 16,384 for Phi-4, however long the context."""
    for model, limit in (("Phi-3-mini-128k-instruct", 4096), ("Phi-4", 16_381)):
        body = make_client(model, responder=lambda _: "a " * 20_000).post("a").json()
        assert body["choices"][0]["finish_reason"] == "length"
        assert limit - 5 < body["usage"]["completion_tokens"] <= limit


def test_filtered_answers_break_off(client: Client) -> None:
    """Half the text, the reason, and the findings."""
    choice = client.choice("Please trigger the filter on your answer")

    assert choice["message"]["content"].startswith("I am a scripted")
    assert choice["finish_reason"] == "content_filter"
    results = choice["content_filter_results"]
    assert results["violence"] == {"filtered": True, "severity": "medium"}
    assert results["hate"] == {"filtered": False, "severity": "safe"}


def test_filter_results_can_be_included(make_client: MakeClient) -> None:
    """Azure lists the safe categories too."""
    body = make_client(include_filter_results=True).post().json()

    safe = {"filtered": False, "severity": "safe"}
    (prompt,) = body["prompt_filter_results"]
    assert prompt["prompt_index"] == 0
    assert prompt["content_filter_results"]["self_harm"] == safe
    assert body["choices"][0]["content_filter_results"]["sexual"] == safe


def test_choices_differ_and_are_all_counted(client: Client) -> None:
    """`n` is an extra parameter; each choice has its index."""
    body = client.post(headers=PASS_THROUGH, n=3).json()

    texts = {choice["message"]["content"] for choice in body["choices"]}
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert len(texts) == 3
    assert body["usage"]["completion_tokens"] > 3 * 15


def test_log_probabilities_cover_the_text(client: Client) -> None:
    """One entry for each token, with its bytes and the requested alternatives."""
    choice = client.choice("é", logprobs=True, top_logprobs=2)

    entries = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries) == choice["message"]["content"]
    for entry in entries:
        assert entry["logprob"] <= 0
        assert bytes(entry["bytes"]).decode() == entry["token"]
        first, second = entry["top_logprobs"]
        assert first["token"] == entry["token"]
        assert first["logprob"] > second["logprob"]
    assert client.choice(logprobs=True)["logprobs"]["content"][0]["top_logprobs"] == []


def test_log_probabilities_cover_listed_options(make_client: MakeClient) -> None:
    """Where decoding is constrained to them, they are the alternatives of the one written."""
    cases: Any = (([0, 1, 2], "1"), (["B", "C", "D"], '"C"'))
    for options, text in cases:
        client = make_client(server_type="vllm")
        client.phi.script(text)
        schema = {"type": "json_schema", "json_schema": {"name": "o", "schema": {"enum": options}}}
        choice = client.choice(response_format=schema, logprobs=True, top_logprobs=20)

        assert choice["message"]["content"] == text
        found = [entry["top_logprobs"] for entry in choice["logprobs"]["content"]]
        tokens = [[each["token"] for each in alternatives] for alternatives in found]
        first, *others = map(str, [options[1], options[0], options[2]])
        assert [first, *others] in tokens


def test_json_mode_can_flood_line_feeds(make_client: MakeClient) -> None:
    """What a serverless Phi-3 was seen to do with JSON mode (PhiCookBook#73)."""
    client = make_client(json_mode="flood")

    choice = client.choice(response_format={"type": "json_object"}, max_tokens=50)

    assert (choice["message"]["content"], choice["finish_reason"]) == ("\n" * 50, "length")


def test_scripted_answers_come_first(client: Client) -> None:
    """Word for word and in order; then the responder answers again."""
    client.phi.script("one  \n", "")

    assert [client.text(), client.text(), client.text()[:4]] == ["one  \n", "", "I am"]


def test_responders_get_the_prompt(make_client: MakeClient) -> None:
    """They receive the messages and the parameters, and their text is the answer."""
    prompts: list[Prompt] = []

    def shout(prompt: Prompt) -> str:
        prompts.append(prompt)
        return prompt.last_user_text.upper()

    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert make_client(responder=shout).text(parts, seed=0) == "A\nB"
    assert prompts[0].parameters == {"seed": 0}
    assert prompts[0].model == "Phi-3-mini-4k-Instruct"
    assert not prompts[0].has_reasoning


def test_responders_may_count_tokens(make_client: MakeClient) -> None:
    """A token has at least one character."""
    for text, tokens, counted in (("Four words of text", 9, 9), ("abc", 9, 3)):
        client = make_client(responder=lambda _, t=text, n=tokens: Generation(t, tokens=n))
        body = client.post().json()
        assert body["choices"][0]["message"]["content"] == text
        assert body["usage"]["completion_tokens"] == counted


def test_requests_choose_among_the_models(make_client: MakeClient) -> None:
    """In any case; an unknown name gets the default."""
    client = make_client("Phi-3-mini-4k-instruct", "Phi-4")

    names = [client.post(model=name).json()["model"] for name in ("PHI-4", "gpt", "phi-4")]

    assert names == ["Phi-4", "Phi-3-mini-4k-Instruct", "Phi-4"]


def test_every_model_answers(make_client: MakeClient) -> None:
    """In any spelling; `/info` and the answers agree on the name."""
    for model in MODELS:
        client = make_client(model.name.upper())
        info = client.http.get("/info").json()
        assert info["model_name"].lower() == model.name.lower()
        assert client.post().json()["model"] == info["model_name"]


def test_unknown_models_are_rejected() -> None:
    """The message lists the known ones."""
    with pytest.raises(ValueError, match=r"'Phi-5'.* Phi-3-mini-4k-instruct, .*Phi-4-reasoning"):
        Emulator("Phi-5")


def test_surrogates_do_not_break_the_answer(client: Client) -> None:
    """JSON may hold half a character; UTF-8 may not."""
    body = b'{"messages":[{"role":"user","content":"\\ud83d"}]}'
    headers = {"content-type": "application/json"}
    response = client.http.post("/chat/completions", content=body, headers=headers)

    assert response.json()["choices"][0]["message"]["content"].endswith("You said: ?")


# -- reasoning --


def test_reasoning_begins_the_text(make_client: MakeClient) -> None:
    """In tags, for reasoning models only; JSON follows the tags."""
    for model in ("Phi-4-reasoning", "Phi-4-reasoning-plus", "Phi-4-mini-reasoning"):
        text = make_client(model).text("Where is Rome?")
        reasoning, _, answer = text.removeprefix("<think>\n").partition("\n</think>\n\n")
        assert reasoning.startswith("The user says: Where is Rome?")
        assert answer.startswith("I am a scripted stand-in")
    for place in ("text", "field"):
        message = make_client("Phi-4", reasoning=place).choice()["message"]
        assert message["content"].startswith("I am a scripted stand-in")
        assert "reasoning_content" not in message


def test_reasoning_can_have_its_own_field(make_client: MakeClient) -> None:
    """As with api-version 2025-04-01; streamed before the text, and counted."""
    client = make_client("Phi-4-reasoning", reasoning="field")
    body = client.post("Where is Rome?").json()
    message = body["choices"][0]["message"]
    deltas = [chunk["choices"][0]["delta"] for chunk in client.chunks("Where is Rome?")][1:-1]

    assert message["reasoning_content"].startswith("The user says: Where is Rome?")
    assert message["content"].startswith("I am a scripted stand-in")
    fields = [next(iter(delta)) for delta in deltas]
    assert sorted(fields, reverse=True) == fields
    for field in ("reasoning_content", "content"):
        assert message[field] == "".join(delta.get(field, "") for delta in deltas)
    assert len(deltas) == body["usage"]["completion_tokens"]


def test_limits_end_reasoning(make_client: MakeClient) -> None:
    """Nothing is left for the answer."""
    client = make_client("Phi-4-reasoning", reasoning="field")
    for limit, reasoning in ((0, None), (5, "The user says: ")):
        choice = client.choice(max_tokens=limit)
        assert ("length", "") == (choice["finish_reason"], choice["message"]["content"])
        assert (choice["message"].get("reasoning_content") or "").startswith(reasoning or "")


def test_responders_may_reason(make_client: MakeClient) -> None:
    """They know whether the model does."""

    def reason(prompt: Prompt) -> Generation:
        return Generation(f"{prompt.has_reasoning}", reasoning="Hm.")

    text = make_client("Phi-4-reasoning", responder=reason).text()
    message = make_client("Phi-4", responder=reason, reasoning="field").choice()["message"]

    assert text == "<think>\nHm.\n</think>\n\nTrue"
    assert ("False", "Hm.") == (message["content"], message["reasoning_content"])


def test_scripts_and_filters_keep_reasoning_apart(make_client: MakeClient) -> None:
    """Scripted answers have none; filtered ones keep it."""
    client = make_client("Phi-4-reasoning", reasoning="field")
    client.phi.script("mine")

    assert client.text() == "mine"
    choice = client.choice("Please trigger the filter on your answer")
    assert choice["finish_reason"] == "content_filter"
    assert "reasoning_content" in choice["message"]


# -- counts --


def test_pieces_lose_nothing(client: Client) -> None:
    """Streams of any script join to the text, one token for each piece."""
    for text in ("", "x" * 900, "\n\n\t a  b", "Grüße, 鯨! слон\r\n😀 ", "don't_stop A1 I2B"):
        client.phi.script(text, text)
        *chunks, last = client.chunks()
        pieces = [chunk["choices"][0]["delta"]["content"] for chunk in chunks[1:]]
        assert "".join(pieces) == text == client.text()
        assert "" not in pieces
        assert last["usage"]["completion_tokens"] == len(pieces)
    assert client.post("x" * 900).json()["usage"]["prompt_tokens"] == 3 + 100


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions"])
def test_both_routes_answer(client: Client, path: Any) -> None:
    """The legacy route answers as the other."""
    assert client.post(path=path).status_code == 200
