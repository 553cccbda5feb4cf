"""Show the fields of pydantic models in the reference as type and default.

Their declarations also have what only pydantic reads: aliases, validators and bounds.
"""

from typing import Any

from griffe import Attribute, Expr, ExprCall, ExprKeyword, ExprSubscript, Extension


class PlainFields(Extension):
    """Replace `Field(default=x, ...)` by `x`, and `Annotated[X, ...]` by `X`."""

    def on_attribute_instance(self, *, attr: Attribute, **kwargs: Any) -> None:
        """Simplify one attribute."""
        if isinstance(attr.annotation, Expr):
            attr.annotation = _without_annotated(attr.annotation)
        if isinstance(attr.value, ExprCall) and attr.value.canonical_name == "Field":
            arguments = [each for each in attr.value.arguments if isinstance(each, ExprKeyword)]
            defaults = [each.value for each in arguments if each.name == "default"]
            attr.value = defaults[0] if defaults else None


def _without_annotated(annotation: Expr) -> Expr:
    """The type, with each `Annotated[X, ...]` in it replaced by `X`."""
    if isinstance(annotation, ExprSubscript) and str(annotation.left) == "Annotated":
        elements = getattr(annotation.slice, "elements", None)
        return elements[0] if elements else annotation
    for name in ("left", "right"):  # of a union, X | Y
        if isinstance(side := getattr(annotation, name, None), Expr):
            setattr(annotation, name, _without_annotated(side))
    return annotation
