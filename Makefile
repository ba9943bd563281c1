# The same commands for people and CI. Nothing but Python 3.11+ and make is needed; all goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: install demo predictor test mutants check docs clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("transfercast needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	# Without its dependencies: it pins numpy 2.0.0, and runs with newer ones.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps hf-dataset-selector==0.2.1
	touch $(STAMP)

demo: install
	$(BIN)/python -m transfercast demo

predictor: install
	$(BIN)/python -m transfercast.retraining.bundled

test: install
	$(BIN)/python -m pytest

# Some ten minutes: whether the tests of deciding notice wrong lines. Not in CI.
mutants: install
	$(BIN)/python -m benchmarks.mutants

check: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

docs: install
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs docs/_build/html

clean:
	rm -rf .venv demo-run build dist docs/_build *.egg-info
