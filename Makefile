# The whole day's work in a few words: make run, make test, make lint, make bench, make docs (and make fast).
# Needs nothing but Python 3.11 or newer (with venv), git and make; everything else goes into .venv.

PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
# The versions that uv.lock names, for pip; an empty word takes the newest (see `make newest`).
CONSTRAINTS ?= packaging/constraints.txt
PIP := $(BIN)/python -m pip install --quiet $(addprefix --constraint ,$(CONSTRAINTS))
EXTRAS := matting,raw,fleet
PYTEST_ARGS ?=
# Node keeps young objects in 16 MB and copies them about; with more room the type checker computes a twelfth less.
PYRIGHT := NODE_OPTIONS=--max-semi-space-size=128 $(BIN)/pyright --pythonpath $(BIN)/python
# What fails once on a busy machine is tried again, and said (R); what fails three times has failed. Unit tests have it
# from tests/unit/conftest.py.
RERUNS := --reruns 2
# What every change pays for. `make thorough` runs the rest as well; CONTRIBUTING.md says what is marked so.
CHOSEN ?= not alone and not thorough
INTEGRATION := tests/integration tests/reliability/property tests/reliability/fuzz
ENDTOEND := tests/endtoend tests/reliability/torture tests/reliability/promises tests/packaging
# Processes that share the tests. End-to-end tests wait more than they compute: two more of them than there are cores.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$n -gt 8 ] && n=8; echo $$n)
WAITING_JOBS ?= $(shell echo $$(( $(JOBS) + 2 )))
UNIT = $(BIN)/pytest -n $(JOBS) -m "$(CHOSEN)" tests/unit $(PYTEST_ARGS)
PROCESSES = $(BIN)/pytest -n $(WAITING_JOBS) --dist loadgroup -m "$(CHOSEN)" $(RERUNS) $(ENDTOEND) $(INTEGRATION) $(PYTEST_ARGS)
WHEEL = $(BIN)/python tests/packaging/check_wheel.py
ALONE = files=$$(grep -rlE 'mark\.alone' tests --include='*.py'); \
	test -z "$$files" || $(BIN)/pytest -m alone $(RERUNS) $$files $(PYTEST_ARGS)
# Tests and benchmarks start hundreds of processes; without kept bytecode each would compile the whole program anew.
unexport PYTHONDONTWRITEBYTECODE
STARTED := $(shell date +%s)
TOOK = @echo "make $@: $$(( $$(date +%s) - $(STARTED) )) s"

.PHONY: run test fast lint types imports unit integration endtoend processes alone docs pictures docs-check wheel coverage thorough \
	lowest newest lock packages image dist release-check bench bench-compare fuzz soak torture train clean

run: $(VENV)/.product
	@exec $(BIN)/cutoutd run $(ARGS)

# Before each commit. Of types only what this branch has changed, and what imports that: `make types` and CI check all.
fast: lint imports
	@files=$$($(BIN)/python -m tests.support.changed_files) || exit 1; \
	case "$$files" in "") true;; all) $(PYRIGHT);; \
		*) $(PYRIGHT) $$files;; esac > $(VENV)/pyright.log & types=$$!; \
	$(BIN)/pytest -n $(JOBS) -q -m "not alone and not slow and not thorough" tests/unit $(PYTEST_ARGS); unit=$$?; \
	wait $$types; status=$$?; tail -n 20 $(VENV)/pyright.log; exit $$(( unit | status ))
	$(TOOK)

# Everything CI runs. The type checker takes one core for minutes: it runs beside the unit tests. So does the wheel,
# which waits for pip, beside those with daemons. No line here names make itself: `make -n` would carry it out.
test: lint imports docs-check
	@$(PYRIGHT) > $(VENV)/pyright.log & types=$$!; \
	$(UNIT); unit=$$?; \
	wait $$types; status=$$?; tail -n 20 $(VENV)/pyright.log; exit $$(( unit | status ))
	@$(WHEEL) > $(VENV)/wheel.log 2>&1 & wheel=$$!; \
	$(PROCESSES); tests=$$?; \
	wait $$wheel; status=$$?; cat $(VENV)/wheel.log; exit $$(( tests | status ))
	@$(ALONE)
	$(TOOK)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "cutoutd needs Python 3.11 or newer with its venv module; install it and run make again." >&2; exit 1; }
	@echo "Making an environment in $(VENV) with $(PYTHON) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip

$(VENV)/.product: pyproject.toml $(CONSTRAINTS) $(BIN)/python
	@echo "Installing cutoutd …"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(CONSTRAINTS) $(BIN)/python
	@echo "Installing cutoutd and the tools that test it …"
	@$(PIP) --editable '.[$(EXTRAS)]' --group dev
	@touch $@ $(VENV)/.product

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(PYRIGHT)

imports: $(VENV)/.dev
	$(BIN)/lint-imports

unit: $(VENV)/.dev
	$(UNIT)

integration: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) -m "$(CHOSEN)" $(RERUNS) $(INTEGRATION) $(PYTEST_ARGS)

# Real daemons. They wait for one another more than they compute, so two more than there are cores run; those of
# one machine or image (`xdist_group` in their file) one after the other, because it is made once for all of them.
endtoend: $(VENV)/.dev
	$(BIN)/pytest -n $(WAITING_JOBS) --dist loadgroup -m "$(CHOSEN)" $(RERUNS) $(ENDTOEND) $(PYTEST_ARGS)

# Both, so that no core rests while the last one's last test ends.
processes: $(VENV)/.dev
	$(PROCESSES)

# All of them, those marked `thorough` too, with every crash point, power-loss state, forged answer and full-sized
# attack: an hour or more; weekly.
thorough: $(VENV)/.dev
	CUTOUTD_EVERY_POINT=1 CUTOUTD_FULL_ATTACKS=1 CUTOUTD_FLEET_SEEDS=60 \
		$(MAKE) unit processes CHOSEN="not alone" PYTEST_ARGS="--timeout 900 $(PYTEST_ARGS)"
	$(TOOK)

# What measures time or needs the whole machine.
alone: $(VENV)/.dev
	@$(ALONE)

docs: $(VENV)/.dev
	$(BIN)/python -m cutoutd.config.reference --write
	$(BIN)/python packaging/shared_files.py --write

# The pictures of docs/OPTIONS.md and the README, made by cutoutd itself; after a change to options or networks.
pictures: $(VENV)/.dev
	$(BIN)/python docs/make_pictures.py

docs-check: $(VENV)/.dev
	$(BIN)/python -m cutoutd.config.reference --check
	$(BIN)/python packaging/shared_files.py --check

# Built, installed into an empty environment, and used from there.
wheel: $(VENV)/.dev
	$(WHEEL)

# Lines and branches that the tests in one process reach, with a floor (pyproject.toml says what is left out and why).
coverage: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) --cov --cov-report=term:skip-covered --cov-report=xml \
		tests/unit tests/integration tests/reliability/property $(PYTEST_ARGS)
	$(TOOK)

# The tag, the version and the top of the changelog must agree.
release-check: $(VENV)/.dev
	$(BIN)/python packaging/release.py "$(TAG)"

# The same tests with the oldest versions that pyproject.toml allows, and with the newest that there are.
lowest:
	$(MAKE) unit integration VENV=.venv-lowest CONSTRAINTS=packaging/lowest.txt
newest:
	$(MAKE) test VENV=.venv-newest CONSTRAINTS=

# After a change to the dependencies; the only target that needs uv.
UV ?= uv
lock:
	$(UV) lock
	$(UV) export --quiet --frozen --extra raw --extra matting --extra fleet --group dev --no-hashes --no-emit-project \
		--no-annotate --no-header --output-file packaging/constraints.txt
	$(UV) pip compile --quiet pyproject.toml --extra raw --extra matting --extra fleet --resolution lowest-direct --universal \
		--no-annotate --no-header --output-file packaging/lowest.txt

# Everything that a release carries, in dist/: wheel, sdist, Debian package, recipes of other systems, image, bill of
# materials and checksums.
dist: packages image
	$(BIN)/python packaging/bill_of_materials.py dist
	cd dist && sha256sum cutoutd* > SHA256SUMS

packages: $(VENV)/.dev
	$(BIN)/python packaging/build_packages.py dist

image: $(VENV)/.dev
	$(BIN)/python packaging/build_image.py dist

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

# This tree beside another commit's, interleaved: make bench-compare REV=v0.1.0
bench-compare: $(VENV)/.dev
	$(BIN)/python -m benchmarks.compare "$(REV)" $(ARGS)

fuzz: $(VENV)/.dev
	$(BIN)/python tests/reliability/fuzz/run_fuzz.py --count 20000 $(ARGS)

torture: $(VENV)/.dev
	$(BIN)/python -m tests.reliability.torture $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python -m tests.reliability.soak $(ARGS)

train: $(BIN)/python
	@$(PIP) --editable . --group training
	$(BIN)/python -m cutoutd.models.training.train $(ARGS)

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest build dist .importroot/*.egg-info .pytest_cache .ruff_cache .hypothesis
