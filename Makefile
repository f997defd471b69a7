# make serve | test | lint | fuzz | data | bundles | gpu-check        (PYTHON=python3.12, PORT=..., TORCH_PIP_ARGS=... to change)
PYTHON ?= python3
VENV ?= .venv
BIND ?= 127.0.0.1:8000
# Where pip takes torch from. For a CPU-only build on Linux:
#   make serve TORCH_PIP_ARGS="--index-url https://download.pytorch.org/whl/cpu"
TORCH_PIP_ARGS ?=
OUT ?= runs/gpu-check

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock

.PHONY: serve test lint fuzz data bundles gpu-check clean

serve: $(VENV)/.core
	WINNOW_HTTP__BIND=$${WINNOW_HTTP__BIND:-$(BIND)} $(BIN)/winnow serve

test: $(VENV)/.dev
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(VENV)/.dev
	$(PIP) -e '.[fuzz]'
	$(BIN)/python -m benchmarks.schema_fuzz
	$(BIN)/python -m benchmarks.fuzz

data: $(VENV)/.train
	$(BIN)/winnow data

bundles: $(VENV)/.train
	$(BIN)/python -m training.build

gpu-check: $(VENV)/.train
	$(BIN)/python -m benchmarks.gpu_check --out $(OUT)

clean:
	rm -rf $(VENV)

$(VENV)/.core: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	@# torch on its own, so that its index serves nothing else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock $(TORCH_PIP_ARGS) torch
	$(PIP) -e .
	@touch $@

$(VENV)/.train: $(VENV)/.core
	$(PIP) -e '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e '.[dev]'
	@touch $@
