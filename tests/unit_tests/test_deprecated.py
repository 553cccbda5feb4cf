"""Old public names still work, and warn with the new ones."""

import importlib
import subprocess
import sys
from typing import Any

import pytest

import langchain_azure_phi3 as package
from langchain_azure_phi3 import images, models, tokens
from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.models import PhiModel

NEW_NAMES: dict[str, dict[str, Any]] = {
    "catalogue": {
        "find": models.find_model,
        "models": models.list_models,
        "taking": models.models_accepting,
        "register": models.register_model,
        "profile": models.model_profile,
        "PhiModel": models.PhiModel,
        "Modality": models.Modality,
        "TokenizerFamily": models.TokenizerFamily,
    },
    "diagnosis": {"Report": package.DoctorReport, "Finding": package.Finding},
}


def test_old_modules_export_their_names() -> None:
    """Each use warns with the new home."""
    for module_name, names in NEW_NAMES.items():
        module = importlib.import_module(f"langchain_azure_phi3.{module_name}")
        assert getattr(package, module_name) is module
        for name, new in names.items():
            with pytest.warns(DeprecationWarning, match=rf"{module_name}\.{name} is deprecated"):
                assert getattr(module, name) is new


def test_import_statements_of_old_modules_work() -> None:
    """As programs write them, in a new process; only their use warns, with the program's line."""
    program = (
        "import langchain_azure_phi3.catalogue\n"
        "from langchain_azure_phi3 import diagnosis\n"
        "from langchain_azure_phi3.catalogue import find\n"
        "print(find('phi4').name, langchain_azure_phi3.catalogue.__name__)\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "always::DeprecationWarning:__main__", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == "Phi-4 langchain_azure_phi3.catalogue\n"
    assert done.stderr.count("DeprecationWarning") == 1
    assert "<string>:3: DeprecationWarning" in done.stderr
    assert "use langchain_azure_phi3.models.find_model instead" in done.stderr


def test_unknown_names_of_old_modules_are_errors() -> None:
    """Tools that look through all modules are not warned."""
    catalogue = importlib.import_module("langchain_azure_phi3.catalogue")

    assert not hasattr(catalogue, "__file__")
    with pytest.raises(AttributeError, match="has no attribute 'lookup'"):
        _ = catalogue.lookup
    with pytest.raises(AttributeError, match="has no attribute 'catalog'"):
        _ = package.catalog  # type: ignore[attr-defined]


def test_the_old_doctor_function_works(phi: Emulator) -> None:
    """With its own name for the callback."""
    doctor = importlib.import_module("langchain_azure_phi3.doctor")
    with pytest.warns(DeprecationWarning, match=r"use langchain_azure_phi3\.diagnose instead"):
        examine = doctor.examine
    findings: list[Any] = []

    report = examine({"endpoint": phi.endpoint, "credential": phi.key}, each=findings.append)

    assert report.usable
    assert findings == report.findings


def test_old_fields_of_models_are_accepted() -> None:
    """As keywords and attributes, with the old value as well."""
    required: dict[str, Any] = {"name": "x", "context": 1, "tokenizer": "o200k", "source": "me"}
    old = {"images_a_turn": 1, "images_a_conversation": 2, "licence": "MIT-0"}
    for name, value in old.items():
        with pytest.warns(DeprecationWarning, match=name):
            model = PhiModel(**required, **{name: value})
        with pytest.warns(DeprecationWarning, match=name):
            assert getattr(model, name) == value

    renamed = pytest.warns(DeprecationWarning, match="system_message_support=")
    with renamed, pytest.warns(DeprecationWarning, match="use 'supported'"):
        model = PhiModel(**required, system_messages="honoured")
    assert model.system_message_support == "supported"
    with pytest.raises(TypeError, match="colour"):
        PhiModel(**required, colour="red")


def test_old_functions_are_their_new_ones() -> None:
    """In the modules that kept their names."""
    with pytest.warns(DeprecationWarning, match="use .*resize_image instead"):
        assert images.scaled is images.resize_image  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match="use .*estimate_tokens instead"):
        assert tokens.estimate is tokens.estimate_tokens  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="shrunk"):
        _ = images.shrunk  # type: ignore[attr-defined]
