# make run, make test: all that a fresh machine needs is make and Python 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEVICES ?= 20
ARGS ?=

.PHONY: run test check bench format clean install package deploy test-deploy test-aws

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Headwater needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, every start would compile everything again.
	@$(BIN)/python -m compileall -q headwater streams iot resolvers
	@touch $(STAMP)

run: $(STAMP)
	@exec $(BIN)/headwater up --devices $(DEVICES) $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy headwater streams iot resolvers tests
	$(BIN)/python -m pytest -q -n 2 tests/unit

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python -m bench.chain $(ARGS)

clean:
	rm -rf $(VENV) .headwater .aws-sam build dist

# ---- AWS: docs/operations.md ----

ARCHITECTURE ?= arm64
STAGE ?= dev
SAM ?= sam
STACK ?=

# What `sam build` calls for each function (BuildMethod: makefile); it sets ARTIFACTS_DIR.
build-%:
	$(PYTHON) infra/stage.py stage $* "$(ARTIFACTS_DIR)" --architecture $(ARCHITECTURE)

package:
	$(PYTHON) infra/stage.py package arm64 dist/arm64
	$(PYTHON) infra/stage.py package x86_64 dist/x86_64

deploy:
	$(SAM) build --config-env $(STAGE)
	$(SAM) deploy --config-env $(STAGE) $(ARGS)

# What judges and deploys the template, each in an environment of its own: SAM CLI, checkov, reproducible packages.
test-deploy: $(STAMP)
	HEADWATER_TEST_DEPLOY=1 $(BIN)/python -m pytest tests/template/test_sam.py tests/template/test_checkov.py tests/template/test_packages.py $(ARGS)

# The journeys that need nothing but endpoints and credentials.
DEPLOYED_JOURNEYS := tests/journeys/test_scenario.py::test_every_operation_answers_so_on_a_deployed_stack \
	tests/journeys/test_telemetry.py tests/journeys/test_operations.py

test-aws: $(STAMP)
	@test -n "$(STACK)" || { echo "Name the stack: make test-aws STACK=headwater-dev"; exit 2; }
	HEADWATER_STACK=$(STACK) $(BIN)/python -m pytest --timeout 600 $(DEPLOYED_JOURNEYS) $(ARGS)
