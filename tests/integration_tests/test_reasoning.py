"""Thoughts of Phi-4-reasoning, told apart from the answer."""

import pytest
from langchain_core.messages import HumanMessage

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.colours import COLOURS, ask


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("place", ["text", "field"])
@pytest.mark.parametrize("colour", COLOURS)
async def test_thoughts_become_reasoning_blocks(
    colour: str, place: str, version: str | None
) -> None:
    """Whether they stand in the text between tags, or in a field of their own."""
    with Emulator("Phi-4-reasoning", reasoning=place) as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint,
            credential=phi.key,
            model="Phi-4-reasoning",
            output_version=version,
        )

        answer = await ask(model, colour, "Why is the sky blue?")

    kinds = [block["type"] for block in answer.content_blocks]
    assert ["reasoning", "text"] == kinds
    assert answer.content_blocks[0]["reasoning"].strip()
    assert "think>" not in answer.text
    assert "Why is the sky blue?" in answer.text


def test_thoughts_are_not_sent_back() -> None:
    """They cost context and the template does not want them."""
    with Emulator("Phi-4-reasoning") as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model="Phi-4-reasoning")
        first = model.invoke("Why is the sky blue?")
        assert first.additional_kwargs["reasoning_content"]

        model.invoke([HumanMessage("Why is the sky blue?"), first, HumanMessage("And at night?")])
        sent = phi.requests[-1].json["messages"]

    assert {"role": "assistant", "content": first.text} == sent[1]
