# Everything on a fresh Debian or macOS machine with Python 3.11 or newer:
#   make demo    a simulated AT-TPC with the real IOC in front of it
#   make test    lint, types, layers, tests (on two processes)
#   make docs    the documentation, into build/docs
#   make profile where the Channel Access server spends its time

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := requirements-ci.txt
# Measured where it costs little; before Python 3.12 it would double the time of many tests (COVERAGE=--cov does it).
COVERAGE ?= $(shell $(BIN)/python -c 'import sys; print("--cov" * (sys.version_info >= (3, 12)))')

.PHONY: demo test docs phoebus profile lint lock dist clean

demo: $(VENV)/installed
	$(BIN)/attpc-ioc demo

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/pyright --project tests
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses 2 --dist loadfile $(COVERAGE)

# Any warning is an error: a link that leads nowhere, a page that no table of contents lists.
docs: $(VENV)/installed-dev
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --builder html docs build/docs
	@echo "build/docs/index.html"

# Every screen in real Phoebus; skipped without Phoebus, a JDK, Maven and Xvfb (tests/phoebus/README.md).
phoebus: $(VENV)/installed-dev
	$(BIN)/pytest tests/phoebus

# Before and after a change for speed; python -m benchmarks.ca tells whether it was worth it.
profile: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.ca_profile

lint: $(VENV)/installed-dev
	$(BIN)/pre-commit run --all-files

# The versions that `make test` and `make docs` use, for all supported versions of Python, on Linux and macOS.
lock: $(BIN)/python
	$(PIP) uv
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-annotate \
	  --no-emit-package pip --custom-compile-command "make lock" --output-file $(LOCK) pyproject.toml

dist: $(BIN)/python
	$(PIP) build
	$(BIN)/python -m build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "On Debian: apt install python3-venv, then again" >&2; exit 1; }

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml $(LOCK) | $(BIN)/python
	$(PIP) --constraint $(LOCK) --editable '.[test,dev,docs]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist *.egg-info demo-data docs/reference .coverage
