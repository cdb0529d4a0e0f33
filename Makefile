# make demo        back up an index of the emulator in a real Airflow    KEEP=1 PORT=8080 AIRFLOW=2.11.2
# make demo-copy   copy a backup of the emulator to a folder, import the copy into another index, and prove it    KEEP=1
# make test        run the fast tests, and a short run on a real Airflow
# make test-all    run all tests but those in a browser: make test, then make test-rest
# make test-fast   run the tests that need no Airflow processes          AIRFLOW=2.11.2 selects another Airflow version
# make test-ui     test the page in Airflow's UI with a browser          needs Chromium
# make matrix      run the fast tests on each tested Airflow and Python              needs Python 3.11, 3.12 and 3.13
# make matrix-real run every way to wait in real processes of each Airflow           AIRFLOWS="2.11.2 3.1.8" selects some
# make chaos       inject faults into runs of a real Airflow             SEED=7 repeats the faults of a run
# make chaos-records test restores of damaged backups, and of sound ones under faults      SEED=7 CASES=30 runs fewer
# make chaos-copies kill exports of copies, and let their store fail      SEED=7 CASES=20 runs fewer
# make bench       compare the ways to wait, on a real Airflow (25 minutes)   needs PostgreSQL; QUICK=1 tries the benchmark
# make bench-records read 1,000,000 records from the emulator, beside the official client     RECORDS=20000 reads fewer
# make bench-copies copy an index with this package and with other tools, and count what each gets wrong    RECORDS=2000 copies fewer
# make bench-copies-airflow copy 1,000,000 records to S3 and back, with tasks of a real Airflow    RECORDS=20000 copies fewer
# make live-test   compare what the package assumes of Pinecone with the service     needs PINECONE_API_KEY; YES=1 API_VERSION=2026-07
# make lint        check formatting, types, imports and workflows
# make docs        build the documentation in docs/_build/html
# make audit       check the pinned packages for known vulnerabilities (needs network access)
# make cluster-test kill parts of a cluster in Docker while it backs up 100 indexes      INDEXES=20 backs up fewer
#                   kill a worker of a second one while it copies 300,000 records         RECORDS=100000 copies fewer
# make docker-test, make screenshot, make constraints, make clean

AIRFLOW ?= 3.3.2
PYTHON ?= python3
VENV := .venv-$(AIRFLOW)
BIN := $(VENV)/bin
CONSTRAINTS := $(if $(filter 3.3.2,$(AIRFLOW)),constraints.txt,constraints-$(AIRFLOW).txt)
export KEEP PORT INDEX INDEXES PINECONE_API_KEY UPGRADE QUICK RECORDS
export OFFICIAL_PROVIDER_DIR := $(CURDIR)/$(VENV)/official
export OFFICIAL_CLIENT_10_DIR := $(CURDIR)/$(VENV)/client-10

.PHONY: demo demo-copy test test-all test-rest test-fast test-ui matrix matrix-real chaos chaos-copies chaos-records bench bench-records bench-copies bench-copies-airflow live-test lint docs audit docker-test cluster-test screenshot constraints clean

# environment.sh reports a missing file of constraints.
$(VENV)/made: pyproject.toml $(wildcard $(CONSTRAINTS)) constraints-client-10.txt tools/environment.sh
	@sh tools/environment.sh "$(PYTHON)" "$(VENV)" "$(CONSTRAINTS)" "$(AIRFLOW)"

demo: $(VENV)/made
	@$(BIN)/python tools/demo.py

demo-copy: $(VENV)/made
	@DEMO=copy $(BIN)/python tools/demo.py

# The tests partly sleep, so three workers are faster than two on two cores. Each worker imports all tests, which takes
# half as long from compiled files.
test test-rest test-fast test-ui: export PYTHONDONTWRITEBYTECODE :=
FAST := $(BIN)/python -m pytest -n 3 --dist worksteal tests/unit tests/emulator

# The fast tests cover the package. The code that Airflow's processes run is not measured: the tests kill them.
test: $(VENV)/made
	$(FAST) --cov --cov-report=term-missing:skip-covered
	$(BIN)/python -m pytest tests/airflow/test_short_run.py

test-all: test
	@$(MAKE) test-rest

# The tests in test_real_*.py share one Airflow, on which their runs are side by side. The others start their own.
test-rest: $(VENV)/made
	$(BIN)/python -m pytest tests/airflow/test_real_*.py
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/airflow --ignore-glob='*/test_real_*' --ignore-glob='*/test_short_run.py'

test-fast: $(VENV)/made
	$(FAST)

test-ui: $(VENV)/made
	$(BIN)/python -m pytest -n 2 --dist loadscope tests/ui

matrix: $(VENV)/made
	@$(BIN)/nox --session fast lowest; status=$$?; $(BIN)/python tools/matrix_table.py .matrix; exit $$status

matrix-real: $(VENV)/made
	@$(BIN)/nox --session $(if $(AIRFLOWS),$(foreach version,$(AIRFLOWS),"real($(version))"),real); status=$$?; \
	$(BIN)/python tools/matrix_table.py .matrix; exit $$status

chaos: $(VENV)/made
	@PYTHONPATH=tests:tools $(BIN)/python tests/chaos/run.py $(if $(SEED),--seed $(SEED))

chaos-copies: $(VENV)/made
	@PYTHONPATH=tests $(BIN)/python tests/chaos/copies.py $(if $(SEED),--seed $(SEED)) $(if $(CASES),--cases $(CASES))

chaos-records: $(VENV)/made
	@PYTHONPATH=tests $(BIN)/python tests/chaos/damage.py $(if $(SEED),--seed $(SEED)) $(if $(CASES),--cases $(CASES))

bench: $(VENV)/made
	@PYTHONPATH=bench:tools $(BIN)/python bench/run.py
	@$(BIN)/python bench/reads.py

bench-records: $(VENV)/made
	@$(BIN)/python bench/reads.py

bench-copies-airflow: $(VENV)/made
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=$(CURDIR):tests:tools:bench $(BIN)/python bench/copy_airflow.py

bench-copies: $(VENV)/made
	@$(BIN)/python -W ignore bench/copy_matrix.py $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -W ignore bench/copies.py

# Without YES=1, it prints what it creates, and ends.
live-test: $(VENV)/made
	@PYTHONPATH=tools $(BIN)/python -m live_test $(if $(YES),--yes) $(if $(API_VERSION),--api-version $(API_VERSION))

lint: $(VENV)/made
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml .github/ISSUE_TEMPLATE/live-test.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(BIN)/zizmor --offline --no-progress --pedantic --quiet .

docs: $(VENV)/made
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

audit: $(VENV)/made
	$(BIN)/pip-audit --strict --requirement $(CONSTRAINTS) --no-deps --disable-pip --progress-spinner off

docker-test: $(VENV)/made
	@PYTHONPATH=tools $(BIN)/python docker/test.py

cluster-test: $(VENV)/made
	@PYTHONPATH=tools $(BIN)/python docker/cluster_test.py

screenshot: $(VENV)/made
	@$(BIN)/python tools/screenshot.py

# Needs uv. UPGRADE=1 moves every pin to the newest version that fits.
constraints:
	sh tools/constraints.sh

clean:
	rm -rf .venv-* .nox .matrix .demo-* .test-airflow .chaos .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf .coverage .coverage.* docs/_build dist
