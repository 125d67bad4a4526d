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
SECONDS ?= 30
MINUTES ?= 60

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-all faults faults-page fuzz audit feast check format bench bench-quick soak load pages guides docs clean

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

FIGURES := build/faults.json

faults: $(READY)  ## Kill, cut the power, fill the disk, damage files: all fault tests, ten minutes, and what they found
	@rm -f $(FIGURES)
	@$(BIN)/python -m pytest tests/faults -n $(JOBS) -m "not alone" -q --figures $(FIGURES); beside=$$?; \
	  $(BIN)/python -m pytest tests/faults -m alone -q --figures $(FIGURES); alone=$$?; \
	  PYTHONPATH=tests $(BIN)/python -m faults.page $(FIGURES) && exit $$((beside | alone))

faults-page: $(FIGURES)  ## Put what the last run of the fault tests found into docs/reliability.md
	@PYTHONPATH=tests $(BIN)/python -m faults.page $(FIGURES) --to docs/reliability.md

fuzz: $(READY)  ## Feed each parser what it does not expect (SECONDS=30 for each, TARGETS="names csv"), and tell what was tried
	@$(BIN)/python -c 'import atheris' 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	@PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(SECONDS) $(TARGETS)

AUDIT := .venv-audit

audit: $(READY)  ## Look for risky code, and for known faults in what is installed, where the list of them can be reached
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src && echo "bandit: nothing found in src"
	@$(BIN)/python -m pytest -q tests/unit/test_advisories.py
	@[ -d $(AUDIT) ] || { $(PYTHON) -m venv $(AUDIT) && \
	  $(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; }
	@mkdir -p build && $(AUDIT)/bin/pip-audit -r constraints.txt --no-deps --disable-pip --progress-spinner off --timeout 5 \
	  > build/pip-audit.txt 2>&1; status=$$?; missed=$$(grep -c 'could not be audited' build/pip-audit.txt); \
	  grep -E '^Found|PYSEC|GHSA|CVE' build/pip-audit.txt && exit 1; \
	  if [ $$status -ne 0 ]; then echo "NOT CHECKED: pip-audit failed: $$(tail -1 build/pip-audit.txt | cut -c1-200)"; \
	  elif [ $$missed -ne 0 ]; then echo "NOT CHECKED: of $$missed of $$(wc -l < constraints.txt) libraries no list of known faults was reached"; \
	  else echo "pip-audit: no known faults"; fi

$(FEAST)/.ready: constraints-feast.txt
	@echo "Setting up $(FEAST) …"
	@$(PYTHON) -m venv $(FEAST)
	@$(FEAST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-feast.txt 'feast[duckdb,redis]==0.67.*'
	@touch $@

feast: $(READY) $(FEAST)/.ready  ## Test against the real Feast, in an environment of its own
	@TIFFIN_REQUIRE_FEAST=1 TIFFIN_FEAST_PYTHON=$(CURDIR)/$(FEAST)/bin/python \
	  $(BIN)/python -m pytest tests/e2e/test_feast_client.py tests/e2e/test_feast_repository.py -q

check: $(READY)  ## Format, lint, type check, and look for risky code
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src

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

soak: $(READY)  ## Load a server steadily, an hour or MINUTES=number, see what grows or slows, and write docs/soak.md
	@status=0; $(BIN)/python -m benchmarks.soak --minutes $(MINUTES) --json build/soak.json || status=$$?; \
	  $(BIN)/python -m benchmarks.soak.page build/soak.json --load build/load.json && exit $$status

load: $(READY)  ## Load a server with 1 to 64 connections, reads and saves mixed, in a minute or two: on docs/soak.md too
	@$(BIN)/python -m benchmarks.load --json build/load.json
	@[ ! -f build/soak.json ] || $(BIN)/python -m benchmarks.soak.page build/soak.json --load build/load.json

pages: $(READY)  ## Follow the guide where that takes servers, real proxies among them
	@$(BIN)/python -m pytest tests/e2e/test_pages.py tests/e2e/test_behind_a_proxy.py -m slow -q

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
