"""Airflow imports this module in each of its processes."""

import sys

if "triggerer" in sys.argv:
    from stop_points import apply_clock_offset

    apply_clock_offset()
