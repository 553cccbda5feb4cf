"""Old public names, which still work and emit a warning with the new ones."""

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

_PACKAGE = __package__
_T = TypeVar("_T")

# Removed modules, with the new location of each of their public names.
_OLD_MODULES: Mapping[str, Mapping[str, str]] = {
    "catalogue": {
        "Modality": "models.Modality",
        "PhiModel": "models.PhiModel",
        "TokenizerFamily": "models.TokenizerFamily",
        "find": "models.find_model",
        "models": "models.list_models",
        "profile": "models.model_profile",
        "register": "models.register_model",
        "taking": "models.models_accepting",
    },
    "diagnosis": {"Finding": "Finding", "Report": "DoctorReport"},
    "doctor": {"examine": "diagnose"},
}


def warn_renamed(old: str, new: str) -> None:
    """Warn the caller's caller that `old` is now called `new`."""
    warnings.warn(f"{old} is deprecated; use {new} instead.", DeprecationWarning, stacklevel=3)


class _OldModule(ModuleType):
    """A module whose names are imported from their new locations."""

    def __init__(self, name: str, new_names: Mapping[str, str]) -> None:
        super().__init__(f"{_PACKAGE}.{name}", "Deprecated: its names have moved.")
        self._new_names = new_names

    def __getattr__(self, name: str) -> Any:
        if name not in self._new_names:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        new = f"{_PACKAGE}.{self._new_names[name]}"
        warn_renamed(f"{self.__name__}.{name}", new)
        module, _, attribute = new.rpartition(".")
        found = getattr(import_module(module), attribute)
        return _accept_each(found) if name == "examine" else found


def _accept_each(diagnose: Callable[..., Any]) -> Callable[..., Any]:
    def examine(
        given: Mapping[str, Any],
        *,
        timeout: float = 60.0,
        each: Callable[[Any], object] | None = None,
    ) -> Any:
        return diagnose(given, timeout=timeout, on_finding=each)

    return examine


_modules = {name: _OldModule(name, new_names) for name, new_names in _OLD_MODULES.items()}


def install_old_modules() -> None:
    """Make removed modules importable."""
    for module in _modules.values():
        sys.modules.setdefault(module.__name__, module)


def old_module(name: str) -> ModuleType | None:
    """Return a removed module, for the package's `__getattr__`."""
    return _modules.get(name)


def renamed_names(module: str, new_names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's `__getattr__` for its renamed functions and classes."""

    def get_renamed(name: str) -> Any:
        if name not in new_names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_renamed(f"{module}.{name}", f"{module}.{new_names[name]}")
        return getattr(sys.modules[module], new_names[name])

    return get_renamed


def accept_old_fields(
    new_names: Mapping[str, str], new_values: Mapping[str, Mapping[Any, Any]]
) -> Callable[[type[_T]], type[_T]]:
    """Make the fields of a dataclass available under their old names too.

    Args:
        new_names: The new name of each old field.
        new_values: For new fields, the new value of each old one.
    """

    def decorate(cls: type[_T]) -> type[_T]:
        init = cls.__init__

        @functools.wraps(init)
        def __init__(self: _T, **fields: Any) -> None:  # noqa: N807
            for old in fields.keys() & new_names.keys():
                warn_renamed(f"{cls.__name__}({old}=...)", f"{new_names[old]}=")
                fields[new_names[old]] = fields.pop(old)
            for name in fields.keys() & new_values.keys():
                value = fields[name]
                if value in new_values[name]:
                    fields[name] = new_values[name][value]
                    warn_renamed(f"{name}={value!r}", repr(fields[name]))
            init(self, **fields)

        cls.__init__ = __init__  # type: ignore[method-assign, assignment]
        for old, new in new_names.items():
            setattr(cls, old, _old_property(cls.__name__, old, new))
        return cls

    return decorate


def _old_property(owner: str, old: str, new: str) -> property:
    def read(self: object) -> Any:
        warn_renamed(f"{owner}.{old}", f"{owner}.{new}")
        return getattr(self, new)

    return property(read, doc=f"Deprecated: use `{new}`.")
