# The whole day's work in a few words: make run, make test, make lint, make bench, make docs.
# Needs nothing but Python 3.11 or newer (with venv), git and make; everything else goes into .venv.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=

.PHONY: run test check lint types imports unit docs pictures docs-check wheel bench fuzz soak torture train clean

run: $(VENV)/.product
	@exec $(BIN)/cutoutd run $(ARGS)

# Everything CI runs.
test: lint types imports docs-check unit wheel

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "cutoutd needs Python 3.11 or newer with its venv module; install it and run make again." >&2; exit 1; }
	@echo "Making an environment in $(VENV) with $(PYTHON) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.product: pyproject.toml $(BIN)/python
	@echo "Installing cutoutd …"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(BIN)/python
	@echo "Installing cutoutd and the tools that test it …"
	@$(BIN)/python -m pip install --quiet --editable '.[matting,raw]' --group dev
	@touch $@ $(VENV)/.product

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/pyright

imports: $(VENV)/.dev
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(BIN)/pytest $(PYTEST_ARGS)

docs: $(VENV)/.dev
	$(BIN)/python -m cutoutd.config.reference --write

# The pictures of docs/OPTIONS.md and the README, made by cutoutd itself; after a change to options or networks.
pictures: $(VENV)/.dev
	$(BIN)/python docs/make_pictures.py

docs-check: $(VENV)/.dev
	$(BIN)/python -m cutoutd.config.reference --check

# Built, installed into an empty environment, and used from there.
wheel: $(VENV)/.dev
	$(BIN)/python tests/packaging/check_wheel.py

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: $(VENV)/.dev
	$(BIN)/python tests/reliability/fuzz/run_fuzz.py --count 20000 $(ARGS)

torture: $(VENV)/.dev
	$(BIN)/python -m tests.reliability.torture $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python -m tests.reliability.soak $(ARGS)

train: $(BIN)/python
	@$(BIN)/python -m pip install --quiet --editable . --group training
	$(BIN)/python -m cutoutd.models.training.train $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
