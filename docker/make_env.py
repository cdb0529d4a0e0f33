#!/usr/bin/env python3
"""Write docker/.env: the settings of .env.example, with a new random secret wherever that leaves one empty."""

import base64
import os
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def fill(template: str) -> str:
    """Fill in the secrets that a template leaves empty.

    Args:
        template: Lines as in ``.env.example``.

    Returns:
        The same lines, with a value after every ``NAME=`` that had none.
    """
    lines = []
    for line in template.splitlines():
        name, equals, value = line.partition("=")
        if equals and not value and not line.startswith("#"):
            # Fernet wants 32 bytes in base64; the others go into URLs and JSON, so letters and digits alone.
            fernet = name == "AIRFLOW_FERNET_KEY"
            line += base64.urlsafe_b64encode(secrets.token_bytes(32)).decode() if fernet else secrets.token_hex(32)
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file, which only its owner may read; one that is there already stays as it is."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / ".env"
    text = fill((HERE / ".env.example").read_text())
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.exit(f"{target} is there already and was not touched.")
    with open(descriptor, "w") as file:
        file.write(text)
    print(f"Wrote {target}; the password of the user admin stands in it as AIRFLOW_ADMIN_PASSWORD.")


if __name__ == "__main__":
    main()
