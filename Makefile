# `make help` lists the targets; each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test integration_tests scale_tests bench-batch fuzz soak bench quality structure dist format examples docs docs-serve cookbook clean

help:  ## list the targets
	@grep -E '^[a-z_-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[emulator]' --group dev
	@# Without its dependencies, gigabytes of PyTorch, which compiling schemas does not use.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'xgrammar>=0.2.9,<0.3'
	@touch $@

PROSE := langchain_azure_phi3 docs README.md CONTRIBUTING.md SECURITY.md

demo: $(STAMP)  ## run the main features against the emulator
	@$(BIN)/python tests/demo.py

test: $(STAMP)  ## set up; check format, prose, lint, types, architecture; run all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell langchain_azure_phi3 tests docs *.md
	@# American spelling, and the words of tests/vocabulary.txt; not in names of parameters.
	$(BIN)/codespell --builtin en-GB_to_en-US --dictionary - --dictionary tests/vocabulary.txt --ignore-regex '\w+=' --skip '*/_deprecated.py,*.svg' $(PROSE)
	$(BIN)/proselint check $(PROSE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto --cov --cov-report=term

# A real engine and another project's server, in a separate environment: they are large, and pin
# versions. Nothing is compiled.
INTEGRATION := .venv-integration

$(INTEGRATION)/.installed: pyproject.toml
	$(PYTHON) -m venv $(INTEGRATION)
	$(INTEGRATION)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' uv
	@# pip gives up on the tracers' dependencies (resolution-too-deep); uv takes seconds.
	$(INTEGRATION)/bin/uv pip install --quiet --python $(INTEGRATION)/bin/python --editable '.[emulator]' --group integration
	@touch $@

integration_tests: $(INTEGRATION)/.installed  ## run the tests with a real engine (llama.cpp) and with LiteLLM
	$(INTEGRATION)/bin/python -m pytest --durations 5 --ignore tests/third_party/test_litellm.py tests/third_party
	@# In a process of its own: LiteLLM leaves sockets and an event loop open.
	$(INTEGRATION)/bin/python -m pytest -W ignore::pytest.PytestUnraisableExceptionWarning tests/third_party/test_litellm.py

$(INTEGRATION)/.quality: $(INTEGRATION)/.installed
	$(INTEGRATION)/bin/python -m pip install --quiet --disable-pip-version-check langchain-openai langchain-ollama
	@touch $@

quality: $(INTEGRATION)/.quality  ## compare structured output on a real engine; write docs/quality.md
	$(INTEGRATION)/bin/python -m tests.quality

# Ray, Spark and Redis, in a separate environment: they are large, and Spark needs Java.
SCALE := .venv-scale

# $(call require,COMMAND,PACKAGE): install the Debian package if the command is missing.
define require
@command -v $(1) >/dev/null || { apt-get update --quiet && apt-get install --yes --quiet $(2); } || { \
	echo 'The scale tests need the command $(1), and apt-get could not install it (see above). As root, run "apt-get install $(2)"; elsewhere, put $(1) on the PATH. Then run make again.' >&2; exit 1; }
endef

$(SCALE)/.installed: pyproject.toml
	$(call require,java,default-jre-headless)
	$(call require,redis-server,redis-server)
	$(PYTHON) -m venv $(SCALE)
	$(SCALE)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(SCALE)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[emulator,batch,ray,spark]' cryptography hypothesis psutil pytest pytest-asyncio 'pandas>=2.2,<3'
	-$(SCALE)/bin/python -m pip install --quiet --disable-pip-version-check 'dask[dataframe]' daft openaivec
	@touch $@

scale_tests: $(SCALE)/.installed  ## run the tests on Ray, Spark and Redis, in a separate environment (SHORT=1: a few minutes)
	PYSPARK_PYTHON=$(abspath $(SCALE))/bin/python $(SCALE)/bin/python -m pytest --override-ini addopts= --import-mode=importlib --override-ini filterwarnings= -q tests/scale_tests $(if $(SHORT),-m "not long")

bench-batch: $(SCALE)/.installed  ## measure tables on one machine, Ray and Spark; write docs/batch.md (BATCH_ARGS=--quick: only print)
	PYSPARK_PYTHON=$(abspath $(SCALE))/bin/python $(SCALE)/bin/python -m tests.scale_tests.benchmark $(BATCH_ARGS)

# Coverage-guided, with atheris, in a separate environment: it has no wheels for some Pythons.
FUZZ := .venv-fuzz
SECONDS_EACH ?= 30

$(FUZZ)/.installed: pyproject.toml
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[emulator,images]' 'atheris>=3'
	@touch $@

fuzz: $(STAMP) $(FUZZ)/.installed  ## search for input that causes unexpected errors (SECONDS_EACH=30)
	$(FUZZ)/bin/python -m tests.fuzz $(SECONDS_EACH)
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/unit_tests/test_bad_input.py

soak: $(STAMP)  ## send thousands of requests through all faults; write docs/reliability.md
	$(BIN)/python -m tests.soak --page docs/reliability.md $(SOAK_ARGS)

dist: $(STAMP)  ## build the release, and test it with the oldest and newest dependencies
	$(BIN)/python tests/dist.py

# Packages to compare with, in a separate environment.
BENCH := .venv-bench
PEERS := langchain-openai langchain-mistralai langchain-azure-ai openai azure-ai-inference langgraph

$(BENCH)/.installed: pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --editable . $(PEERS)
	@touch $@

bench: $(BENCH)/.installed  ## compare with other packages; write docs/benchmarks.md (BENCH_ARGS=--quick: only print the main ratios)
	$(BENCH)/bin/python -W ignore::ResourceWarning -m tests.benchmarks $(BENCH_ARGS)

structure: $(STAMP)  ## print the size and shape of the client next to its budgets
	@$(BIN)/python -m tests.structure

format: $(STAMP)  ## rewrite the code in the project's style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	@touch $@

examples: $(STAMP)  ## run the examples of the documentation and rewrite the outputs below them
	$(BIN)/python -m tests.examples

docs: $(VENV)/.docs  ## build the site strictly into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html is the first page."

docs-serve: $(VENV)/.docs  ## serve the site on http://127.0.0.1:8000, and rebuild it on changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict

$(VENV)/.cookbook: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group cookbook
	@touch $@

cookbook: $(VENV)/.cookbook  ## run the cookbook's programs, with a real embedding model (needs PyTorch)
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -rs tests/integration_tests/test_cookbook.py

clean:  ## remove everything that the targets created
	rm -rf $(VENV) $(INTEGRATION) $(SCALE) $(FUZZ) $(BENCH) .fuzz build dist site .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
