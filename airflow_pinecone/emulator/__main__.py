"""Run ``python -m airflow_pinecone.emulator``."""

import sys

try:
    import aiohttp  # noqa: F401
    import numpy  # noqa: F401
    import orjson  # noqa: F401
except ModuleNotFoundError as error:
    sys.exit(f"The emulator requires {error.name}. Install it with: pip install 'airflow-pinecone[emulator]'")

from airflow_pinecone.emulator.command_line import main

if __name__ == "__main__":
    sys.exit(main())
