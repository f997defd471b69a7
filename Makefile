# make serve | test | lint | fuzz | data | bundles | gpu-check | image | containers | sbom | audit
# (PYTHON=python3.12, PORT=..., TORCH_PIP_ARGS=... to change)
PYTHON ?= python3
VENV ?= .venv
BIND ?= 127.0.0.1:8000
# Where pip takes torch from. For a CPU-only build on Linux:
#   make serve TORCH_PIP_ARGS="--index-url https://download.pytorch.org/whl/cpu"
TORCH_PIP_ARGS ?=
OUT ?= runs/gpu-check

BIN := $(VENV)/bin
QUIET := --quiet --disable-pip-version-check
PIP := $(BIN)/python -m pip install $(QUIET) -c requirements.lock

.PHONY: serve test lint fuzz data bundles gpu-check image containers sbom audit clean

serve: $(VENV)/.core
	WINNOW_HTTP__BIND=$${WINNOW_HTTP__BIND:-$(BIND)} $(BIN)/winnow serve

test: $(VENV)/.dev
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint docker/Dockerfile docker/testing/*.Dockerfile
	$(BIN)/shellcheck --external-sources docker/test.sh docker/testing/*.sh .ci/run

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

image:
	DOCKER_BUILDKIT=1 docker build -f docker/Dockerfile -t winnow:cpu .

# Builds the image, brings up docker-compose.yml and checks it; brings what it needs on Debian as root.
containers:
	docker/test.sh

# What the service is made of, as CycloneDX: an environment with nothing else in it is installed and listed.
sbom: $(VENV)/.audit
	$(PYTHON) -m venv --clear $(VENV)/service
	$(VENV)/service/bin/python -m pip install $(QUIET) -c requirements.lock $(TORCH_PIP_ARGS) torch
	$(VENV)/service/bin/python -m pip install $(QUIET) -c requirements.lock '.[otel]'
	$(VENV)/service/bin/python -m pip uninstall --quiet --yes pip
	rm -rf build/lib build/bdist.*
	mkdir -p build
	$(VENV)/audit/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --of JSON -o build/sbom.json $(VENV)/service/bin/python

# Known vulnerabilities of everything in the lock. Needs the network; without it --strict fails rather than says "none".
audit: $(VENV)/.audit
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements.lock

clean:
	rm -rf $(VENV)

$(VENV)/.core: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	@# torch on its own, so that its index serves nothing else
	$(BIN)/python -m pip install $(QUIET) -c requirements.lock $(TORCH_PIP_ARGS) torch
	$(PIP) -e .
	@touch $@

$(VENV)/.train: $(VENV)/.core
	$(PIP) -e '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e '.[dev]'
	@touch $@

# In an environment of their own: their dependencies are none of ours.
$(VENV)/.audit:
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install $(QUIET) cyclonedx-bom==7.5.0 pip-audit==2.10.1
	@touch $@
