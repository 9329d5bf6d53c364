# make demo   from nothing to separated stems     make check   the quick tests     make test   the whole suite
PYTHON ?= python3
DEMO := demo
RUN := runs/demo
SPLITS := test,test_unseen_bank
PIECES := 176
RATE := 11025
# a piece of the split `test`, and who plays in it
HELD_OUT := 105_BeethovenOpus59no3Movement1_vn_fl_cl
LABELS := vn,fl,cl

BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install
# A test process on each core, with one thread: more would wait for one another.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
  $(BIN)/pytest -q -n auto --dist loadfile --no-loadscope-reorder

.PHONY: help demo check test lint clean

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
	$(BIN)/python Prepare.py synthetic $(DEMO)/urmp --pieces $(PIECES) --sample-rate $(RATE)
	$(BIN)/python Prepare.py urmp $(DEMO)/urmp $(DEMO)/prepared --sample-rate $(RATE)
	$(BIN)/python Training.py with demo name=$(notdir $(RUN)) fresh=true data.prepared=$(DEMO)/prepared
	$(BIN)/python Test.py with run=$(RUN) split=$(SPLITS)
	$(BIN)/python Evaluate.py with run=$(RUN) split=$(SPLITS)
	$(BIN)/python Separate.py $(DEMO)/urmp/$(HELD_OUT)/AuMix_$(HELD_OUT).wav --run $(RUN) --labels $(LABELS) --out $(DEMO)/stems
	@echo
	@echo "stems     $(DEMO)/stems/AuMix_$(HELD_OUT)/  beside the mixture and its true parts in $(DEMO)/urmp/$(HELD_OUT)/"
	@echo "tables    $(RUN)/scores/*/summary.md"
	@echo "pictures  $(RUN)/curve.png  $(RUN)/scores/*/boxplot.png  $(RUN)/scores/*/spectrograms.png"

lint: .venv/dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint  ## lint and types, then the tests that are quick: 3 minutes on 2 cores at most
	$(PYTEST) -m "not slow"

test: lint  ## lint and types, then all tests: 20 minutes on 2 cores at most
	$(PYTEST)

clean:  ## remove .venv, caches, builds and what the demo made
	rm -rf .venv build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache $(DEMO) $(RUN)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
