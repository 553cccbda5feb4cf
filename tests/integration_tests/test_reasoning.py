"""The reasoning of Phi-4-reasoning, separate from the answer."""

from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import HumanMessage

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.scripted_server import scripted_server

QUESTION = "Why is the sky blue?"
IMAGE = {"url": "https://example.com/sky.png"}


def model_for(phi: Emulator, **settings: Any) -> ChatAzurePhi3:
    """A chat model for `phi`."""
    return ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model="Phi-4-reasoning", **settings
    )


@pytest.mark.parametrize("place", ["text", "field"])
async def test_reasoning_becomes_a_content_block(place: Any) -> None:
    """Whether the server writes it between tags in the text or into a field."""
    with Emulator("Phi-4-reasoning", reasoning=place) as phi:
        for version in (None, "v1"):
            model = model_for(phi, output_version=version)
            for mode in CALL_MODES:
                answer = await call_model(model, mode, QUESTION)

                types = [block["type"] for block in answer.content_blocks]
                assert ["reasoning", "text"] == types, (version, mode)
                assert answer.content_blocks[0]["reasoning"].strip()
                assert "think>" not in answer.text
                assert QUESTION in answer.text


async def test_calls_are_found_after_reasoning() -> None:
    """A call in the reasoning is not a call; the call in the answer is."""
    call = '{{"name": "look", "arguments": {{"place": "{}"}}}}'.format
    tool = {
        "title": "look",
        "description": "Look at a place.",
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    }
    with Emulator("Phi-4-reasoning") as phi:
        bound = model_for(phi).bind_tools([tool], tool_choice="any")
        for mode in CALL_MODES:
            phi.script(f"<think>Perhaps {call('sea')}?</think>{call('sky')}")

            answer = await call_model(bound, mode, QUESTION)

            found = [(each["name"], each["args"]) for each in answer.tool_calls]
            assert [("look", {"place": "sky"})] == found, mode
            assert "Perhaps" in answer.additional_kwargs["reasoning_content"]


def test_reasoning_is_not_sent_back() -> None:
    """It costs context, and the template of the model drops it."""
    with Emulator("Phi-4-reasoning") as phi:
        model = model_for(phi)
        first = model.invoke(QUESTION)
        assert first.additional_kwargs["reasoning_content"]

        model.invoke([HumanMessage(QUESTION), first, HumanMessage("And at night?")])
        sent = phi.requests[-1].json["messages"]

    assert {"role": "assistant", "content": first.text} == sent[1]


# -- the switch ----------------------------------------------------------------------------------

LOOK: dict[str, Any] = {
    "title": "look",
    "description": "Look at a place.",
    "type": "object",
    "properties": {"place": {"type": "string"}},
    "required": ["place"],
}


def test_reasoning_is_switched_by_the_chat_template() -> None:
    """On servers that pass arguments on to it; the user's own arguments stay."""
    for api in ("openai-server", "managed"):
        with scripted_server(lambda _: "Blue.") as server:
            endpoint, settings = server.url + "/v1", {"api": api, "credential": "k"}
            for name in ("Phi-4-reasoning", "our-own-name"):
                for reasoning, expected in (("on", True), ("off", False)):
                    model = ChatAzurePhi3(
                        endpoint=endpoint, model=name, reasoning=reasoning, **settings
                    )
                    model.invoke(QUESTION)
                    sent = server.payloads[-1]["chat_template_kwargs"]
                    assert {"enable_thinking": expected} == sent
            own = {"chat_template_kwargs": {"thinking": False}}
            model = model.model_copy(update={"model_extras": own})
            model.invoke(QUESTION)
            assert own.items() <= server.payloads[-1].items()
            model.model_copy(update={"reasoning": "auto", "model_extras": None}).invoke(QUESTION)
            assert "chat_template_kwargs" not in server.payloads[-1]


def test_limits_of_reasoning_are_sent_under_the_servers_name() -> None:
    """That of vLLM and that of llama.cpp, for the model or for one call."""
    with scripted_server(lambda _: "Blue.") as server:
        for name in ("thinking_token_budget", "thinking_budget_tokens"):
            settings = {
                "endpoint": server.url + "/v1",
                "credential": "",
                "model": "Phi-4-reasoning",
            }
            ChatAzurePhi3(**settings, model_kwargs={name: 500}).invoke(QUESTION)
            ChatAzurePhi3(**settings).invoke(QUESTION, **{name: 600})
            assert [500, 600] == [payload[name] for payload in server.payloads[-2:]]


def test_reasoning_vision_is_switched_by_a_token() -> None:
    """At the end of the last user message, on any type of endpoint."""
    parts = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": IMAGE}]
    with scripted_server(lambda _: "<nothink>Blue.") as server:
        for reasoning, token in (("on", "<think>"), ("off", "<nothink>")):
            model = ChatAzurePhi3(
                endpoint=server.url,
                credential="",
                model="Phi-4-reasoning-vision-15B",
                reasoning=reasoning,
            )
            assert (
                "Blue." == model.invoke([("user", "Hi"), ("ai", "Hello"), ("user", QUESTION)]).text
            )
            messages = server.payloads[-1]["messages"]
            assert ["Hi", "Hello", f"{QUESTION}\n{token}"] == [m["content"] for m in messages]
            chunks = [chunk.text for chunk in model.stream([HumanMessage(parts)])]
            assert "Blue." == "".join(chunks)
            assert {"type": "text", "text": token} == server.payloads[-1]["messages"][-1][
                "content"
            ][-1]
            assert "chat_template_kwargs" not in server.payloads[-1]


def test_missing_switch_is_an_error() -> None:
    """Nothing is sent; models that do not reason have nothing to switch off."""
    with scripted_server(lambda _: "Blue.") as server:
        for api in ("serverless", "score", "foundry", "openai-v1", "foundry-local"):
            for reasoning in ("on", "off"):
                model = ChatAzurePhi3(
                    endpoint=server.url,
                    credential="k",
                    api=api,
                    model="Phi-4-reasoning",
                    reasoning=reasoning,
                )
                with pytest.raises(InvalidInputError, match=f"Remove reasoning='{reasoning}'"):
                    model.invoke(QUESTION)
        plain = {"endpoint": server.url, "credential": "k", "model": "Phi-4"}
        with pytest.raises(InvalidInputError, match="Phi-4 cannot reason"):
            ChatAzurePhi3(**plain, reasoning="on").invoke(QUESTION)
        assert [] == server.payloads
        ChatAzurePhi3(**plain, reasoning="off").invoke(QUESTION)
        assert "chat_template_kwargs" not in server.payloads[0]


def test_profile_tells_whether_there_is_reasoning() -> None:
    """Which the switch changes, also later."""
    model = ChatAzurePhi3(endpoint="http://localhost/v1", model="Phi-4-reasoning")
    assert model.profile is not None
    assert model.profile["reasoning_output"] is True
    model.reasoning = "off"
    assert model.profile["reasoning_output"] is False
    assert model.profile["structured_output"] is True


async def test_reasoning_that_uses_all_tokens_is_named() -> None:
    """In the error of structured output and of a required call, without another attempt."""
    in_field = {"message": {"content": "", "reasoning_content": "Hm. "}, "finish_reason": "length"}
    in_text = {"message": {"content": "<think>Hm. "}, "finish_reason": "length"}
    for choice in (in_field, in_text):
        with scripted_server(lambda _, choice=choice: choice) as server:
            model = ChatAzurePhi3(
                endpoint=server.url + "/v1", credential="", model="Phi-4-reasoning"
            )
            bound = model.bind_tools([LOOK], tool_choice="any")
            for mode in CALL_MODES:
                answer = await call_model(bound, mode, QUESTION)
                unmet = answer.response_metadata["unmet_requirement"]
                assert "The reasoning used up max_tokens" in unmet, mode
            assert len(CALL_MODES) == len(server.payloads)
            for method in ("json_schema", "function_calling", "json_mode"):
                structured = model.with_structured_output(LOOK, method=method)
                with pytest.raises(OutputParserException, match="reasoning used up max_tokens"):
                    structured.invoke(QUESTION)
            assert len(CALL_MODES) + 3 == len(server.payloads)
