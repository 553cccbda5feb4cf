"""Decisions with probabilities, alone and in LangChain's middleware."""

import math
from typing import Any

import pytest

pytest.importorskip("langchain_core.decisions", reason="langchain-core before 1.8 has none")

from langchain.agents import create_agent
from langchain.agents.middleware import AutoModeMiddleware, ModelChoice, ModelRouterMiddleware
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.decisions import (
    Box,
    Choice,
    ClassifierRequest,
    ClassifierResponse,
    Noul,
    NoulCriteria,
    Score,
)
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from langchain_azure_phi3 import (
    BadRequestError,
    ChatAzurePhi3,
    InvalidInputError,
    InvalidResponseError,
    PhiDecisions,
    RefusalError,
)
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.test_server_types import LOGPROBS, SERVERS, connect
from tests.scripted_server import Json, scripted_server
from tests.unit_tests.images import data_url, png_of

CHAT = "Phi-4-mini-instruct"
URGENT = Noul(instructions="Is the message urgent?")
TEAM = Choice(
    instructions="Which team should handle the message?",
    criteria={"billing": "Payments and invoices.", "technical": "Errors.", "other": None},
)
ANGER = Score(instructions="How angry is the author?", criteria=["calm", "annoyed", "furious"])
MESSAGE = "Production is down. Please help immediately."


def requesting(state: Any, **questions: Any) -> ClassifierRequest:
    """A request with questions by name."""
    return {"state": state, "questions": questions}


async def decide(
    decisions: PhiDecisions, mode: str, request: ClassifierRequest
) -> ClassifierResponse:
    """The response, sync or async."""
    if mode == "invoke":
        return decisions.invoke(request)
    return await decisions.ainvoke(request)


MODES = ("invoke", "ainvoke")


def decisions_of(phi: Emulator, **settings: Any) -> PhiDecisions:
    """Decisions by an emulated model."""
    return PhiDecisions(
        chat_model=ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **settings)
    )


def token(text: str, logprob: Any, *alternatives: tuple[str, Any]) -> Json:
    """A generated token, as OpenAI's API returns it."""
    others = [{"token": text, "logprob": logprob} for text, logprob in alternatives]
    return {"token": text, "logprob": logprob, "top_logprobs": others}


def answered(*tokens: Json) -> Json:
    """The choice of a response with these tokens."""
    text = "".join(each["token"] for each in tokens)
    return {"message": {"content": text}, "logprobs": {"content": list(tokens)}}


def ask_server(answer: Any, question: Any = URGENT, **settings: Any) -> ClassifierResponse:
    """The response of a server that always gives this answer."""
    with scripted_server(lambda _: answer) as server:
        chat_model = ChatAzurePhi3(endpoint=f"{server.url}/v1", credential="", max_retries=0)
        decisions = PhiDecisions(chat_model=chat_model, **settings)
        return decisions.invoke(requesting(MESSAGE, question=question))


@pytest.mark.parametrize("streaming", [False, True])
async def test_answers_have_probabilities_of_all_options(streaming: bool) -> None:
    """The option that the model writes is the most likely one."""
    with Emulator(CHAT, server_type="openai-server") as phi:
        decisions = decisions_of(phi, streaming=streaming)
        for mode in MODES:
            phi.script("1", "1", "2")
            response = await decide(
                decisions, mode, requesting(MESSAGE, urgent=URGENT, team=TEAM, anger=ANGER)
            )

            assert 0.5 < response.nouls["urgent"].noul < 1
            team = response.choices["team"]
            assert list(team.probabilities) == ["billing", "technical", "other"]
            assert sum(team.probabilities.values()) == pytest.approx(1)
            assert team.choice == "technical"
            assert team.confidence == max(team.probabilities.values()) < 1
            anger = response.scores["anger"]
            assert anger.legend == {0: "calm", 1: "annoyed", 2: "furious"}
            assert sum(anger.probabilities.values()) == pytest.approx(1)
            expected = sum(level * share for level, share in anger.probabilities.items())
            assert anger.score == pytest.approx(expected)
            assert anger.confidence == anger.probabilities[2] < 1


async def test_no_is_the_other_answer() -> None:
    """Its probability is 1 minus that of yes."""
    with Emulator(CHAT, server_type="openai-server") as phi:
        phi.script("0")
        response = decisions_of(phi).invoke(requesting(MESSAGE, urgent=URGENT))

        assert 0 < response.nouls["urgent"].noul < 0.5


async def test_each_question_is_one_short_request() -> None:
    """For a label, with log-probabilities, constrained to the labels."""
    with Emulator(CHAT, server_type="openai-server") as phi:
        decisions = decisions_of(phi, stop=["1"], temperature=1, max_tokens=500)
        for mode in MODES:
            before = len(phi.requests)
            await decide(decisions, mode, requesting(MESSAGE, urgent=URGENT, team=TEAM))

            payloads = [request.json for request in phi.requests[before:]]
            assert [p["response_format"]["json_schema"]["schema"] for p in payloads] == [
                {"enum": [0, 1]},
                {"enum": [0, 1, 2]},
            ]
            for payload in payloads:
                assert (payload["logprobs"], payload["top_logprobs"]) == (True, 20)
                assert (payload["temperature"], payload["max_tokens"]) == (0, 8)
                assert "stop" not in payload


def test_prompt_holds_state_question_and_options() -> None:
    """The state comes first, so that servers can reuse it for the next question."""
    criteria = NoulCriteria(true="An outage.", false={"examples": ["thanks"]})
    with Emulator(CHAT, server_type="openai-server") as phi:
        noul = Noul(instructions="Is it urgent?", criteria=criteria)
        decisions_of(phi).invoke(requesting(HumanMessage(MESSAGE), noul=noul, team=TEAM))

        system, user = phi.requests[0].json["messages"]
        assert "data" in system["content"]
        assert user["content"] == (
            f"State:\n{MESSAGE}\n\nQuestion: Is it urgent?\n\nOptions:\n"
            '0. No: {"examples": ["thanks"]}\n1. Yes: An outage.\n\nAnswer with one of: 0, 1'
        )
        assert (
            "0. billing: Payments and invoices.\n" in phi.requests[1].json["messages"][1]["content"]
        )
        assert "\n2. other\n" in phi.requests[1].json["messages"][1]["content"]


def test_state_may_hold_messages_at_any_depth() -> None:
    """With their roles, tool calls and results."""
    call = {"name": "delete", "args": {"path": "a.txt"}, "id": "1", "type": "tool_call"}
    state = {
        "messages": [
            HumanMessage([{"type": "text", "text": "Clean up."}]),
            AIMessage("", tool_calls=[call]),
            ToolMessage("done", tool_call_id="1", name="delete"),
        ],
        "count": 3,
    }
    with Emulator(CHAT, server_type="openai-server") as phi:
        decisions_of(phi).invoke(requesting(state, urgent=URGENT))

        text = phi.requests[0].json["messages"][1]["content"]
    assert text.startswith(
        'State:\n{"messages": [{"role": "user", "content": ["Clean up."]}, '
        '{"role": "assistant", "content": "", "tool_calls": '
        '[{"name": "delete", "args": {"path": "a.txt"}}]}, '
        '{"role": "tool", "name": "delete", "content": "done"}], "count": 3}\n'
    )


def test_images_of_the_state_are_attached() -> None:
    """As parts of the message, with a mark where they were."""
    url = data_url(png_of(2, 2))
    image = {"type": "image_url", "image_url": {"url": url}}
    state = {"photo": image, "note": "broken"}
    with Emulator("Phi-4-multimodal-instruct", server_type="openai-server") as phi:
        decisions_of(phi).invoke(requesting(state, urgent=URGENT))

        text, attached = phi.requests[0].json["messages"][1]["content"]
    assert '{"photo": "(attachment 1)", "note": "broken"}' in text["text"]
    assert attached["image_url"]["url"].split(",")[1] == url.split(",")[1]


async def test_many_options_have_letters() -> None:
    """More than ten; more than twenty are refused, because servers return no more alternatives."""
    with Emulator(CHAT, server_type="openai-server") as phi:
        decisions = decisions_of(phi)
        names = [f"team {n}" for n in range(21)]
        phi.script('"M"')
        choice = Choice(instructions="Which?", criteria=dict.fromkeys(names[:11]))
        answer = decisions.invoke(requesting(MESSAGE, team=choice)).choices["team"]

        assert answer.choice == "team 10"
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert min(answer.probabilities.values()) > 0
        choice = Choice(instructions="Which?", criteria=dict.fromkeys(names))
        with pytest.raises(InvalidInputError, match="'team' has 21 options"):
            await decisions.ainvoke(requesting(MESSAGE, team=choice))
        assert len(phi.requests) == 1


def test_unanswerable_requests_are_refused() -> None:
    """Before anything is sent."""
    with Emulator(CHAT, server_type="openai-server") as phi:
        decisions = decisions_of(phi)
        with pytest.raises(InvalidInputError, match="'where' is a Box"):
            decisions.invoke(requesting(MESSAGE, urgent=URGENT, where=Box(instructions="The cat")))
        with pytest.raises(InvalidInputError, match="at least one question"):
            decisions.invoke(requesting(MESSAGE))
        assert phi.requests == []


def test_usage_and_model_are_reported() -> None:
    """The usage is that of all questions; callbacks see it once."""
    with Emulator(CHAT, server_type="openai-server") as phi:
        seen = UsageMetadataCallbackHandler()
        response = decisions_of(phi).invoke(
            requesting(MESSAGE, urgent=URGENT, team=TEAM), {"callbacks": [seen]}
        )

        assert response.model == CHAT
        assert response.usage is not None
        assert response.usage["output_tokens"] == 2
        counted = seen.usage_metadata[CHAT]
        assert counted["total_tokens"] == response.usage["total_tokens"]


@pytest.mark.parametrize("name", sorted(SERVERS))
async def test_every_server_with_log_probabilities_decides(name: str) -> None:
    """Also without constrained decoding; managed compute removes them, which an error states."""
    server, chat_model = connect(name)
    decisions = PhiDecisions(chat_model=chat_model)
    for mode in MODES:
        server.script("1")
        if name in LOGPROBS:
            response = await decide(decisions, mode, requesting(MESSAGE, urgent=URGENT))
            assert response.nouls["urgent"].noul > 0.5
            continue
        with pytest.raises(InvalidResponseError) as caught:
            await decide(decisions, mode, requesting(MESSAGE, urgent=URGENT))
        assert "returned no log-probabilities" in str(caught.value)
        assert "Managed compute removes them" in str(caught.value)
        assert "inference.ml.azure.com" in str(caught.value)


def test_prose_instead_of_a_label_raises() -> None:
    """Where the server does not constrain decoding; the text is in the error."""
    server, chat_model = connect("serverless")
    server.script("It is quite urgent.")

    with pytest.raises(InvalidResponseError, match="instead of one of the labels 0, 1") as caught:
        PhiDecisions(chat_model=chat_model).invoke(requesting(MESSAGE, urgent=URGENT))

    assert caught.value.partial == "It is quite urgent."


def test_variants_of_a_label_count_together() -> None:
    """With white space or punctuation; other words do not count."""
    answer = answered(
        token("\n", -0.1, ("0", -0.2)),  # before the first word
        token(" 1", math.log(0.3), (" 1", math.log(0.3)), ("1", math.log(0.1)), ("1.", -9999.0)),
    )
    answer["logprobs"]["content"][1]["top_logprobs"] += [
        {"token": "0", "logprob": math.log(0.1)},
        {"token": "10", "logprob": math.log(0.2)},
        {"token": "Yes", "logprob": math.log(0.3)},
    ]

    assert ask_server(answer).nouls["question"].noul == pytest.approx(0.8)


def test_labels_count_where_the_model_writes_another_word() -> None:
    """As constrained decoding would: the probabilities are those of the labels at that place."""
    answer = answered(token("Yes", -0.1, ("1", math.log(0.03)), ("0", math.log(0.01))))

    assert ask_server(answer).nouls["question"].noul == pytest.approx(0.75)


def test_missing_alternatives_have_no_probability() -> None:
    """A server that returns only the generated token, or fewer alternatives than options."""
    score = ask_server(answered(token("2", -1.5)), ANGER).scores["question"]
    assert score.probabilities == {0: 0, 1: 0, 2: 1}
    assert (score.score, score.confidence) == (2, 1)


def test_unlikely_labels_keep_their_ratio() -> None:
    """Their probabilities alone are too small for a float."""
    answer = answered(token("x", -0.1, ("1", -2000), ("0", -2000)))

    assert ask_server(answer).nouls["question"].noul == 0.5


def test_malformed_log_probabilities_raise_typed_errors() -> None:
    """Or are skipped, where the generated token has one."""
    message = {"message": {"content": "1"}}
    value: Any
    for value in (
        None,
        {},
        {"content": None},
        {"content": "1"},
        {"content": []},
        {"tokens": ["1"]},
    ):
        with pytest.raises(InvalidResponseError, match="returned no log-probabilities"):
            ask_server({**message, "logprobs": value})
    nonsense: list[Any] = [None, 1, "1", [], {}, {"token": "1"}, {"token": 1, "logprob": -1}]
    nonsense += [{"token": "1", "logprob": value} for value in (None, "x", 10**400, -(10**400))]
    for entry in nonsense:
        with pytest.raises(InvalidResponseError, match="The model wrote '1'"):
            ask_server({**message, "logprobs": {"content": [entry]}})
        first = {"token": "1", "logprob": -1, "top_logprobs": [entry]}
        answer = ask_server({**message, "logprobs": {"content": [first]}})
        assert answer.nouls["question"].noul == 1, entry
    for value in (None, 1, "1", {}):
        first = {"token": "1", "logprob": -1, "top_logprobs": value}
        answer = ask_server({**message, "logprobs": {"content": [first]}})
        assert answer.nouls["question"].noul == 1, value


def test_refusals_are_typed_errors() -> None:
    """Although the response has no log-probabilities of a text either."""
    refused = {"message": {"content": None, "refusal": "No."}, "logprobs": {"content": None}}

    with pytest.raises(RefusalError, match=r"No\."):
        ask_server(refused)


def test_fewer_alternatives_can_be_requested() -> None:
    """Of servers that refuse twenty."""

    def answer(payload: Json) -> Any:
        if payload["top_logprobs"] > 5:
            return 400, {"message": "Requested sample logprobs of 20, max allowed: 5"}
        return answered(token("1", -1))

    with scripted_server(answer) as server:
        chat_model = ChatAzurePhi3(endpoint=f"{server.url}/v1", credential="", max_retries=0)
        request = requesting(MESSAGE, urgent=URGENT)
        with pytest.raises(BadRequestError, match="max allowed: 5"):
            PhiDecisions(chat_model=chat_model).invoke(request)
        response = PhiDecisions(chat_model=chat_model, top_logprobs=5).invoke(request)

        assert response.nouls["urgent"].noul == 1


def test_model_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the chat model, or by the decision model for both; the environment is the default."""
    chat_model = ChatAzurePhi3(endpoint="http://localhost/v1", credential="", model="a")
    assert PhiDecisions(chat_model=chat_model).model == "a"
    renamed = PhiDecisions(chat_model=chat_model, model="b")
    assert (renamed.model, renamed.chat_model.model, chat_model.model) == ("b", "b", "a")
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", "http://localhost/v1")
    assert PhiDecisions(model="c").chat_model.model == "c"
    assert PhiDecisions().model == "phi"
    with pytest.raises(ValueError, match="endpoint"):
        PhiDecisions(endpoint="http://localhost/v1")  # type: ignore[call-arg]


# -- middleware ----------------------------------------------------------------------------------


@tool
def delete_file(path: str) -> str:
    """Delete a file."""
    return f"deleted {path}"


CALL = '{"name": "delete_file", "arguments": {"path": "a.txt"}}'


@pytest.mark.filterwarnings("ignore:The middleware `ModelRouterMiddleware` is in beta")
async def test_model_router_selects_the_likely_model() -> None:
    """Once for each run; the answer with its probabilities is in the agent's state."""
    with (
        Emulator(CHAT, server_type="openai-server") as judge,
        Emulator(CHAT) as small,
        Emulator(CHAT) as large,
    ):
        models = {
            name: ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
            for name, phi in (("small", small), ("large", large))
        }
        router = ModelRouterMiddleware(
            choices={
                "small": ModelChoice(models["small"], "Simple tasks."),
                "large": ModelChoice(models["large"], "Hard tasks."),
            },
            instructions="Choose the smallest model that can do the task.",
            classifier=decisions_of(judge),
        )
        agent = create_agent(models["small"], middleware=[router])
        prompt: Any = {"messages": [HumanMessage("Prove it.")]}
        judge.script("1", "0")
        large.script("Hence.")
        small.script("Fine.")

        state = agent.invoke(prompt)
        assert state["messages"][-1].text == "Hence."
        assert state["model_route"].choice == "large"
        assert 0.5 < state["model_route"].probabilities["large"] < 1

        state = await agent.ainvoke(prompt)
        assert state["messages"][-1].text == "Fine."
        assert state["model_route"].choice == "small"
        assert (len(judge.requests), len(small.requests), len(large.requests)) == (2, 1, 1)


async def test_auto_mode_blocks_risky_calls() -> None:
    """At a probability of a half; other calls run."""
    with Emulator(CHAT, server_type="openai-server") as judge, Emulator(CHAT) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        auto_mode = AutoModeMiddleware(tools=[delete_file], classifier=decisions_of(judge))
        agent = create_agent(model, [delete_file], middleware=[auto_mode])
        prompt: Any = {"messages": [HumanMessage("Delete a.txt.")]}
        for label, expected in (("1", "was blocked"), ("0", "deleted a.txt")):
            for mode in MODES:
                phi.script(CALL, "Done.")
                judge.script(label)
                state = agent.invoke(prompt) if mode == "invoke" else await agent.ainvoke(prompt)

                (result,) = [m for m in state["messages"] if isinstance(m, ToolMessage)]
                assert expected in str(result.content), mode
        text = judge.requests[0].json["messages"][1]["content"]
        assert '"tool_call": {"id": "call_' in text
        assert '"args": {"path": "a.txt"}' in text


@pytest.mark.filterwarnings("ignore:The middleware `ModelRouterMiddleware` is in beta")
def test_streams_of_agents_hold_no_labels() -> None:
    """Only the messages of the agent's own model."""
    with Emulator(CHAT, server_type="openai-server") as judge, Emulator(CHAT) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        router = ModelRouterMiddleware(
            choices={"only": ModelChoice(model, "All."), "never": ModelChoice(model, "None.")},
            instructions="Choose.",
            classifier=decisions_of(judge),
        )
        agent = create_agent(model, middleware=[router])
        judge.script("0")
        phi.script("Hello there.")

        chunks = agent.stream({"messages": [HumanMessage("Hi")]}, stream_mode="messages")

        assert "".join(chunk.text for chunk, _ in chunks) == "Hello there."  # type: ignore[union-attr]
