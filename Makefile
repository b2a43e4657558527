PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup train draw reproduce reproduce-all reproduce-quick test test-all lint bench clean

help:           ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(READY) ## the environment .venv with all packages (about 6 GB, torch brings its CUDA libraries)

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@$(BIN)/python -c "from rnn_tasks.models import kernel; print('C++ kernel:', 'ready' if kernel.library() else 'no compiler')"
	@touch $@

train: setup    ## train the adder, then ask it for a sum
	$(BIN)/python -m rnn_tasks.train
	$(BIN)/python -m rnn_tasks.predict adder 1011+110
	@echo "see its curves: $(BIN)/tensorboard --logdir outputs"

draw: setup     ## draw a digit in the browser, and see how networks read it
	$(BIN)/python -m rnn_tasks.draw

reproduce: setup ## all experiments of the report, then outputs/report/index.html (2 cores: under 2 hours)
	$(BIN)/python -m rnn_tasks.reproduce

reproduce-all: setup ## also the sweeps that some of its claims need
	$(BIN)/python -m rnn_tasks.reproduce --all

reproduce-quick: setup ## a quick look, outputs/quick/report/index.html (under 10 minutes)
	$(BIN)/python -m rnn_tasks.reproduce --quick

test: setup     ## the tests that take seconds
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not slow"

test-all: setup ## all tests
	$(BIN)/python -m pytest -q -n auto --dist loadfile

lint: setup     ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup    ## speed against plain PyTorch and JAX, as ratios; of an answer to a drawing
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.draw

clean:          ## remove the environment; outputs stay
	rm -rf .venv
