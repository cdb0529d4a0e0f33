#!/usr/bin/env python3
"""Create docker/.env from .env.example, with a new random value for every empty secret."""

import base64
import os
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def fill(template: str) -> str:
    """Fill in the empty secrets of a template.

    Args:
        template: Lines as in ``.env.example``.

    Returns:
        The same lines, with a value for every ``NAME=`` that had none.
    """
    lines = []
    for line in template.splitlines():
        name, equals, value = line.partition("=")
        if equals and not value and not line.startswith("#"):
            # Fernet needs 32 bytes in base64. The other secrets become parts of URLs and JSON: letters and digits only.
            fernet = name == "AIRFLOW_FERNET_KEY"
            line += base64.urlsafe_b64encode(secrets.token_bytes(32)).decode() if fernet else secrets.token_hex(32)
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file, readable by its owner only; never overwrite an existing one."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / ".env"
    text = fill((HERE / ".env.example").read_text())
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.exit(f"{target} already exists and was not changed.")
    with open(descriptor, "w") as file:
        file.write(text)
    print(f"Created {target}. Log in as admin with the AIRFLOW_ADMIN_PASSWORD in it.")


if __name__ == "__main__":
    main()
