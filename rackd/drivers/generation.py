"""Reads the generation written beside an ownership marker, and decides whether to raise it. Pure."""

from __future__ import annotations

from common.guest_facts import MAX_GENERATION

_MAX_DIGITS = len(str(MAX_GENERATION))


def parsed_generation(text: str | None) -> int | None:
    """Returns the generation, 0 where none is written yet; None for a text that is none, which a person wrote."""
    if text is None:
        return 0
    if len(text) > _MAX_DIGITS or not (text.isascii() and text.isdecimal()):
        return None
    return number if (number := int(text)) <= MAX_GENERATION else None


def is_higher(generation: int, present: int | None) -> bool:
    """Returns whether a guest with the generation `present` gets this one."""
    return present is None or generation > present
