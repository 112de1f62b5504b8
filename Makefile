# Every target bootstraps itself: the virtual environment is a file target.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
STAMP  := $(VENV)/.dev

.PHONY: help venv
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --editable '.[scans]'
	@touch $@

$(STAMP): $(READY)
	$(PIP) --group dev
	@touch $@

venv: $(STAMP) ## the virtual environment, with everything for development

.PHONY: test test-all campaign check coverage
test: $(STAMP) ## what an ordinary user can run; says what was left out
	$(BIN)/pytest -m "not root"

test-all: $(STAMP) ## (root) everything, with real servers in boxes; nothing skipped
	tests/machine.sh
	$(BIN)/coverage run -m pytest --no-skips tests/unit
	$(BIN)/coverage report
	$(BIN)/pytest --no-skips --durations=15 tests/integration tests/e2e

campaign: $(STAMP) ## (root, hours) in full what test-all runs a sample of
	tests/machine.sh
	BELLPULL_CAMPAIGN=1 $(BIN)/pytest --no-skips -m campaign

check: $(STAMP) ## style, types, who imports whom
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

coverage: $(STAMP) ## of what must have all of it (pyproject.toml says what), by its unit tests
	$(BIN)/coverage run -m pytest --quiet -m "not root" tests/unit
	$(BIN)/coverage report

.PHONY: install uninstall
install: ## (root) put it on this machine, or renew what is there
	@systemd/install.sh

uninstall: ## (root) take it back; PURGE=1: configuration and state too
	@PURGE=$(PURGE) systemd/uninstall.sh

.PHONY: run
run: $(READY) ## a bridge to try: no root, no systemd, tiles that do something real
	@mkdir -p .state
	@$(BIN)/python -m bridge.scans.demo /tmp/bellpull-demo-scans/inbox
	@$(BIN)/bellpull --config $(or $(CONFIG),bridge/demo.yaml) --state-dir .state run

.PHONY: bench bench-bridge
bench: bench-bridge bench-homekit bench-watchdog ## (root) everything that is measured (docs/benchmarks.md)

bench-bridge: $(STAMP) ## (root) how fast and how small the bridge is, on a real systemd; six minutes
	@tests/machine.sh
	@$(BIN)/python -m benchmarks.bridge

.PHONY: bench-watchdog
bench-watchdog: $(STAMP) ## what one look of the watchdog costs; half a minute
	@$(BIN)/python -m benchmarks.watchdog

.PHONY: bench-homekit
bench-homekit: $(STAMP) ## (root) against Homebridge, hap-nodejs and plain HAP-python; needs Node.js; a quarter of an hour
	@$(BIN)/python -m benchmarks.homekit
