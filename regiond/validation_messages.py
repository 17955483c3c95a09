"""Messages for invalid fields, shared by the API and the rooms that validate."""

from __future__ import annotations

from collections.abc import Iterable

REQUIRED = "This field is required."


def no_choice(value: str | None = None, choices: Iterable[str] = ()) -> str:
    """For a value that is not one of `choices`; without choices, for the name or id of something unknown."""
    known = ", ".join(choices)
    if known:
        return f"{value!r} is not one of: {known}."
    return "This does not exist." if value is None else f"{value!r} does not exist."


def at_most(limit: int | float | str) -> str:
    return f"Must be at most {limit}."


def at_least(limit: int | float | str) -> str:
    return f"Must be at least {limit}."
