"""Says in words what made a VM one that should run, or should be off. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.machines.values.power import WantedPower
from regiond.ui.texts import constant, text

_SET_BY: Mapping[str, str] = {
    "power": constant("as requested"),
    "compose": constant("as it was composed"),
    "deploy": constant("as its deployment left it"),
    "release": constant("as its release left it"),
    "adopt": constant("as it was when it was adopted"),
    "found": constant("as it was found on its host"),
    "accepted": constant("as it was accepted"),
}
_OTHER = constant("as a task left it")


def wanted_words(wanted: WantedPower) -> str:
    """Returns `as requested by ann`, in the reader's language."""
    words = text(_SET_BY.get(wanted.set_by, _OTHER))
    return words if wanted.user is None else text("{words} by {user}", words=words, user=wanted.user)
