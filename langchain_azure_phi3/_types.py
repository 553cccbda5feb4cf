"""Types that every part of the package uses."""

from typing import Any

Json = dict[str, Any]
"""A JSON object, decoded."""
