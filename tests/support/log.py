"""A logger that stores its messages."""

from __future__ import annotations


class Log(list[str]):
    """The messages of a wait; a warning starts with ``warning:``."""

    info = list.append

    def warning(self, message: str) -> None:
        """Store a warning."""
        self.append(f"warning: {message}")
