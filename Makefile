# Everything runs in .venv, which the first target that needs it creates from uv.lock.
SHELL := /bin/sh
PYTHON ?= python3.11
BIN := .venv/bin
SEED ?= $(shell date +%s)
STAMP := .venv/.synced
# Files of tests on all cores, each whole in one process, because its tests share what was started for the first of them.
SIDE_BY_SIDE := --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test test-fabric chaos soak bench lint network-up network-down network-status clean tff-platform

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

demo: tff-platform $(STAMP) ## three hospitals train one model on their own network (about a minute and a half)
	@exec $(BIN)/python -m demo

test: lint ## lint, types and every test; says in a line what was skipped and why
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-fabric: $(STAMP) ## all of it on Fabric's own programs, into docs/compatibility.json; fails without them
	@$(BIN)/python tests/compatibility.py

chaos: $(STAMP) ## kill every process of a network of Fabric's in turn in a running task; the table goes to docs/chaos.md
	@$(BIN)/python tests/chaos.py

soak: $(STAMP) ## the tests that scale, at their full counts (takes long); SEED=… repeats a run of bench/soak.json
	@exec env SOAK=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m soak -p soak_report --hypothesis-seed=$(SEED) --timeout=7200

bench: $(STAMP) ## measure speed and memory into bench/results.json
	@$(BIN)/python -m bench

lint: $(STAMP) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

network-up: $(STAMP) ## start the network of network/consortium.yaml (ENGINE=fabric|devnet forces one; FABRIC_RUNTIME=docker)
	@$(BIN)/fabric-fl network up

network-down: $(STAMP) ## end what network-up started; its state stays
	@$(BIN)/fabric-fl network down

network-status: $(STAMP) ## what runs, where, and whether it endorses
	@$(BIN)/fabric-fl network status

clean: ## end the network and delete .venv, caches and outputs; the network's state stays in .network
	@if [ -x $(BIN)/fabric-fl ]; then $(BIN)/fabric-fl network down; fi
	@rm -rf .venv build dist demo/out demo/report.json demo/*.png .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml chaincode/pyproject.toml uv.lock
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) was not found; install Python 3.11 (or name it with PYTHON=…)." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@VIRTUAL_ENV=$(CURDIR)/.venv UV_PROJECT_ENVIRONMENT=$(CURDIR)/.venv $(BIN)/uv sync --quiet --frozen --all-packages --all-extras
	@touch $@

# TensorFlow Federated publishes wheels for one platform; everything but the demo and training with it works elsewhere too.
tff-platform:
	@test "$$(uname -sm)" = "Linux x86_64" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	  || { echo "make demo: TensorFlow Federated needs Python 3.11 on Linux x86-64, and this is $$(uname -sm) with $$($(PYTHON) --version 2>/dev/null || echo "no $(PYTHON)")." >&2; exit 1; }
