# Runyard: everything a person or a machine does with a checkout starts here.
# Needed on the machine: make, git and Python 3.11 or newer. The rest goes into .venv, and a few fetched
# front-end files into src/runyard/console/assets/vendor.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ASSETS := src/runyard/console/assets/vendor/manifest.json
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv --quiet

# Trust the certificate authorities that the machine trusts, where it has a list of them.
CERTIFICATES := $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem)
export UV_SYSTEM_CERTS ?= $(if $(CERTIFICATES),true,false)
export NODE_USE_SYSTEM_CA ?= 1

.PHONY: help venv demo test check bench torture long-tests docs lock format clean-venv

help: ## show this map
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(READY) $(ASSETS) ## install what the project needs into .venv

# uv is fetched by pip against its hash; uv then installs the pinned and hashed rest.
$(READY): requirements.lock bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Runyard needs Python 3.11 or newer; say: make PYTHON=python3.12 venv" if sys.version_info < (3, 11) else 0)'
	@echo "Installing what the project needs into $(VENV); this takes a minute or two, once."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r bootstrap.lock
	@$(UV) pip install --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# Front-end files come from pinned npm packages; fetched again only when their lock has changed.
$(ASSETS): assets.lock tests/console/assets.lock tools/assets.py | $(READY)
	@echo "Fetching the console's front-end files."
	@$(BIN)/python -m tools.assets
	@touch $@

demo: venv ## start a server on an empty folder, drive it, leave the console open
	@$(BIN)/runyard demo

test: check ## run every check and every test
	@$(BIN)/python -m tests.support.browser
	@$(BIN)/python -m pytest --numprocesses=$(shell nproc 2>/dev/null || echo 2)

check: venv ## format, lint, types, import rules and the shape of the source
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/python -m pytest --quiet tests/architecture

bench: venv ## measure the corridors, a full store, a dialect beside the native API, callbacks and files
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.scale
	@$(BIN)/python -m benchmarks.task_queue
	@$(BIN)/python -m benchmarks.outside

torture: venv ## strike everything for MINUTES (10), then hold the history against the promises
	@$(BIN)/python -m tests.faults.torture --minutes $(or $(MINUTES),10)

long-tests: venv ## run every test, those with a long form (faults, state machines) at length
	@$(BIN)/python -m pytest --torture --timeout=0

docs: venv ## write the documents that are generated from code
	@$(BIN)/python -m tools.state_diagram
	@$(BIN)/python -m tools.cli_page
	@$(BIN)/python -m tools.settings_page
	@$(BIN)/python -m tools.api_page

format: venv ## let ruff format the code and fix what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: venv ## pin every dependency again, in requirements.lock and bootstrap.lock
	@$(BIN)/python -m tools.lock

clean-venv: ## throw the environment and the fetched front-end files away
	@rm -rf $(VENV) $(dir $(ASSETS)) tests/console/vendor
