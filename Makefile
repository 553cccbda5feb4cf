# One entry point. `make help` lists what there is; every target sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test integration_tests fuzz soak bench dist format docs docs-serve cookbook clean

help:  ## list the targets
	@grep -E '^[a-z_-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[emulator]' --group dev
	@touch $@

demo: $(STAMP)  ## set up and run the main job against the emulator
	@$(BIN)/python tests/demo.py

test: $(STAMP)  ## set up; check format, lint, types, architecture; run all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell langchain_azure_phi3 tests docs *.md
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto --cov --cov-report=term

# Servers and clients of other people, in an environment of their own: they are large, and they pin
# what they like. llama-cpp-python is compiled (24 minutes on two busy cores; needs a C++ compiler);
# WITHOUT_LLAMA=1 leaves it out, and its tests are skipped.
THIRD := .venv-third-party
THIRD_PACKAGES := 'litellm[proxy]>=1.80' $(if $(WITHOUT_LLAMA),,'llama-cpp-python[server]>=0.3.16' gguf)

$(THIRD)/.installed: pyproject.toml
	$(PYTHON) -m venv $(THIRD)
	$(THIRD)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(THIRD)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[emulator]' hypothesis pytest pytest-asyncio $(THIRD_PACKAGES)
	@touch $@

integration_tests: $(THIRD)/.installed  ## run the tests with LiteLLM and llama.cpp, in an environment of their own
	$(THIRD)/bin/python -m pytest --override-ini addopts= --import-mode=importlib --override-ini filterwarnings= -q tests/third_party

# Coverage-guided, with atheris, in an environment of its own: it has no wheels for every Python.
FUZZ := .venv-fuzz
SECONDS_EACH ?= 30

$(FUZZ)/.installed: pyproject.toml
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check --editable . 'atheris>=3'
	@touch $@

fuzz: $(STAMP) $(FUZZ)/.installed  ## look for bad input that breaks something (SECONDS_EACH=30)
	$(FUZZ)/bin/python -m tests.fuzz $(SECONDS_EACH)
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/unit_tests/test_bad_input.py

soak: $(STAMP)  ## ask thousands of questions through all faults; write docs/reliability.md
	$(BIN)/python -m tests.soak --page docs/reliability.md $(SOAK_ARGS)

dist: $(STAMP)  ## build the release; check it, install it with the oldest and newest dependencies, test that
	$(BIN)/python tests/dist.py

# The packages that this one is measured beside, in an environment of their own.
BENCH := .venv-bench
PEERS := langchain-openai langchain-mistralai langchain-azure-ai openai azure-ai-inference langgraph

$(BENCH)/.installed: pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable . $(PEERS)
	@touch $@

bench: $(BENCH)/.installed  ## compare with the peers; write docs/benchmarks.md (BENCH_ARGS=--quick: only print the main ratios)
	$(BENCH)/bin/python -W ignore::ResourceWarning -m tests.benchmarks $(BENCH_ARGS)

format: $(STAMP)  ## rewrite the code in the project's style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	@touch $@

docs: $(VENV)/.docs  ## build the site strictly into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html is the first page."

docs-serve: $(VENV)/.docs  ## show the site on http://127.0.0.1:8000 while you write
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict

$(VENV)/.cookbook: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group cookbook
	@touch $@

cookbook: $(VENV)/.cookbook  ## run the cookbook's programs, with a real embedding model (needs PyTorch)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -rs tests/integration_tests/test_cookbook.py

clean:  ## remove everything that a target made
	rm -rf $(VENV) $(THIRD) $(FUZZ) $(BENCH) .fuzz build dist site .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
