# Every target sets up .venv by itself. `make demo` and `make test` are all a new reader needs.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
SECONDS_BUDGET ?= 600
SEED ?= 0

.PHONY: help demo test check format bench crash rig fuzz soak proto clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/.demo ## start a server, load the sample, ask it questions, kill it, ask again
	$(BIN)/python examples/demo.py

test: .venv/.dev ## run the whole test suite
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

check: .venv/.dev ## format, lint, types and layers, as continuous integration does
	$(BIN)/ruff format --check src tests fuzz benchmarks scripts examples
	$(BIN)/ruff check src tests fuzz benchmarks scripts examples
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev ## format the code and fix what can be fixed
	$(BIN)/ruff format src tests fuzz benchmarks scripts examples
	$(BIN)/ruff check --fix src tests fuzz benchmarks scripts examples

bench: .venv/.dev ## run the benchmarks on made-up data; DATA=dir runs them on yours
	$(BIN)/python -m benchmarks.run $(if $(DATA),--data $(DATA))

crash: .venv/.dev ## power cuts, disk errors and bit flips on a disk in memory, for SECONDS_BUDGET
	$(BIN)/python -m tests.crash.campaign all --seconds $(SECONDS_BUDGET) --seed $(SEED)

rig: .venv/.dev ## the real server killed, cut off and starved of disk; root and Linux
	KYRODB_RIG_SECONDS=$(SECONDS_BUDGET) $(BIN)/python -m pytest -q -s -p no:cacheprovider --timeout 0 tests/rig

fuzz: .venv/.dev ## every decoder from the kept corpus, for SECONDS_BUDGET
	$(BIN)/python -m fuzz.run --seconds $(SECONDS_BUDGET) --seed $(SEED)

soak: .venv/.dev ## state machines and histories of eight threads with new seeds, for SECONDS_BUDGET
	$(BIN)/python -m tests.model.soak --seconds $(SECONDS_BUDGET) --seed $(SEED)

proto: .venv/.dev ## generate the code of the wire contract again
	$(BIN)/python scripts/generate_proto.py

clean: ## remove what the targets above made
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "KyroDB needs Python 3.11 or later; none was found. Set PYTHON=/path/to/python."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.demo: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cli-tools]'
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,native]'
	@touch $@ .venv/.demo
