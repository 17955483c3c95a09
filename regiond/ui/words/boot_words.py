"""Says in words in which order a VM tries its devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations

from common.boot import BootDevice, joined
from regiond.machines.values.model import MachineView
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


def boot_orders(machines: Iterable[MachineView]) -> tuple[tuple[str, str], ...]:
    """Returns the orders of what any of the VMs has, as the API takes them, with their words."""
    vms = list(machines)
    has = {
        BootDevice.DISK: any(vm.disks for vm in vms),
        BootDevice.NETWORK: any(vm.nics for vm in vms),
        BootDevice.ISO: any(vm.boot.iso or vm.boot.next_iso for vm in vms),
    }
    kinds = [one for one, some in has.items() if some]
    return tuple((joined(order), boot_words(order)) for order in permutations(kinds))
