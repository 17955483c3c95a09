"""Refuses, before anything is changed, what would end with a guest that is gone or with a failure half-way."""

from __future__ import annotations

from common.errors import Unsupported, WrongState
from common.removal_facts import RemovalFacts


def check_not_protected(name: str, facts: RemovalFacts) -> None:
    """Raises WrongState for a guest that its host refuses to delete, before it is powered off for that."""
    if facts.protection:
        raise WrongState(f"{name} is not deleted, and nothing was changed: {facts.protection}", name=name)


def check_adoptable(name: str, facts: RemovalFacts, *, remedy: str) -> None:
    """Raises Unsupported for a guest that its host deletes at power-off. `remedy` is a sentence."""
    if facts.deleted_when_off:
        raise Unsupported(
            f"{name} cannot be adopted: its host deletes it, with its disks, as soon as it is powered off. {remedy}",
            name=name,
        )
