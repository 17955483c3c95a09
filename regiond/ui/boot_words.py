"""Says in words in which order a VM tries its devices."""

from __future__ import annotations

from collections.abc import Mapping

from common.boot import BootDevice, BootOrder
from regiond.ui.texts import constant

_DISK, _NETWORK = BootDevice.DISK, BootDevice.NETWORK
BOOT_WORDS: Mapping[BootOrder, str] = {
    (_DISK, _NETWORK): constant("disk, then network"),
    (_NETWORK, _DISK): constant("network, then disk"),
    (_DISK,): constant("disk"),
    (_NETWORK,): constant("network"),
}
"""By order."""
