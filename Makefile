PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup train draw reproduce reproduce-all reproduce-quick suite test test-all torture lint docs docs-serve bench clean

help:           ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

setup: $(READY) ## install all packages into .venv (about 7 GB; README says how to get by with less)

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@$(BIN)/python -c "from rnn_tasks.models import kernel; print('C++ kernel:', 'ready' if kernel.library() else 'no compiler')"
	@touch $@

train: setup    ## train the adder, then ask it for a sum (under a minute)
	$(BIN)/python -m rnn_tasks.train
	$(BIN)/python -m rnn_tasks.predict adder 1011+110
	@echo "see its curves: $(BIN)/tensorboard --logdir outputs"

draw: setup     ## open a page to draw digits on, and see how networks read them
	$(BIN)/python -m rnn_tasks.draw

reproduce: setup ## run the report's experiments, write outputs/report/index.html (2 cores: about 2 hours)
	$(BIN)/python -m rnn_tasks.reproduce

reproduce-all: setup ## the same with the sweeps that some claims need (2 cores: about 4 hours)
	$(BIN)/python -m rnn_tasks.reproduce --all

suite: setup    ## train every cell on every task, 32 networks of each, write outputs/report/suite.md (2 cores: about 90 minutes)
	$(BIN)/python -m rnn_tasks.reproduce --suite

reproduce-quick: setup ## a short version, outputs/quick/report/index.html (2 cores: about 7 minutes)
	$(BIN)/python -m rnn_tasks.reproduce --quick

test: setup     ## run the tests, without the slow ones
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow"

test-all: setup ## run all tests
	$(BIN)/python -m pytest -q -n auto --dist loadfile

torture: setup  ## disturb training in 200 rounds: kills, signals, full disks (2 cores: 15 minutes)
	$(BIN)/python -m tests.torture 200

lint: setup     ## check rules, format and types (ruff, mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup     ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: setup ## show the documentation in the browser, and what is changed in it at once
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

bench: setup    ## measure the speed of training against plain PyTorch and JAX, and of the drawing page
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.draw

clean:          ## remove .venv; outputs stay
	rm -rf .venv
