.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types format docs wheel

PYTHON ?=
WORKERS ?= 2
BIN := .venv/bin
DONE := .venv/.installed

# An activated environment must not leak into .venv.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

help:
	@echo "make setup    create .venv and install circuitsbi with all it needs"
	@echo "make demo     a first estimate from a simulated recording"
	@echo "make test     the tests, without the slow ones"
	@echo "make lint     ruff: mistakes and formatting"
	@echo "make types    mypy"
	@echo "make format   let ruff format the code"
	@echo "make docs     the documentation, in site/ (open site/index.html)"
	@echo "make wheel    build the wheel and try it outside this folder"

setup: $(DONE)

# A constraints file pins every version; what it asks for is installed again only when it or pyproject.toml changes.
$(DONE): pyproject.toml constraints.txt
	@set -e; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  usable='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
	  found=; \
	  for candidate in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11); do \
	    if "$$candidate" -c "$$usable" >/dev/null 2>&1; then found="$$candidate"; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "circuitsbi needs Python 3.11, 3.12 or 3.13; $(if $(PYTHON),$(PYTHON),python3) is $$("$(if $(PYTHON),$(PYTHON),python3)" --version 2>&1 || true)." >&2; \
	    echo "Install one of them, or name it: make setup PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	  fi; \
	  echo "Creating .venv with $$("$$found" --version)"; \
	  "$$found" -m venv --clear .venv; \
	fi
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev,docs,files,hnn]'
	@touch $@

demo: setup
	$(BIN)/circuitsbi demo

test: setup
	$(BIN)/python -m pytest -n $(WORKERS)

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: setup
	$(BIN)/python -m mypy

format: setup
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix-only .

# Warnings are errors. The notice of a coming version of mkdocs is none of ours.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

wheel: setup
	$(BIN)/python scripts/check_wheel.py
