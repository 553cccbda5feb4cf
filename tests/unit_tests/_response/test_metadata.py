"""Each key of the metadata comes once in a stream."""

from langchain_azure_phi3._response.metadata import ResponseMetadata
from langchain_azure_phi3._types import ResponseInfo
from tests.unit_tests._response.wire import INFO, PROVIDER


def test_metadata_is_emitted_once() -> None:
    """The provider alone is repeated: LangChain concatenates other strings."""
    metadata = ResponseMetadata()
    for _ in range(3):
        metadata.add({"model": "phi-4", "id": "i1"}, INFO)

    first = {**PROVIDER, "model_name": "phi-4", "id": "i1", "request_id": "r1"}
    assert metadata.take() == first
    metadata.add({"model": "phi-4-build-7", "id": "i1", "system_fingerprint": "fp"}, INFO)
    assert metadata.take() == {**PROVIDER, "system_fingerprint": "fp"}
    assert metadata.take() == PROVIDER


def test_metadata_waits_for_a_chunk() -> None:
    """Azure states the filters of the prompt in a chunk without text, and with empty names."""
    metadata = ResponseMetadata()
    filters = [{"prompt_index": 0}]
    metadata.add({"model": "", "id": "", "prompt_filter_results": filters}, ResponseInfo())
    metadata.add({"model": "phi-4", "id": "i1"}, ResponseInfo())

    assert metadata.take() == {
        **PROVIDER,
        "model_name": "phi-4",
        "id": "i1",
        "prompt_filter_results": filters,
    }


def test_default_yields_to_what_the_server_states() -> None:
    """Whether it is emitted already or not; `None` sets nothing."""
    for is_emitted in (True, False):
        metadata = ResponseMetadata()
        metadata.add({"model": "phi-4"}, ResponseInfo())
        taken = metadata.take() if is_emitted else {}
        metadata.set_default("model_name", "Phi-4")
        metadata.set_default("id", None)
        assert {**taken, **metadata.take()} == {**PROVIDER, "model_name": "phi-4"}

    metadata = ResponseMetadata()
    metadata.set_default("model_name", "Phi-4")
    assert metadata.take() == {**PROVIDER, "model_name": "Phi-4"}
