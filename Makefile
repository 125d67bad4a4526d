# Two commands matter on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
STORE  ?= demo_store
JOBS   ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all faults check format bench guides clean

help:  ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Tiffin needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

setup: $(READY)  ## Make the virtual environment with everything in it

demo: $(READY)  ## Run the main job: movie features saved, ratings predicted, features served (MOVIES=path RATINGS=path for your own)
	@$(BIN)/tiffin --store $(STORE) demo $(if $(MOVIES),--movies $(MOVIES)) $(if $(RATINGS),--ratings $(RATINGS))

test: $(READY)  ## Pass the fast tests (under three minutes)
	@$(BIN)/python -m pytest -n $(JOBS) -m "not slow" -q

test-all: $(READY)  ## Pass all tests, the slow ones too
	@$(BIN)/python -m pytest -n $(JOBS) -q

faults: $(READY)  ## Kill, cut the power, fill the disk: the long fault tests
	@$(BIN)/python -m pytest tests/faults -q -s

check: $(READY)  ## Format, lint and type check
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(READY)  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY)  ## Measure the speeds and print them beside their goals
	@$(BIN)/python -m benchmarks

guides: $(READY)  ## Run the scripts of a performance guide (GUIDE=path to the guide)
	@$(BIN)/python benchmarks/guides.py --guide $(GUIDE)

clean:  ## Remove the environment, caches and the demo's store
	rm -rf $(VENV) $(STORE) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
