# Every target does all the set-up it needs; only Python >= 3.11, pip and make have to be there.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lint bench
install: .venv/.installed

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e ".[dev]"
	touch $@

demo: install
	$(BIN)/reunite demo

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install
	-$(BIN)/pip install --quiet -e ".[bench]"
	$(BIN)/python -m benchmarks
