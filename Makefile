# `make` lists the targets. Every target that needs Python makes or updates .venv by itself; see tools/environment.sh.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help environment demo test test-unit check docs format ui clean distclean

BIN := .venv/bin
PORT ?= 5000
WORKERS ?= 2
# A module stays with one worker, because its tests share what it made; tests/conftest.py says which modules go first.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# DVC starts `illmrec` by its name; it must be this environment's, whether or not it is activated.
ACTIVATED := PATH="$(CURDIR)/$(BIN):$$PATH"

# Where nothing keeps bytecode, every stage would compile torch and MLflow again.
unexport PYTHONDONTWRITEBYTECODE

# DVC's shared default folder is writable by every user of the machine.
export DVC_SITE_CACHE_DIR := $(CURDIR)/work/dvc-site-cache

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

environment: ## Make .venv, or bring it up to date
	@tools/environment.sh

demo: environment ## Synthetic data to recommendations: sample, all DVC stages, register, promote, recommend, report
	@$(ACTIVATED) illmrec sample
	@$(ACTIVATED) illmrec repro --jobs 3
	@$(ACTIVATED) illmrec release
	@echo
	@echo "Look at:"
	@echo "  artifacts/<data set>/evaluation/                metrics, their summary and slices"
	@echo "  artifacts/<data set>/quality/                  the data gate and its pages"
	@echo "  exports/<data set>/                            recommendations as Parquet, with a manifest"
	@echo "  work/reports/<data set>.html                   users, pictures and what was recommended"
	@echo "  make ui                                        runs and registered models, http://127.0.0.1:$(PORT)"

test: environment ## Run the tests, with two workers (WORKERS=2)
	$(PYTEST)

test-unit: environment ## Run the tests that need no finished project: two minutes
	$(PYTEST) -m unit

check: environment ## Formatting, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: environment ## Rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: environment ## Build the documentation as a site, work/site/index.html; broken links are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

ui: environment ## Show runs and models in a browser, on this machine only (PORT=5000)
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow server \
	    --host 127.0.0.1 --port $(PORT) --workers 1 \
	    --backend-store-uri "sqlite:///$(CURDIR)/mlflow.db" --artifacts-destination "$(CURDIR)/mlartifacts"

clean: ## Remove outputs and the synthetic data; real data and .venv stay
	rm -rf artifacts work exports mlartifacts mlflow.db mlflow.db-*
	@for folder in data/*/; do \
	    if head -n 1 "$$folder/SYNTHETIC.md" 2>/dev/null | grep -qx "# Synthetic data set"; then \
	        echo "rm -rf $$folder" && rm -rf "$$folder"; fi; done
	rm -rf .mypy_cache .ruff_cache .import_linter_cache .hypothesis

distclean: clean ## Remove .venv as well
	rm -rf .venv illmrec.egg-info
