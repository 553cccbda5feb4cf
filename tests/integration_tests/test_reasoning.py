"""The reasoning of Phi-4-reasoning, separate from the answer."""

from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model

QUESTION = "Why is the sky blue?"


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
