# make demo   from nothing to separated stems          make test   the whole suite
PYTHON ?= python3
DEMO := demo
RUN := runs/demo
PIECES := 170
SECONDS := 30
RATE := 8192

BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help demo test lint clean

help:  ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

.venv/run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "make: error: needs Python 3.11 to 3.13, found $$($(PYTHON) --version 2>&1); name one with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.txt
	@touch $@

.venv/dev: .venv/run pyproject.toml
	$(PIP) --editable '.[dev]'
	@touch $@

demo: .venv/run  ## render, prepare, train, test, score and separate: 12 minutes on 2 cores after installation
	$(BIN)/python Prepare.py synthetic $(DEMO)/urmp --pieces $(PIECES) --seconds $(SECONDS) --sample-rate $(RATE)
	$(BIN)/python Prepare.py urmp $(DEMO)/urmp $(DEMO)/prepared
	$(BIN)/python Training.py with demo name=$(notdir $(RUN)) fresh=true data.prepared=$(DEMO)/prepared
	$(BIN)/python Test.py with run=$(RUN)
	$(BIN)/python Evaluate.py with run=$(RUN)
	$(BIN)/python Separate.py $(DEMO)/urmp/*/AuMix_*.wav --run $(RUN) --out $(DEMO)/stems

lint: .venv/dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## lint, then pytest: 15 minutes on 2 cores at most
	$(BIN)/pytest -q

clean:  ## remove .venv, caches, builds and what the demo made
	rm -rf .venv build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache $(DEMO) $(RUN)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
