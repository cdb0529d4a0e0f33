#!/bin/sh
# Pin the newest versions that fit each supported Airflow, for Python 3.11 and later; needs uv.
set -eu
pin() { # AIRFLOW FILE
  printf 'apache-airflow==%s\napache-airflow-providers-pinecone\n' "$1" |
    uv pip compile -q --universal --python-version 3.11 --no-annotate --no-header --no-emit-package airflow-pinecone \
      --extra dev pyproject.toml - -o "$2" --upgrade
}
pin 3.3.2 constraints.txt
pin 2.11.2 constraints-2.11.2.txt
