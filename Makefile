# make demo: install and run the whole loop on the embedded model. make test: install and run the tests.
# make bench: measure this machine beside the peers, and write docs/benchmarks.md and the README's tables.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo bench test test-slow lint clean

demo: $(VENV)/installed
	$(BIN)/edgekit demo

bench: $(VENV)/installed
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[peers]'
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python benchmarks/benchmarks_page.py
	$(BIN)/python benchmarks/readme_tables.py

test: $(VENV)/installed
	$(BIN)/python -m pytest -m "not slow and not gpu"

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m "slow and not gpu"

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[demo,dev]'
	touch $@

clean:
	rm -rf $(VENV) demo
