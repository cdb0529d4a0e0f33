#!/bin/sh
# Make the environment of one Airflow version: environment.sh PYTHON VENV CONSTRAINTS AIRFLOW
set -eu
python=$1 venv=$2 constraints=$3 airflow=$4
say() { echo "make: $*" >&2; exit 1; }

[ -f "$constraints" ] || say "there is no $constraints for Airflow $airflow; there is: $(ls constraints*.txt | tr '\n' ' ')"
command -v "$python" >/dev/null || say "$python was not found; install Python 3.11 to 3.13, or name one: make PYTHON=..."
case $airflow in 2.*) newest=12 ;; *) newest=13 ;; esac
"$python" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $newest))" ||
  say "Airflow $airflow wants Python 3.11 to 3.$newest, and $python is $("$python" -V 2>&1); name another: make PYTHON=..."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  say "$python has no venv; on Debian and Ubuntu: apt-get install python3-venv"

echo "Making $venv with Airflow $airflow (a few minutes the first time) ..."
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check -c "$constraints" -e '.[dev]' "apache-airflow==$airflow" ||
  say "the packages could not be installed; the lines above say why"
# Beside, not in, the environment: a test puts it on the path to see that both providers live together.
"$venv/bin/python" -m pip install -q --disable-pip-version-check -c "$constraints" --no-deps --target "$venv/official" \
  apache-airflow-providers-pinecone
touch "$venv/made"
