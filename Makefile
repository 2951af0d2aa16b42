# Every target creates .venv and installs what it needs on first use.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
INPUTS := $(BIN)/python pyproject.toml constraints.txt

.PHONY: help demo test nightly lint types docs bench build clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or newer is needed; try: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.demo: $(INPUTS)
	$(PIP) -e '.[train,pdf]'
	@touch $@

.venv/.test: $(INPUTS)
	$(PIP) -e '.[train,pdf,test,trackers,parquet,ray,slurm,hf]'
	@touch $@ .venv/.demo

.venv/.lint: $(INPUTS)
	$(PIP) -e '.[train,pdf,test,trackers,parquet,ray,slurm,hf,lint]'
	@touch $@ .venv/.test .venv/.demo

.venv/.docs: $(INPUTS)
	$(PIP) -e '.[docs]'
	@touch $@

demo: .venv/.demo ## train the quickstart study and report on it (four minutes)
	$(BIN)/scaling study sweeps/quickstart.toml -o out/quickstart
	@echo "open out/quickstart/report.html"

test: .venv/.test ## what every change must pass
	$(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist loadfile

nightly: .venv/.test ## everything, the long tests included
	$(BIN)/python -m pytest

lint: .venv/.lint ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.lint ## mypy, strict
	$(BIN)/mypy

docs: .venv/.docs ## build the site
	$(BIN)/python -m mkdocs build --strict

bench: .venv/.test ## speed and accuracy
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

build: .venv/.test ## wheel and source archive
	$(BIN)/python -m build

clean: ## remove what the targets made
	rm -rf .venv dist build site out .mypy_cache .ruff_cache .pytest_cache .hypothesis
