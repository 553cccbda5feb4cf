"""A user's program, which type checkers accept and see through."""

from typing import Any, TypedDict, assert_type

from langchain_core.messages import AIMessage
from pydantic import BaseModel

from langchain_azure_phi3 import ChatAzurePhi3, ContentFilterError, FilterResult, ModelInfo
from langchain_azure_phi3.emulator import Emulator


class Person(BaseModel):
    name: str


class City(TypedDict):
    name: str


def filters(error: ContentFilterError) -> tuple[FilterResult, ...]:
    return error.filters


with Emulator("Phi-4", model_errors="prose") as phi:
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, temperature=0, max_tokens=9)
    ChatAzurePhi3(endpoint=phi.endpoint, api_key=phi.key, model_name="Phi-4")
    assert_type(model.invoke("Hi"), AIMessage)
    assert_type(model.invoke("Hi").text.upper(), str)
    assert_type(model.get_model_info(), ModelInfo)
    assert_type(phi.requests[0].method, str)
    assert_type(model.with_structured_output(Person).invoke("Ann"), Person)
    assert_type(model.with_structured_output(City).invoke("Rome")["name"], str)
    assert_type(
        model.with_structured_output({"title": "A", "type": "object"}).invoke("Hi"), dict[str, Any]
    )
