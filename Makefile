# Everything a person needs to build, try and test the lakehouse. `make help` explains each target.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := bash

BIN := .venv/bin
SAM := .tools/sam/bin/sam
SETUP := scripts/setup.sh
# samconfig.toml calls dev the default, so that a bare `sam deploy` means it.
CONFIG_ENV = $(if $(filter dev,$(ENV)),default,$(ENV))
export PYTHON

.PHONY: help setup demo deploy test lint check soak bench clean distclean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: installed ## Install everything into this folder: Python environments, the SAM CLI, the twin, the Spark jars
	@echo "Everything is installed. Next: make demo, or make help."

.PHONY: installed
installed: .venv/.project .tools/.sam .tools/.twin .cache/jars/.complete

demo: installed ## Run the whole lakehouse on this machine with the flights data, and show what happens (ARGS="--down" stops it at the end)
	@$(BIN)/lakehouse demo $(ARGS)

# Each line stops the next: no build where the doctor finds a problem, no deployment where the build fails.
deploy: .venv/.project .tools/.sam ## Check the account, build and deploy to AWS (ENV=dev or ENV=prod)
	@$(if $(filter dev prod,$(ENV)),,$(error Say which environment: make deploy ENV=dev, or ENV=prod))$(BIN)/lakehouse doctor --env $(ENV)
	$(SAM) build --config-env $(CONFIG_ENV)
	parameters=$$($(BIN)/lakehouse parameters --env $(ENV)) && $(SAM) deploy --config-env $(CONFIG_ENV) --parameter-overrides $$parameters

test: installed .tools/.checkov ## Run all tests: unit, infra, spark, services, twin (TIER="unit infra" runs some)
	@$(BIN)/python tests/run.py $(TIER)

lint: installed ## Lint and type-check the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint .tools/.sam .tools/.checkov ## What to run before a commit: lint, contracts and models, the fast tests
	$(BIN)/lakehouse check
	@$(BIN)/python tests/run.py unit infra

soak: installed ## Run the long forms of the twin's tests (hours rather than minutes)
	@LAKEHOUSE_SOAK=1 PYTEST_ADDOPTS=--timeout=7200 $(BIN)/python tests/run.py twin

bench: installed ## Measure the way of a one-megabyte file from put to queryable Gold
	@$(BIN)/python bench/put_to_gold.py $(ARGS)

clean: ## Stop the twin and remove what runs left behind (environments and jars stay)
	@[ ! -x $(BIN)/lakehouse ] || [ ! -e .twin/endpoint.json ] || $(BIN)/lakehouse twin down
	rm -rf .twin .aws-sam build spark-warehouse metastore_db derby.log .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +

distclean: clean ## Remove the environments and jars too
	rm -rf .venv .tools .cache lakehouse.egg-info

# One stamp for each step: a second `make setup` finds them newer than their sources and does nothing.
.tools/.uv: requirements/uv.txt
	@mkdir -p .tools
	@$(SETUP) tools
	@touch $@

.venv/.installed: requirements/dev.txt .tools/.uv
	@$(SETUP) environment .venv requirements/dev.txt
	@touch $@

.venv/.project: pyproject.toml .venv/.installed
	@$(SETUP) project
	@touch $@

.tools/.sam: requirements/sam.txt .tools/.uv
	@$(SETUP) environment .tools/sam requirements/sam.txt
	@touch $@

.tools/.twin: requirements/twin.txt .tools/.uv
	@$(SETUP) environment .tools/twin requirements/twin.txt
	@touch $@

.tools/.checkov: requirements/checkov.txt .tools/.uv
	@$(SETUP) environment .tools/checkov requirements/checkov.txt
	@touch $@

.cache/jars/.complete: twin/jars.py .venv/.project
	@mkdir -p .cache/jars
	@$(SETUP) jars
	@touch $@
