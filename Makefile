# Everything that people type. `make demo` and `make test` do all the set-up by themselves.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The TFX line follows the Python version: 3.10 brings TFX 1.16, 3.11 to 3.13 bring TFX 1.21.
PYTHON ?= $(shell head -n 1 .python-version)
VENV ?= .venv
ROOT ?= runs
# Test files that run side by side; each process takes some 2 GB.
WORKERS ?= 2
BIN := $(VENV)/bin
UV := .uv/bin/uv
READY := $(VENV)/.ready-$(PYTHON)
export UV_PYTHON_DOWNLOADS := never

.PHONY: help setup demo test check lock benchmark clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## Make the environment from the hashed lock file

demo: setup ## Run the sample to a push, then show that a spoilt copy is refused
	@echo "== 1. The generated sample: ingested, validated, trained, judged and pushed =="
	$(BIN)/pipelines run clv --root $(ROOT)
	@echo "== 2. The same sample with an export mistake in it: must be refused =="
	$(BIN)/pipelines sample-data clv --spoilt --out $(ROOT)/sample/spoilt.csv
	@code=0; $(BIN)/pipelines run clv --root $(ROOT) --data $(ROOT)/sample/spoilt.csv --set line=sample || code=$$?; \
	if [ $$code -eq 3 ]; then echo "== Refused with exit code 3, as it must be; the pushed model is untouched. =="; \
	else echo "== Expected exit code 3 (refused by a gate), received $$code. =="; exit 1; fi

test: setup check ## Pass all tests, end-to-end runs included
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

check: setup ## Lint, format, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: setup ## Measure what the pipeline costs beyond a plain script
	$(BIN)/python tests/benchmarks/overhead.py

lock: $(UV) ## Resolve requirements.lock anew, for both TFX lines in one go
	$(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --group dev --upgrade --custom-compile-command "make lock" pyproject.toml -o requirements.lock

clean: ## Remove environments and everything that runs wrote
	rm -rf .uv .venv $(ROOT)

# uv is not expected on the machine: its pinned and hashed version comes from the same lock file.
$(UV): requirements.lock
	@echo "Installing the installer (uv) into .uv"
	python3 -m venv --clear .uv
	awk '/^uv==/ {found=1} found {print} found && !/\\$$/ {exit}' requirements.lock > .uv/uv.lock
	.uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r .uv/uv.lock
	touch $(UV)

$(READY): requirements.lock pyproject.toml | $(UV)
	@echo "Making $(VENV) with Python $(PYTHON): about 3 GB, a few minutes on a first download"
	$(UV) venv --quiet --clear --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@
