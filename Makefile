# Two commands: `make demo` ranks real documents with the bundled model, `make test` runs every test.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: demo test check lint types format quality bench clean help

help:  ## This list.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | awk -F'|' '{printf "make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/.installed  ## Install into .venv and rank real documents with the bundled model.
	$(BIN)/qwen3-reranker rank "how do I undo my last commit" examples/documents --top-k 5 --format table

test: $(VENV)/.installed-tests lint types  ## Everything: lint, types and the whole test suite (under 15 minutes).
	$(BIN)/python -m pytest

check: $(VENV)/.installed-tests lint types  ## The fast part (under 2 minutes): lint, types and quick tests.
	$(BIN)/python -m pytest -m "not slow"

lint: $(VENV)/.installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-tests
	$(BIN)/mypy

format: $(VENV)/.installed-tests  ## Lay the code out as `lint` wants it.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-tests  ## Tokens, speed and memory beside separate rows, random weights (minutes).
	$(BIN)/python -m benchmarks.core

quality: $(VENV)/.installed  ## nDCG@10 of nano on the development sets in DEV (default ../shared/data/dev).
	$(BIN)/python -m benchmarks.nano_quality --dev $(or $(DEV),../shared/data/dev)

clean:  ## Remove the environment and every cache.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@echo "Making $(VENV) and installing into it, once ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-tests: pyproject.toml constraints.txt | $(BIN)/python
	@$(PIP) install --constraint constraints.txt --editable '.[tests]'
	@touch $@ $(VENV)/.installed
