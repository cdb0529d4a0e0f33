#!/bin/sh
# Pin the packages of each supported Airflow, for Python 3.11 and later. Needs uv.
# Existing pins are kept where they still fit; `make constraints UPGRADE=1` moves all of them to the newest versions.
set -eu
pin() { # AIRFLOW FILE [LIMIT ...], for packages whose newest version breaks this Airflow
  airflow=$1 file=$2
  shift 2
  printf '%s\n' "apache-airflow==$airflow" apache-airflow-providers-pinecone "$@" |
    uv pip compile -q --universal --python-version 3.11 --no-annotate --no-header --no-emit-package airflow-pinecone \
      --no-emit-index-url --no-emit-find-links --extra bench --extra dev --extra docs pyproject.toml - -o "$file" ${UPGRADE:+--upgrade}
}
pin 3.3.2 constraints.txt
# Airflow 3.2 does not work with pydantic 2.14 or FastAPI 0.137. Airflow 3.3 has this limit of FastAPI itself.
# dag.test() of Airflow 3.0 to 3.2 drops the lifespan of its API server; svcs 26.2 then removes its registry from the app.
pin 3.2.2 constraints-3.2.2.txt 'pydantic<2.14' 'fastapi<0.137' 'svcs<26.2'
pin 3.2.1 constraints-3.2.1.txt 'pydantic<2.14' 'fastapi<0.137' 'svcs<26.2'
pin 3.1.8 constraints-3.1.8.txt 'svcs<26.2'
# Its API server cannot create tokens with PyJWT 2.11, and later FastAPIs reject the requests of its workers. Airflow 3.1
# has this limit of FastAPI itself.
pin 3.0.6 constraints-3.0.6.txt 'pyjwt<2.11' 'fastapi<0.118' 'svcs<26.2'
pin 2.11.2 constraints-2.11.2.txt
