"""Waiting for a backup or a restore: what a poll means, when to poll, and who polls."""
