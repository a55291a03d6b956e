# Everything that people type. `make demo` and `make test` do all the set-up by themselves.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
# The TFX line follows the Python version: 3.10 brings TFX 1.16, 3.11 to 3.13 bring TFX 1.21. Also the path of an
# interpreter. What `make setup PYTHON=3.12` chose stays chosen until another is.
PYTHON ?= $(shell cat $(VENV)/.python 2>/dev/null || head -n 1 .python-version)
ROOT ?= runs
# What `make lock` writes, and whether it moves on what is there already.
LOCK ?= requirements.lock
UPGRADE ?= --upgrade
# Environment of the other TFX line; with it, `make test` also moves folders between the two.
OTHER_LINE ?=
# Test files that run side by side; each process takes some 2 GB.
WORKERS ?= 2
# What the tests of web pages look at them with: a Chromium or Chrome. Not from the environment, where the name means the
# browser that people use.
BROWSER := $(firstword $(shell command -v chromium-headless-shell chromium google-chrome google-chrome-stable 2> /dev/null) .browser/chromium)
# Compares cache keys of two processes, so it has one to itself.
KILLING := tests/runners/test_kill.py
BIN := $(VENV)/bin
UV := .uv/bin/uv
READY := $(VENV)/.ready-$(subst /,_,$(PYTHON))
export UV_PYTHON_DOWNLOADS := never

.PHONY: help setup demo test check lock benchmark references clean

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

test: $(BROWSER) setup check ## Pass all tests, end-to-end runs included
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --ignore=$(KILLING) --browser=$(BROWSER) $(if $(OTHER_LINE),--other-line=$(OTHER_LINE))
	$(BIN)/python -m pytest $(KILLING)

check: setup ## Lint, format, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmark: setup ## Measure what the pipeline costs beyond a plain script
	$(BIN)/python tests/benchmarks/overhead.py

references: setup ## Add what the CLV model is compared with to the environment (300 MB)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements-benchmark.lock

lock: $(UV) ## Resolve requirements.lock anew, for both TFX lines in one go
	$(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --group dev $(UPGRADE) --custom-compile-command "make lock" pyproject.toml -o $(LOCK)
	$(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --group benchmark --constraints $(LOCK) $(UPGRADE) --custom-compile-command "make lock" -o $(LOCK:.lock=-benchmark.lock)

clean: ## Remove environments and everything that runs wrote
	rm -rf .uv .venv .venv-* .debian13 .browser $(ROOT)

# uv is not expected on the machine: its pinned and hashed version comes from the same lock file.
$(UV): requirements.lock
	@echo "Installing the installer (uv) into .uv"
	python3 -m venv --clear .uv
	awk '/^uv==/ {found=1} found {print} found && !/\\$$/ {exit}' requirements.lock > .uv/uv.lock
	.uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r .uv/uv.lock
	touch $(UV)

# Where the machine has none. Both TFX lines share it.
.browser/chromium: .ci/browser .ci/apt.sh
	.ci/browser .browser

# pyenv's shims pass on only the versions that are asked for by name. Bytecode is written here, once: a process that may
# not write it (PYTHONDONTWRITEBYTECODE) compiles 10,000 modules of TFX anew, which takes longer than most nodes do.
$(READY): requirements.lock pyproject.toml | $(UV)
	@interpreter=$$(PYENV_VERSION=$(PYTHON) $(UV) python find --system $(PYTHON) 2>/dev/null) || \
	{ echo "No Python $(PYTHON) found. To do: install it (\`pyenv install $(PYTHON)\`, or from your system's packages), or choose another, such as \`make setup PYTHON=3.10\`." >&2; exit 1; }; \
	$$interpreter -I runners/tfx_lines.py; \
	echo "Making $(VENV) with $$($$interpreter --version): about 3 GB, a few minutes on a first download"; \
	$(UV) venv --quiet --clear --python $$interpreter $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	echo $(PYTHON) > $(VENV)/.python
	touch $@
