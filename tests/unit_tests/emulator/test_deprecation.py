"""Old public names work, and warn with the new ones."""

import httpx
import pytest

from langchain_azure_phi3 import emulator
from langchain_azure_phi3.emulator import Emulator, Fault, Generation, Message, Prompt


def test_old_names_of_classes_work() -> None:
    """As attributes of the package, and in imports."""
    for old, new in {
        "Persona": "Responder",
        "Picture": "Image",
        "Spoken": "Generation",
        "Turn": "Message",
    }.items():
        with pytest.warns(DeprecationWarning, match=f"{old} is deprecated. Use {new} instead"):
            assert getattr(emulator, old) is getattr(emulator, new)
    with pytest.raises(AttributeError):
        _ = emulator.Speech  # type: ignore[attr-defined]


def test_old_parameters_of_the_emulator_work() -> None:
    """The warning points at the caller; both names together are an error."""

    def shout(prompt: Prompt) -> Generation:
        with pytest.warns(DeprecationWarning, match="Prompt.messages"):
            text = prompt.turns[0].text.upper()  # type: ignore[attr-defined]
        with pytest.warns(DeprecationWarning, match="reasoning="):
            return Generation(text, thoughts="Hm.")  # type: ignore[call-arg]

    options = {
        "persona": shout,
        "dialect": "openai-server",
        "safety": "flat",
        "annotations": True,
        "misbehaves": "empty",
        "pace": 0.0,
    }
    with pytest.warns(DeprecationWarning, match="is deprecated") as warned:
        phi = Emulator(**options)  # type: ignore[arg-type]
    assert len(warned) == len(options)
    assert {warning.filename for warning in warned} == {__file__}
    with httpx.Client(transport=phi.transport(), base_url=phi.endpoint) as http:
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        headers = {"authorization": f"Bearer {phi.key}"}
        answers = [
            http.post("/chat/completions", json=body, headers=headers).json() for _ in range(2)
        ]
    texts = [answer["choices"][0]["message"]["content"] for answer in answers]
    assert texts == ["<think>\nHm.\n</think>\n\n", "<think>\nHm.\n</think>\n\nHELLO"]
    assert "prompt_filter_results" in answers[0]
    with (
        pytest.warns(DeprecationWarning, match="dialect= is deprecated"),
        pytest.raises(TypeError, match="dialect= is its old name"),
    ):
        Emulator(server_type="ollama", dialect="ollama")  # type: ignore[call-arg]


def test_old_parameters_of_faults_work() -> None:
    """And the old method for model errors."""
    phi = Emulator()
    with pytest.warns(DeprecationWarning, match="is deprecated") as warned:
        phi.fail(kind="cut", at=0.5, spared=1)  # type: ignore[call-arg]
    assert [str(warning.message).split(" Use ")[1] for warning in warned] == [
        "name= instead.",
        "fraction= instead.",
        "skip= instead.",
    ]
    with pytest.warns(DeprecationWarning, match="Use rate= instead"):
        phi.fail("html", share=0.5)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="Use Emulator.inject_model_error instead"):
        phi.misbehave("prose")  # type: ignore[attr-defined]
    assert list(phi._deployment.faults) == [None, Fault(name="cut", fraction=0.5)]
    with pytest.warns(DeprecationWarning, match="Use Fault.name instead"):
        assert Fault(name="cut").kind == "cut"  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match="Use Message.images instead"):
        assert Message("user", "x").pictures == ()  # type: ignore[attr-defined]
