# What a person or a pipeline does with this project. Needs make and Python >= 3.11, nothing else.
# Everything that is installed lands in .venv, from the hashed lock files in requirements/.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# `make coverage` fails under this many per cent of lines and branches.
COVERAGE_FLOOR := 90

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export UV_PYTHON_DOWNLOADS := never

# A stamp says that the lock file it depends on is installed. pyproject.toml is there because the
# command `auditlogservice` is made from it. The package itself is installed in place, without its
# dependencies (the lock has them) and without build isolation (requirements/build.txt has that).
PIP := $(BIN)/python -m pip install --quiet --require-hashes
PACKAGE := $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .

.PHONY: help serve test coverage test-deep bench bench-quick bench-growth bench-questions \
  bench-explain check fix lock clean

help: ## say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

serve: $(VENV)/.server ## run the service on SQLite (ARGS="--port 9000" for options of `serve`)
	@exec $(BIN)/auditlogservice serve $(ARGS)

PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

test: $(VENV)/.dev ## run all tests, those on a real MongoDB too (ARGS=tests/… for some)
	$(PYTEST) $(ARGS)

coverage: $(VENV)/.dev ## run them and say which lines and branches none of them reaches
	$(MAKE) test ARGS="--cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR) $(ARGS)"

test-deep: $(VENV)/.dev ## run the long variants of the tests
	$(PYTEST) -m deep --timeout=3600 $(ARGS)

# The mongod of the tests is used; wrk makes the load where it is installed.
BENCH := PYTHONPATH=tests $(BIN)/python -m bench

bench: $(VENV)/.dev ## measure for a quarter of an hour, write bench/results.md (ARGS="--data DIR")
	$(BENCH) $(ARGS)

bench-quick: $(VENV)/.dev ## the same in two minutes, with smaller logs
	$(BENCH) --plan quick $(ARGS)

bench-growth: $(VENV)/.dev ## how answers change up to 1,000,000 events, in half an hour; draws them
	$(BENCH) --plan large --report bench/growth.md --plot docs/growth.svg $(ARGS)

bench-questions: $(VENV)/.dev ## how long questions take (ARGS="--events 1000000 --store mongodb://…")
	$(BIN)/python -m bench.questions $(ARGS)

bench-explain: $(VENV)/.dev ## what MongoDB looks at for its answers (ARGS="--events 20000 --raw")
	$(BENCH).explain $(ARGS)

check: $(VENV)/.dev ## lint, types, import rules, dependencies, lock files; changes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/python -m pytest --quiet tests/test_locks.py

fix: $(VENV)/.dev ## mend what ruff can mend, and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(VENV)/.dev ## write requirements/*.txt again (ARGS=--upgrade for newer versions)
	PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock.sh $(ARGS)

clean: ## remove what make made; auditlog-data, where events are kept, stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage \
	  htmlcov dist build
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.server: requirements/server.txt requirements/build.txt pyproject.toml | $(VENV)/bin/python
	@echo 'Installing the server into $(VENV) …'
	@$(PIP) -r requirements/server.txt -r requirements/build.txt
	@$(PACKAGE)
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo 'Installing the server and the development tools into $(VENV) …'
	@$(PIP) -r requirements/dev.txt
	@$(PACKAGE)
	@touch $@

# The first Python that is new enough and can make a virtual environment; PYTHON=… goes before.
# A virtual environment that failed half-way is removed: half a .venv is no target.
$(VENV)/bin/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
	  "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	    >/dev/null 2>&1 || continue; \
	  "$$python" -m venv --clear $(VENV) && exit 0; \
	  rm -rf $(VENV); \
	done; \
	echo 'No Python 3.11 or newer that can make a virtual environment was found.' >&2; \
	echo 'Install one (on Debian and Ubuntu: apt install python3 python3-venv), or name one:' >&2; \
	echo '  make serve PYTHON=/path/to/python3' >&2; \
	exit 1
