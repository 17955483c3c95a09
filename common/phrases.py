"""Phrases of messages, the same in both daemons and the command line."""

from __future__ import annotations


def number_of(number: int, noun: str) -> str:
    """Returns `1 core`, `2 cores`, `2 addresses`."""
    if number == 1:
        return f"{number} {noun}"
    return f"{number} {noun}{'es' if noun.endswith('s') else 's'}"
