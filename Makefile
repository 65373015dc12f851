# `make train` trains a network from nothing but Python and make; `make test` runs the tests.
# Both first make .venv; PYTHON=/path/to/python3.12 chooses the interpreter.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: train test test-quick test-scores lint schema clean

train: $(VENV)/installed
	$(BIN)/compile-and-train specs/recipes/digits-resnet.yaml

test: $(VENV)/installed
	$(PYTEST) -n $(WORKERS) -m "not scores"

test-quick: $(VENV)/installed
	$(PYTEST) -n $(WORKERS) -m "not slow and not scores"

# Every recipe in full, with the scores it claims, as a table.
test-scores: $(VENV)/installed
	$(PYTEST) -m scores -q

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# What editors know of specs, after a change to the models that it is made from.
schema: $(VENV)/installed
	$(BIN)/flaxspec schema -o specs/flaxspec.schema.json

# The environment is made again when what it is made from changes.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .venv-new build dist *.egg-info .pytest_cache .ruff_cache \
		.hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
