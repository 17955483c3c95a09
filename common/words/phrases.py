"""Phrases of messages, the same in both daemons and the command line."""

from __future__ import annotations

from collections.abc import Sequence


def number_of(number: int, noun: str) -> str:
    """Returns `1 core`, `2 cores`, `2 addresses`."""
    if number == 1:
        return f"{number} {noun}"
    return f"{number} {noun}{'es' if noun.endswith('s') else 's'}"


def first_of(texts: Sequence[str], most: int) -> str:
    """Returns `a, b`; of more than `most` texts `a, b and 3 more`."""
    shown = ", ".join(texts[:most])
    return f"{shown} and {len(texts) - most} more" if len(texts) > most else shown
