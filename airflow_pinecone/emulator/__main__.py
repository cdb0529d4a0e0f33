"""Run ``python -m airflow_pinecone.emulator``."""

import sys

try:
    import aiohttp  # noqa: F401
except ModuleNotFoundError:
    sys.exit("The emulator requires aiohttp. Install it with: pip install 'airflow-pinecone[emulator]'")

from airflow_pinecone.emulator.command_line import main

if __name__ == "__main__":
    sys.exit(main())
