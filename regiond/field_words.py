"""What is said of a field that is wrong, in the words that clients of MAAS know."""

from __future__ import annotations

REQUIRED = "This field is required."


def no_choice(value: str = "That choice") -> str:
    return f"Select a valid choice. {value} is not one of the available choices."


def at_most(limit: int | float | str) -> str:
    return f"Ensure this value is less than or equal to {limit}."


def at_least(limit: int | float | str) -> str:
    return f"Ensure this value is greater than or equal to {limit}."
