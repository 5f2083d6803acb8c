# Two commands on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPS := $(VENV)/.develops
CHECKERS := tests/browser/node_modules/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test slow lint format bench clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; install it or say 'make PYTHON=/path/to/python3.11'"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): setup.cfg constraints.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEVELOPS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(INSTALLED) ## create .venv and install whyfake in it

demo: $(INSTALLED) ## draw portraits, train a detector on them, write the report
	$(BIN)/whyfake demo --out runs/demo

# axe-core and html-validate; no lock file, which would name the registry of whoever wrote it
$(CHECKERS): tests/browser/package.json
	@if ! command -v npm >/dev/null; then echo "npm is missing: the pages' HTML and accessibility are not checked"; \
	elif cd tests/browser && npm install --no-save --no-package-lock --no-audit --no-fund --silent; then touch node_modules/.installed; \
	else echo "npm could not install the checkers: the pages' HTML and accessibility are not checked"; fi

test: $(DEVELOPS) $(CHECKERS) ## run the tests
	$(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile

slow: $(DEVELOPS) ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(DEVELOPS) ## check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

format: $(DEVELOPS) ## put the code into the house's form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# xplique pins another TensorFlow, so it gets an environment of its own; without it the benchmarks do without its columns
.venv-xplique/bin/python:
	$(PYTHON) -m venv .venv-xplique
	.venv-xplique/bin/python -m pip install --quiet --disable-pip-version-check 'xplique==2.0.2' 'tensorflow==2.20.0' 'keras==3.15.1'

bench: $(DEVELOPS) .venv-xplique/bin/python ## measure the promised ratios, side by side in one run
	$(BIN)/python -m benchmarks.run

clean: ## remove what was built, not the runs
	rm -rf $(VENV) .venv-xplique tests/browser/node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
