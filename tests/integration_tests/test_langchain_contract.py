"""What else LangChain's agents, middleware and factories expect of a chat model."""

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.chat_models import base, init_chat_model
from langchain_core.language_models import ModelProfile
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_azure_phi3 import ChatAzurePhi3, register_provider
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model

HIDDEN = {"lc_source": "summarization", "lc_data": {"task": "t_42"}}


@pytest.fixture(autouse=True)
def _unregistered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has LangChain's own table of providers."""
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", dict(base._BUILTIN_PROVIDERS))
    base._get_chat_model_creator.cache_clear()


def profile_of(name: str | None, **settings: Any) -> Any:
    """The profile of a model on managed compute."""
    endpoint = "https://phi.eastus2.inference.ml.azure.com"
    return ChatAzurePhi3(endpoint=endpoint, credential="key", model=name, **settings).profile


# -- what must not be sent -----------------------------------------------------------------------


def with_hidden(message: BaseMessage) -> BaseMessage:
    """The message as LangChain's middleware marks it, in itself and in its blocks."""
    block: Any = {"type": "text", "text": str(message.content), **HIDDEN, "extras": HIDDEN}
    return message.model_copy(update={"content": [block], "additional_kwargs": HIDDEN})


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_notification_metadata_is_not_sent(mode: str) -> None:
    """Neither that of messages nor that of blocks, natively and in the prompt."""
    call: Any = {"id": "1", "name": "f", "args": {}}
    history = [
        *map(with_hidden, (SystemMessage("Be brief."), HumanMessage("Hi"))),
        with_hidden(AIMessage("Calling.", tool_calls=[call])),
        with_hidden(ToolMessage("A result.", tool_call_id="1", name="f")),
        # What langchain_core.messages.add_notification_metadata returns, since 1.7.2.
        HumanMessage("Done.", additional_kwargs=HIDDEN),
    ]
    for tools in ("native", "prompted"):
        with Emulator(tools="native") as phi:
            model = ChatAzurePhi3(
                endpoint=phi.endpoint, credential=phi.key, tool_calling=tools
            ).bind_tools([call_me])
            await call_model(model, mode, history)
            sent = json.dumps(phi.requests[-1].json)

        assert "Done." in sent
        assert not any(word in sent for word in ("lc_source", "lc_data", "t_42", "extras"))


def call_me(number: str) -> str:
    """Call a number."""
    return number


# -- profiles ------------------------------------------------------------------------------------


def test_profile_tells_whether_tools_can_return_images() -> None:
    """They reach the model in a user message."""
    assert profile_of("Phi-4-multimodal-instruct")["image_tool_message"] is True
    assert profile_of("Phi-4")["image_tool_message"] is False
    assert "image_tool_message" not in profile_of(None)


@pytest.mark.skipif(
    "mid_conversation_system_messages" not in ModelProfile.__annotations__,
    reason="newer than this release of langchain-core",
)
def test_profile_tells_where_system_messages_go() -> None:
    """They stay in place, unless they are put into the next user message."""
    key = "mid_conversation_system_messages"
    assert profile_of("Phi-4")[key] is True
    assert profile_of(None)[key] is True
    assert profile_of("Phi-3-medium-4k-instruct")[key] is False
    assert profile_of("Phi-3-medium-4k-instruct", system_message_mode="system")[key] is True
    assert profile_of("Phi-4", system_message_mode="user")[key] is False


@pytest.mark.skipif(
    "reasoning_effort_levels" not in ModelProfile.__annotations__,
    reason="newer than this release of langchain-core",
)
def test_no_phi_has_levels_of_reasoning() -> None:
    """LangChain's word for that is an empty list; other models have no such key."""
    assert profile_of("Phi-4-reasoning")["reasoning_effort_levels"] == []
    assert "reasoning_effort_levels" not in profile_of("Phi-4")


def test_profile_has_only_known_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older releases of langchain-core warn about keys that are newer than they are."""
    keys = frozenset({"name", "tool_calling"})
    monkeypatch.setattr("langchain_azure_phi3.chat_models.PROFILE_KEYS", keys)
    assert profile_of("Phi-4") == {"name": "Phi-4", "tool_calling": True}


# -- init_chat_model -----------------------------------------------------------------------------


def test_init_chat_model_finds_the_provider() -> None:
    """Also for `create_agent`, for models that are configured later, and for names with a colon."""
    with Emulator("Phi-4-mini-instruct") as phi:
        address: Any = {"endpoint": phi.endpoint, "credential": phi.key}
        with pytest.raises(ValueError, match="azure_phi3"):
            init_chat_model("azure_phi3:Phi-4-mini-instruct", **address)
        register_provider()
        register_provider()

        model = init_chat_model("azure_phi3:Phi-4-mini-instruct", temperature=0, **address)
        assert isinstance(model, ChatAzurePhi3)
        assert (model.model, model.temperature) == ("Phi-4-mini-instruct", 0)
        apart = init_chat_model("a:b", model_provider="azure_phi3", **address)
        assert isinstance(apart, ChatAzurePhi3)
        assert apart.model == "a:b"
        later = init_chat_model(configurable_fields=["model", "model_provider"], **address)
        config: Any = {"configurable": {"model": "azure_phi3:Phi-4-mini-instruct"}}
        assert later.invoke("Hi", config).response_metadata["model_provider"] == "azure_phi3"


def test_create_agent_takes_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address comes from the environment."""
    register_provider()
    with Emulator("Phi-4-mini-instruct") as phi:
        monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
        monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
        phi.script("Here I am.")
        state: Any = {"messages": [("user", "Hi")]}
        end = create_agent("azure_phi3:Phi-4-mini-instruct").invoke(state)
    assert end["messages"][-1].text == "Here I am."


def test_unknown_release_of_langchain_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table is private and may change; nothing is written into another form."""
    tables: list[Any] = [None, [], {}, {"openai": "langchain_openai"}, {"openai": ("a", "b")}]
    for table in tables:
        monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", table)
        with pytest.raises(ImportError, match=r"Create the model with ChatAzurePhi3\(model="):
            register_provider()
        assert not table or "azure_phi3" not in table
