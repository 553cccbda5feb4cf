"""Run the examples of one page in the current environment. `tests/examples.py` starts this.

Standard input has a JSON list of name, code, endpoint and key of each example. The file that the
first argument names receives a JSON list of what each prints.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

from langchain_azure_phi3 import models


def run(name: str, code: str, endpoint: str, key: str) -> str:
    """Run one example as a program and return what it prints."""
    os.environ |= {"AZURE_INFERENCE_ENDPOINT": endpoint, "AZURE_INFERENCE_CREDENTIAL": key}
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, name, "exec"), {"__name__": "__main__"})  # noqa: S102
    return output.getvalue()


def main() -> None:
    """Run all, each with the variables and the model catalog that the program started with."""
    variables, catalog = dict(os.environ), models._catalog
    outputs = []
    for job in json.load(sys.stdin):
        outputs.append(run(*job))
        os.environ.clear()
        os.environ.update(variables)
        models._catalog = catalog
    Path(sys.argv[1]).write_text(json.dumps(outputs), encoding="utf-8")


if __name__ == "__main__":
    main()
