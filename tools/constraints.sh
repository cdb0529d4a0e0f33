#!/bin/sh
# Pin the packages of each supported Airflow, for Python 3.11 and later. Needs uv.
# Existing pins are kept where they still fit; `make constraints UPGRADE=1` moves all of them to the newest versions.
set -eu
pin() { # AIRFLOW FILE
  printf 'apache-airflow==%s\napache-airflow-providers-pinecone\n' "$1" |
    uv pip compile -q --universal --python-version 3.11 --no-annotate --no-header --no-emit-package airflow-pinecone \
      --no-emit-index-url --no-emit-find-links --extra dev --extra docs pyproject.toml - -o "$2" ${UPGRADE:+--upgrade}
}
pin 3.3.2 constraints.txt
pin 2.11.2 constraints-2.11.2.txt
