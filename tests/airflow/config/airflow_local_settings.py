"""Airflow imports this in each of its processes."""

import sys

if "triggerer" in sys.argv:
    from gates import follow_clock

    follow_clock()
