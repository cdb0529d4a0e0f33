# make demo   a real Airflow backs up an index on the emulator          KEEP=1 PORT=8080 PINECONE_API_KEY=... INDEX=...
# make test   every test, with real Airflow processes                    AIRFLOW=2.11.2 for another Airflow
# make test-fast, make chaos, make lint, make docker-test

AIRFLOW ?= 3.3.2
PYTHON ?= python3
VENV := .venv-$(AIRFLOW)
CONSTRAINTS := $(if $(filter 3.3.2,$(AIRFLOW)),constraints.txt,constraints-$(AIRFLOW).txt)
export KEEP PORT INDEX PINECONE_API_KEY
export OFFICIAL_PROVIDER_DIR := $(CURDIR)/$(VENV)/official

.PHONY: demo test test-fast chaos lint docker-test screenshot constraints clean

$(VENV)/made: pyproject.toml $(CONSTRAINTS) tools/environment.sh
	@sh tools/environment.sh "$(PYTHON)" "$(VENV)" "$(CONSTRAINTS)" "$(AIRFLOW)"

demo: $(VENV)/made
	@$(VENV)/bin/python tools/demo.py

test: $(VENV)/made
	$(VENV)/bin/python -m pytest

test-fast: $(VENV)/made
	$(VENV)/bin/python -m pytest --ignore=tests/airflow

chaos: $(VENV)/made
	@PYTHONPATH=tests/airflow:tools $(VENV)/bin/python tests/airflow/chaos_main.py $(if $(SEED),--seed $(SEED))

lint: $(VENV)/made
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	@$(VENV)/bin/python tools/audit.py $(CONSTRAINTS)

docker-test:
	@$(PYTHON) docker/test.py

screenshot: $(VENV)/made
	@$(VENV)/bin/python tools/screenshot.py

# Pins the newest versions; needs uv.
constraints:
	sh tools/constraints.sh

clean:
	rm -rf .venv-* .demo .test-airflow .chaos .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
