# The commands of the project. Each installs what it needs into .venv by itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# More for pip, e.g. a smaller torch: make test-all PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=
# More for pytest, e.g. make test ARGS="-k cli -x"
ARGS ?=
DEMO_OUT := demo-out
# One thread each: tests then give the same sums on every machine, and two cores stay two cores.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all check format lint types layers links bench bench-gpu protocol clean

help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/installed-default ## take the bass out of the demo song; says where to listen
	@$(BIN)/stemwright extract engine/demo/boas.flac bass --output $(DEMO_OUT) --overwrite --spectrogram
	@echo
	@echo "Hear it: $(CURDIR)/$(DEMO_OUT)/boas.bass.wav  the bass on its own"
	@echo "         $(CURDIR)/$(DEMO_OUT)/boas.rest.wav  the song without it"
	@echo "See it:  $(CURDIR)/$(DEMO_OUT)/boas.spectrogram.png"

test: $(VENV)/installed-test ## run the tests that need no torch and take no minutes
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: $(VENV)/installed-all ## run every test, the long ones and those of the training code too (installs torch)
	$(ONE_THREAD) $(BIN)/python -m pytest $(ARGS)

check: lint types layers ## formatting, lint, types and import layers

format: $(VENV)/installed-all ## write the code the way ruff formats it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/installed-all ## formatting and lint only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/installed-all links ## mypy, strict
	$(BIN)/mypy

layers: $(VENV)/installed-all ## who may import whom
	$(BIN)/lint-imports --no-logo

links: ## build/links/stemwright/*: the packages under their import names, for tools that read folders
	@mkdir -p build/links/stemwright
	@for package in engine bridge export; do ln -sfn ../../../$$package build/links/stemwright/$$package; done

bench: $(VENV)/installed-bench ## speed and memory, as ratios measured side by side; writes benchmarks/results.json
	$(BIN)/python benchmarks/bench.py $(ARGS)

bench-gpu: $(VENV)/installed-gpu ## the same on a graphics card; what else is installed is measured too; writes benchmarks/gpu.json
	$(BIN)/python benchmarks/gpu.py $(ARGS)

protocol: $(VENV)/installed-default ## write the tables and constants made from the messages and options
	$(BIN)/python -m stemwright.bridge.protocol

clean: ## remove what the other targets made (not the weights, not your stems)
	rm -rf $(VENV) .venv-bench build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# What each stamp installs. A larger set holds the smaller ones.
EXTRAS-default :=
EXTRAS-test := [test,evaluate]
EXTRAS-bench := [bench]
EXTRAS-gpu := [bench,export]
EXTRAS-all := [test,evaluate,train,bench,ray,dev]

$(VENV)/installed-%: pyproject.toml $(VENV)/created
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) --editable '.$(EXTRAS-$*)'
	@touch $@

$(VENV)/created:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "no $(PYTHON) here: install Python 3.10 or newer (Debian: sudo apt-get install python3 python3-venv), or set PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$$($(PYTHON) --version) is too old: Stemwright needs 3.10 or newer; set PYTHON=/path/to/a/newer/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "this Python cannot make virtual environments: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
