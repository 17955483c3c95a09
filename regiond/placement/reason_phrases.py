"""Phrases that the reasons of rejected hosts share."""

from __future__ import annotations

from collections.abc import Sequence

NAMED_IN_REASON = 5  # every rejected host repeats its reason, so a longer list is cut


def first_of(texts: Sequence[str]) -> list[str]:
    """Returns the first texts and, in place of the others, how many more there are."""
    hidden = len(texts) - NAMED_IN_REASON
    return [*texts[:NAMED_IN_REASON], f"{hidden} more"] if hidden > 0 else list(texts)
