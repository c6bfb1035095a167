# What a person does with this project. `make` alone explains it.

PYTHON  ?= python3
DATASET ?= sample
BIN     := .venv/bin
COMMAND := $(BIN)/python -m pipeline.cli.commands
WORKERS ?= auto
# What is left of one worker's tests is taken over by the other when it has done its own.
# pytest rewrites every test module; what it keeps of that spares the next run half a minute of a processor.
PYTEST  := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest
TESTS   := $(PYTEST) --numprocesses $(WORKERS) --dist worksteal
PIP     := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Absolute, as Dagster wants it; `~` and a relative path mean what they do everywhere else.
HOME_OF := import os, sys; print(os.path.abspath(os.path.expanduser(sys.argv[1] or ".dagster")))
override export DAGSTER_HOME := $(shell $(PYTHON) -c '$(HOME_OF)' '$(subst ','\'',$(DAGSTER_HOME))')
# Threads of torch that wait for each other give the core away soon: on a busy machine training is then 8 times faster.
export GOMP_SPINCOUNT = 1000
# Dagster says of its own command line that a later one takes its place.
export PYTHONWARNINGS = ignore:Function

.PHONY: help run run-all ui doctor restore rollback catch-up variants forget test test-integration test-long lint audit check docs screenshots bench collect clean home
.DEFAULT_GOAL := help

help: ## this list
	@echo "make run [DATASET=sample]   one dataset, from the raw dump to the report; with CONFIG='{…}', as a variant"
	@echo "make run-all [DATASET=…]    the same with all models, and the exports"
	@echo "make ui                     the Dagster UI on http://127.0.0.1:3000, the reports on port 3001"
	@echo "make doctor                 clear away what runs left behind whose process is gone (make run and make ui do it too)"
	@echo "make catch-up [DATASET=…]   make what is out of date, of one dataset or of all enabled ones"
	@echo "make rollback DATASET=…     serve the models and recommendations before the ones that are served now"
	@echo "make variants DATASET=…     what runs with settings of their own have made beside what is published"
	@echo "make forget DATASET=…       delete a variant (DATASET@VARIANT), or all of them"
	@echo "make restore DATASET=…      put back the table before one that failed a check"
	@echo "make test                   the tests of this process alone, in minutes"
	@echo "make test-integration       what takes more: servers, real data, …; KIND is one of automation, browser, data, disk, docs, postgres, process, ray, s3, training"
	@echo "make test-long              the tests that take longer still"
	@echo "make lint                   lint, format, types, import walls"
	@echo "make check                  lint, and whether a vulnerability of a dependency is known (asks pypi.org)"
	@echo "make docs                   the documentation as a site, in build/site"
	@echo "make screenshots            the pictures of README, from the sample as it stands; needs Chromium"
	@echo "make bench                  what it costs: every benchmark at a small size"
	@echo "make collect                delete the embedding vectors that no published table names"
	@echo "make clean                  forget the environment, Dagster's home and all data"

# Not from the environment, where others may use the name.
GIVEN = $(if $(filter command,$(firstword $(origin CONFIG))),--config-json '$(subst ','\'',$(CONFIG))')
run: .venv/.run
	@$(BIN)/python -m pipeline.cli.run $(DATASET) $(GIVEN)

# All models, whatever the dataset's setting `models` asks for, and the exports.
run-all: .venv/.run
	@$(BIN)/python -m pipeline.cli.run $(DATASET) --select '*' --all-models $(GIVEN)

ui: home doctor
	$(BIN)/python -m pipeline.cli.serve --workspace workspace.yaml

test: .venv/.test
	$(TESTS)

# In the order of the files, so that servers are started once; KIND is a mark of pyproject.toml.
KIND ?= integration
test-integration: .venv/.test
	$(TESTS) -p no:randomly -m '$(KIND) and not long'

test-long: .venv/.test
	$(PYTEST) -p no:randomly -m long

lint: .venv/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml

# Strict: without it, a package that PyPI tells nothing of passes for sound. Nothing is installed or downloaded.
AUDIT := --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off

audit: .venv/.lint
	@$(BIN)/pip-audit $(AUDIT) || { echo "constraints.txt is not known to be sound: a vulnerability was found, or the audit" \
		"could not be made; the lines above say which." >&2; exit 1; }

check: lint audit

docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

screenshots: .venv/.test home
	$(BIN)/python -m tests.pipeline.screenshots docs/images

bench: .venv/.test
	$(BIN)/python -m benchmarks.kcore --edges 2000000
	$(BIN)/python -m benchmarks.ingest --rows 150000
	$(BIN)/python -m benchmarks.fetch --pictures 200
	$(BIN)/python -m benchmarks.recommend --users 10000 --items 20000

doctor: home
	@$(COMMAND) doctor

restore rollback variants forget: home
	@$(COMMAND) $@ $(DATASET)

catch-up: home doctor
	@$(COMMAND) catch-up '$(if $(filter file,$(origin DATASET)),*,$(DATASET))'

collect: home
	@$(COMMAND) collect

clean:
	rm -rf .venv .dagster .env data build *.egg-info

home: .venv/.run
	@$(COMMAND) home

.venv/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "Installing; torch alone is several GB, so this takes some minutes the first time."
	$(PIP) --editable .[sample]
	@touch $@

.venv/.test: .venv/.run
	$(PIP) --editable .[sample,postgres,ray,test]
	@touch $@

.venv/.docs: .venv/.run
	$(PIP) --editable .[sample,docs]
	@touch $@

.venv/.lint: .venv/.run
	$(PIP) --editable .[sample,postgres,ray,test,lint]
	@touch $@
