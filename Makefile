# Every target sets itself up: a fresh machine needs python3 (3.11 or newer) with venv, and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SEED ?= 0
# Two test processes share two cores; more would only wait for each other.
WORKERS ?= 2

.PHONY: setup demo test lint claims bench docs clean

setup: $(VENV)/.dev

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

demo: $(VENV)/.core
	$(BIN)/jaxnn demo --seed $(SEED)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q
	JAX_NUM_CPU_DEVICES=8 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q tests/train/parallel

claims: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q -m slow
	JAX_NUM_CPU_DEVICES=8 $(BIN)/python -m pytest -q -m slow tests/train/parallel
	$(BIN)/jaxnn claims run --all --jobs 2 --seed $(SEED) --json docs/claims.json
	$(BIN)/jaxnn claims render

bench: $(VENV)/.dev
	$(BIN)/jaxnn bench

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) .cache build docs/_build *.egg-info
