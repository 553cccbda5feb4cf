"""Old public names, which keep working and warn with the name that replaces them."""

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)


def warn_renamed(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Warn the caller's caller that `old` is now called `new`."""
    message = f"{old} is deprecated. Use {new} instead."
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


def renamed_parameters(**names: str) -> Callable[[_Function], _Function]:
    """Accept old parameter names, given as `old="new"`."""

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            for old in [name for name in kwargs if name in names]:
                warn_renamed(f"{old}=", f"{names[old]}=")
                if names[old] in kwargs:
                    raise TypeError(f"Pass {names[old]}= only: {old}= is its old name.")
                kwargs[names[old]] = kwargs.pop(old)
            return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate


def renamed_attributes(*, in_constructor: bool = True, **names: str) -> Callable[[_Class], _Class]:
    """Accept old names of attributes and of constructor parameters, given as `old="new"`."""

    def decorate(cls: _Class) -> _Class:
        for old, new in names.items():
            setattr(cls, old, property(functools.partial(_get_renamed, old=old, new=new)))
        if in_constructor:
            cls.__init__ = renamed_parameters(**names)(cls.__init__)  # type: ignore[misc]
        return cls

    return decorate


def _get_renamed(instance: object, *, old: str, new: str) -> Any:
    owner = type(instance).__name__
    warn_renamed(f"{owner}.{old}", f"{owner}.{new}")
    return getattr(instance, new)
