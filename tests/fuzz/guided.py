"""Run one target under atheris, which only `make fuzz` installs; libFuzzer reads the options."""

import sys
from functools import partial

import atheris

with atheris.instrument_imports(include=["langchain_azure_phi3"]):
    from tests.fuzz.targets import check

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], partial(check, sys.argv[1]))
    atheris.Fuzz()
