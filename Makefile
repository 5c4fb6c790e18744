# Steelyard: every target sets up what it needs by itself and says so first (tools/setup.sh).
#   STEELYARD_NO_INSTALL=1   install nothing, refuse instead     PYTHON=…   interpreter for .venv (3.11 or later)
#   VERBOSE=1                show the output of parts as it comes PYTEST_ARGS=…   more arguments for pytest
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-quick test-all lint format docs sanity molecule servers bench bench-redis faults tools venv engine image setup lock build clean distclean

PY := .venv/bin/python
PARTS := $(PY) tools/run_parts.py $(if $(VERBOSE),--verbose)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Nothing of the user's own settings decides here.
unexport ANSIBLE_COLLECTIONS_PATH ANSIBLE_INVENTORY ANSIBLE_STRATEGY ANSIBLE_ROLES_PATH

help: ## This list
	@printf 'make TARGET, where TARGET is one of\n\n'
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nEach installs what it is missing, after saying what; STEELYARD_NO_INSTALL=1 forbids that.\n'

demo: setup ## A fleet of stand-ins, deployed, scaled under load; ends with a lab left running
	@$(PY) tools/demo.py

test: export STEELYARD_REQUIRE_REDIS := 1
test: setup servers ## What CI runs: lint, unit tests, sanity, the archive, molecule, the lab (under 22 minutes)
	@$(PARTS) --suite test

# Without a redis-server, which `make servers` brings, the example's tests with real ones are skipped here.
test-quick: venv ## Unit tests and lint that need no container (under 2 minutes)
	@$(PARTS) --suite quick

test-all: setup servers ## Every scenario, fault and bench; takes hours
	@$(PARTS) --suite all

lint: tools ## ruff, mypy, yamllint, ansible-lint, shellcheck, and whether docs and specs agree
	@$(PARTS) --suite lint

format: venv ## Format the Python files
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix .

docs: venv ## Write the pages that are made from argument specs and module documentation
	@$(PY) tools/docs.py

sanity: venv ## Ansible's own checks (ansible-test sanity)
	@$(PY) tools/sanity.py --always

molecule: setup ## Each role on shared machines
	@$(PARTS) --suite molecule

servers: venv
	@tools/setup.sh servers

bench-redis: servers ## Measure: slots moved beside redis-cli, plans of 200 nodes
	@$(PARTS) --suite bench-redis

bench: setup ## Measure: no-change run of site.yml, requests a second of nginx
	@$(PARTS) --suite bench

faults: setup ## Kill the run at every step, cut machines off, and run again
	@$(PARTS) --suite faults

tools: venv
	@tools/setup.sh tools

venv: ## Only the virtual environment
	@tools/setup.sh venv

engine: venv ## Only the Docker engine
	@tools/setup.sh engine

image: engine ## Only the lab's base image
	@tools/setup.sh image

setup: venv ## Everything that tests with containers need
	@tools/setup.sh tools engine image loads

lock: ## Make requirements/*.txt anew (LOCK_ARGS=--upgrade takes newer versions)
	@tools/lock.sh $(LOCK_ARGS)

build: venv ## The collection's archive, in .build/
	@$(PY) -m ansible.cli.galaxy collection build --force --output-path .build .

clean: venv ## Remove labs made here, what was built and what tests left; keeps .venv
	@$(PY) tools/clean.py

distclean: clean ## Also remove .venv
	@rm -rf .venv
