# Two commands matter on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
FEAST  := .venv-feast
DOCS   := .venv-docs
STORE  ?= demo_store
PORT   ?= 8001
JOBS   ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-all faults feast check format bench bench-quick guides docs clean

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

serve: $(READY)  ## Serve the demo's store over HTTP until Ctrl-C (STORE=folder PORT=number for another)
	@[ -d $(STORE) ] || $(MAKE) --no-print-directory demo
	@$(BIN)/tiffin --store $(STORE) serve --port $(PORT)

test: $(READY)  ## Pass the fast tests (under three minutes)
	@$(BIN)/python -m pytest -n $(JOBS) -m "not slow" -q

test-all: $(READY)  ## Pass all tests, the slow ones too
	@$(BIN)/python -m pytest -n $(JOBS) -q

faults: $(READY)  ## Kill, cut the power, fill the disk: the long fault tests
	@$(BIN)/python -m pytest tests/faults -q -s

$(FEAST)/.ready: constraints-feast.txt
	@echo "Setting up $(FEAST) …"
	@$(PYTHON) -m venv $(FEAST)
	@$(FEAST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-feast.txt 'feast[duckdb,redis]==0.67.*'
	@touch $@

feast: $(READY) $(FEAST)/.ready  ## Test against the real Feast, in an environment of its own
	@TIFFIN_REQUIRE_FEAST=1 TIFFIN_FEAST_PYTHON=$(CURDIR)/$(FEAST)/bin/python \
	  $(BIN)/python -m pytest tests/e2e/test_feast_client.py tests/e2e/test_feast_repository.py -q

check: $(READY)  ## Format, lint and type check
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(READY)  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# Feast, where it is (`make feast` makes it): measured beside ours.
BENCH = TIFFIN_FEAST_PYTHON=$${TIFFIN_FEAST_PYTHON:-$(abspath $(wildcard $(FEAST)/bin/python))} $(BIN)/python -m benchmarks
BENCH += $(if $(MOVIES),--movies $(MOVIES))

bench: $(READY)  ## Measure everything, half an hour, beside goals and rivals, and write docs/benchmarks.md (MOVIES=path for real ones)
	@$(BENCH) --large --json build/bench.json
	@$(BIN)/python -m benchmarks.page build/bench.json

bench-quick: $(READY)  ## Measure everything small, in a minute or two, and write build/bench-quick/benchmarks.md
	@$(BENCH) --quick --json build/bench-quick.json
	@$(BIN)/python -m benchmarks.page build/bench-quick.json --to build/bench-quick

guides: $(READY)  ## Run the scripts of a performance guide (GUIDE=path to the guide)
	@$(BIN)/python benchmarks/guides.py --guide $(GUIDE)

$(DOCS)/.ready: constraints-docs.txt
	@echo "Setting up $(DOCS) …"
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-docs.txt zensical mkdocstrings-python
	@touch $@

docs: $(READY) $(DOCS)/.ready  ## Build the documentation's site into site/ (a warning is an error)
	@$(BIN)/python docs/generate.py build/docs
	@$(DOCS)/bin/zensical build --strict --clean
	@echo "Open site/index.html: it needs no server and no internet."

clean:  ## Remove the environment, caches and the demo's store
	rm -rf $(VENV) $(FEAST) $(DOCS) $(STORE) .mypy_cache .pytest_cache .ruff_cache .hypothesis .cache build dist site
