# Two commands do everything on a fresh Debian or macOS machine with Python 3.11 or newer:
#   make demo    a simulated AT-TPC with the real IOC in front of it
#   make test    lint, types, layers, tests (on two processes)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint phoebus clean

demo: $(VENV)/installed
	$(BIN)/attpc-ioc demo

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses 2 --dist loadfile

# Every screen in real Phoebus; skipped without Phoebus, a JDK, Maven and Xvfb (tests/phoebus/README.md).
phoebus: $(VENV)/installed-dev
	$(BIN)/pytest tests/phoebus

lint: $(VENV)/installed-dev
	$(BIN)/pre-commit run --all-files

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "On Debian: apt install python3-venv, then again" >&2; exit 1; }

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist *.egg-info demo-data
