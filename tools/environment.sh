#!/bin/sh
# Create the virtual environment of one Airflow version: environment.sh PYTHON VENV CONSTRAINTS AIRFLOW
set -eu
python=$1 venv=$2 constraints=$3 airflow=$4
fail() { echo "make: $*" >&2; exit 1; }

[ -f "$constraints" ] ||
  fail "Airflow $airflow has no file of constraints here; choose one of $(sed -n 's/^apache-airflow==//p' constraints*.txt | sort -V | tr '\n' ' ')"
case $airflow in 2.* | 3.0.*) newest=12 ;; 3.1.*) newest=13 ;; *) newest=14 ;; esac
command -v "$python" >/dev/null || fail "$python was not found; install Python 3.11 to 3.$newest, or name another: make PYTHON=..."
"$python" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $newest))" ||
  fail "Airflow $airflow needs Python 3.11 to 3.$newest, but $python is $("$python" -V 2>&1); name another: make PYTHON=..."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  fail "$python has no venv module; on Debian and Ubuntu: apt-get install python3-venv"

echo "Creating $venv with Airflow $airflow (takes a few minutes the first time) ..."
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check -c "$constraints" -e '.[bench,dev,docs]' "apache-airflow==$airflow" ||
  fail "pip could not install the packages; see its output above"
# In a folder of its own, not in the environment: one test adds it to the path to check that both providers work together.
"$venv/bin/python" -m pip install -q --disable-pip-version-check -c "$constraints" --no-deps --target "$venv/official" \
  apache-airflow-providers-pinecone
# A second Pinecone client for the tests of the emulator. It works with the packages that the first one needs.
"$venv/bin/python" -m pip install -q --disable-pip-version-check -c constraints-client-10.txt --no-deps --target "$venv/client-10" pinecone
touch "$venv/made"
