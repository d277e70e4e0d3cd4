# `make` lists the targets.  Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-scale check format docs bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | awk -F': ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: .venv/ragkit ## Set up, ingest the example papers, and answer three questions
	@echo '$$ ragkit ingest examples/papers'
	@$(BIN)/ragkit ingest examples/papers
	@for question in \
	    "How many parameters do BERT-base and BERT-large have?" \
	    "Why do language models miss facts in the middle of a long context?" \
	    "What is the capital of France?"; do \
	    echo; echo "$$ ragkit ask \"$$question\""; $(BIN)/ragkit ask "$$question" || exit 1; \
	  done
	@echo; echo "Ask your own: $(BIN)/ragkit ask \"...\"   or talk: $(BIN)/python examples/chatbot.py"

test: .venv/dev ## Set up and run the tests
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

test-scale: .venv/dev ## Run the tests of workers and of kept replies with many kills and races (minutes)
	RAGKIT_TEST_KILLS=40 RAGKIT_TEST_RACES=1000 RAGKIT_TEST_REPLY_KILLS=200 \
	  $(BIN)/python -m pytest tests/test_workers.py tests/test_ray.py tests/test_kept_replies.py

check: .venv/dev ## Formatting, lint, types, known vulnerabilities and licences
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy ragkit examples benchmarks tools
	$(BIN)/python tools/audit.py

format: .venv/dev ## Put the code into the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/dev ## Build the documents as a site, in site/
	$(BIN)/zensical build --strict

bench: .venv/dev ## Measure, and write docs/benchmarks.md
	$(BIN)/python -m benchmarks

clean: ## Remove the environment and everything derived
	rm -rf .venv site .ragkit .pytest_cache .mypy_cache .ruff_cache .hypothesis

# torch first, and at the pinned version: a later resolution could bring the CUDA build, which is gigabytes.
.venv/torch: constraints.txt
	@echo "Setting up .venv (once; a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ragkit needs Python 3.11 or later; set PYTHON=python3.11")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(PIP) torch
	@touch $@

.venv/ragkit: .venv/torch pyproject.toml
	@$(PIP) --editable .
	@touch $@

.venv/dev: .venv/ragkit
	@$(PIP) --editable '.[dev]'
	@touch $@
