# Every target creates .venv and installs what it needs on first use.
PYTHON ?= python3
TESTS ?= part
BENCHES ?= speed bench_fit accuracy coverage reading
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
INPUTS := $(BIN)/python pyproject.toml constraints.txt

.PHONY: help demo test nightly lint types docs bench build check-wheel check-minimum check-newest newcomer clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

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

nightly: test ## and then the long tests, whose outcome goes to docs/nightly.md
	$(BIN)/python -m pytest -m "slow or gpu" --junitxml=out/nightly.xml; status=$$?; \
	  $(BIN)/python -m tests.nightly out/nightly.xml && exit $$status

lint: .venv/.lint ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.lint ## mypy, strict
	$(BIN)/mypy

docs: .venv/.docs ## build the site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: .venv/.test ## speed and accuracy of fits; all others: benchmarks/README.md
	for name in $(BENCHES); do $(BIN)/python benchmarks/$$name.py || exit 1; done

.venv-build/.done: constraints.txt
	$(PYTHON) -m venv .venv-build
	.venv-build/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt build twine
	@touch $@

build: .venv-build/.done ## wheel and source archive, under dist/
	rm -rf dist
	.venv-build/bin/python -m build
	.venv-build/bin/twine check --strict dist/*

check-wheel: build ## the wheel passes its tests, as pinned; TESTS=all for all of them
	$(PYTHON) .ci/installed.py wheel --tests $(TESTS)

check-minimum: build ## ... with the lowest versions that pyproject.toml allows
	$(PYTHON) .ci/installed.py minimum --tests $(TESTS)

check-newest: build ## ... with the newest versions, on the newest Python here
	$(PYTHON) .ci/installed.py newest --tests $(TESTS)

newcomer: .venv/.test ## what a newcomer types from the README and the docs, on a clean machine
	$(BIN)/python -m tests.docs.newcomer

clean: ## remove what the targets made
	rm -rf .venv .venv-build dist build site out .mypy_cache .ruff_cache .pytest_cache .hypothesis
