# Everything runs in .venv, which the first target that needs it makes. No target needs root but `make test`, `faults`
# and `bench`, which install Mosquitto and RabbitMQ from Debian's packages where they are missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
MINUTES ?= 10

.PHONY: demo test check generate format bench faults fuzz mutants clean

$(VENV)/.runtime: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("argo-bridge needs Python 3.11 or newer, found %s; set PYTHON=" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "This Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing argo-bridge into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.runtime
	@echo "Installing the development tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(VENV)/.runtime
	@$(BIN)/argo-bridge demo $(ARGS)

# Four at a time: most of a test's time is waiting for a condition.
test: $(VENV)/.dev
	@sh tests/install-brokers.sh
	@$(BIN)/python -m pytest -n 4 --dist loadfile $(ARGS)

# The part of the tests that kills, cuts and breaks things on purpose, with the figures that it counted.
# FAULTS_MINUTES=30 lets everything fail for half an hour, FAULTS_SEED=N makes other random choices.
faults: $(VENV)/.dev
	@sh tests/install-brokers.sh
	@$(BIN)/python -m pytest -n 4 --dist loadfile tests/faults $(ARGS)

# Random inputs for everything that takes what others made, for so many minutes of CPU time. Findings are files in
# fuzz-findings; ARGS="--replay FILE" meets one again. A minute of it is part of the tests.
fuzz: $(VENV)/.dev
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(ARGS)

# Small changes to the code, one at a time: which of them do the tests miss? CONTRIBUTING.md says how to read it.
# ARGS="--part bridge/spool --count 50 --seed 1" chooses.
mutants: $(VENV)/.dev
	@sh tests/install-brokers.sh
	@$(BIN)/python -m tests.mutants $(ARGS)

check: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -q tests/docs/test_generated.py

# Schemas and references in pages, from what the program declares.
generate: $(VENV)/.dev
	@$(BIN)/python -m tests.docs.generated

format: $(VENV)/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev
	@sh tests/install-brokers.sh
	@$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf $(VENV) dist build *.egg-info
