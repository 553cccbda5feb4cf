"""What `doctor` advises after a failure."""

from langchain_azure_phi3 import BadRequestError, ContentFilterError, FilteredCompletionError
from langchain_azure_phi3._doctor.report import advice, failed_step


def test_filters_of_prompts_and_answers_are_explained() -> None:
    """An error without advice of its own has that of the error it derives from."""
    for error in (ContentFilterError("filtered"), FilteredCompletionError("filtered")):
        assert "check the filter's settings" in advice(error)
        assert failed_step(error) == "completion"
    assert "rejects a plain question" in advice(BadRequestError("no"))
