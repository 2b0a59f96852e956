# The environment is built in .venv from the lock files; no other tool than make and Python 3.11+ is needed.
# Where it will do, the system's: distributions build Python with profile-guided optimization, which makes truycap a third
# faster, and who builds a newer one (pyenv) often does not.
SYSTEM := /usr/bin/python3
PYTHON ?= $(shell $(SYSTEM) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo $(SYSTEM) || echo python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK = uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet

.PHONY: help install up test check widget dashboards chaos bench load lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## the environment that `truycap` runs in

up: install  ## everything on this machine; options: make up ARGS="--port 9000"
	@$(BIN)/truycap up $(ARGS)

test: $(VENV)/.installed-dev node_modules/.installed  ## all checks and tests; options: make test ARGS="-k visits"
	@BIN=$(BIN) scripts/check
	@BIN=$(BIN) scripts/test $(ARGS)

check: $(VENV)/.installed-dev node_modules/.installed  ## style, types, imports, the built widget and dashboards alone
	@BIN=$(BIN) scripts/check

widget: node_modules/.installed  ## services/api/widget/dist anew, from src
	@npm run --silent build

dashboards: $(VENV)/.installed  ## deploy/grafana/dashboards anew, from build.py and the runbook
	@$(BIN)/python deploy/grafana/build.py

chaos: $(VENV)/.installed-dev  ## kill everything at random, count from the ids: make chaos KILLS=1000 [SEED=s] [RUN=n] [REPORT=file]
	@$(BIN)/python -m tests.chaos $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(RUN),--run $(RUN)) $(if $(JOBS),--jobs $(JOBS)) $(if $(REPORT),--report $(REPORT))

bench: $(VENV)/.installed-dev  ## every row of docs/performance.md against its limit: make bench [ROWS="a d"] [ARGS="--rounds 3"]
	@$(BIN)/python -m tests.bench $(ROWS) $(ARGS)

load: $(VENV)/.installed-dev  ## what this machine carries, with a report in load-report: make load [ARGS="--hold 2 --faults redis"]
	@$(BIN)/python -m tests.load $(ARGS)

lock:  ## the lock files anew, from pyproject.toml (needs uv)
	$(LOCK) pyproject.toml --group build --output-file requirements.lock
	$(LOCK) pyproject.toml --group dev --output-file requirements-dev.lock
	$(LOCK) --group load --output-file requirements-load.lock

clean:  ## remove the environment
	rm -rf $(VENV) node_modules

node_modules/.installed: package-lock.json package.json
	@command -v npm >/dev/null || { echo "The widget's checks need Node 18 or newer. On Debian and Ubuntu: apt install npm" >&2; exit 2; }
	@npm ci --silent --no-fund --no-audit
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "truycap needs Python 3.11 or newer; $(PYTHON) is older or missing. Try: make PYTHON=python3.12 up" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python's venv module is incomplete here. On Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Installing truycap's environment in $(VENV) ..."
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "Installing the test tools in $(VENV) ..."
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@
