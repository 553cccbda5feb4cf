"""The earlier names of `images`, until every test uses the new ones."""

from tests.unit_tests import images
from tests.unit_tests.images import *  # noqa: F403
from tests.unit_tests.images import base64_of as text_of  # noqa: F401


def tiff_of(width: int, height: int, order: str = "<", kind: int = 4) -> bytes:
    """A TIFF, with the earlier name of a parameter."""
    return images.tiff_of(width, height, order, kind)
