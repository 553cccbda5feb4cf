"""Chromium, for tests of web pages."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--virtual-time-budget=10000",  # of the clock of the page, before it is printed
]
needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed.")


def load_page(url: str, directory: Path) -> str:
    """The HTML of a page after its scripts ran; `directory` takes the browser's files."""
    assert CHROMIUM is not None
    dumped = directory / "page.html"
    # Into a file: Chromium's own children keep a pipe open that it was given.
    with dumped.open("w") as file:
        subprocess.run(  # noqa: S603
            [CHROMIUM, *_FLAGS, f"--user-data-dir={directory / 'profile'}", "--dump-dom", url],
            stdout=file,
            stderr=subprocess.DEVNULL,
            timeout=240,
            check=False,
        )
    return dumped.read_text(encoding="utf-8")
