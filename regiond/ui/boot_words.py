"""Says in words in which order a VM tries its devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.boot import BootDevice
from regiond.ui.texts import constant, text

_WORDS: Mapping[BootDevice, str] = {
    BootDevice.DISK: constant("disk"),
    BootDevice.NETWORK: constant("network"),
    BootDevice.ISO: constant("ISO image"),
}


def boot_words(order: Sequence[BootDevice]) -> str:
    """Returns `network, then disk` in the reader's language; empty for no order."""
    words = [text(_WORDS[one]) for one in order]
    found = words[0] if words else ""
    for word in words[1:]:
        found = text("{first}, then {next}", first=found, next=word)
    return found
