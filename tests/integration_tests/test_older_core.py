"""langchain-core before 1.8 has no decision models; everything else works with it."""

import subprocess
import sys

OLD_CORE = """
import sys

sys.modules["langchain_core.decisions"] = None  # as in langchain-core 1.7
from langchain_azure_phi3 import *

ChatAzurePhi3(endpoint="http://localhost/v1", credential="")
try:
    from langchain_azure_phi3 import PhiDecisions
except ImportError as error:
    print(error)
"""


def test_older_core_lacks_decisions_only() -> None:
    """The package works, and the import of the class says what to install."""
    done = subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-c", OLD_CORE], capture_output=True, text=True, check=False
    )

    assert done.stdout.startswith("PhiDecisions needs langchain-core 1.8 or newer"), done.stderr
    assert "pip install --upgrade langchain-core" in done.stdout
