"""The order in which an instance boots from its disks, NICs and ISO images, by their `boot.priority`. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping

from attrs import frozen

from common.boot import BootDevice, BootOrder, begins_with, completed
from rackd.drivers.lxd.inventory.config_values import natural
from rackd.drivers.lxd.inventory.iso_volumes import sha256_of_device

Device = Mapping[str, str]

PRIORITY = "boot.priority"
ROOT_PRIORITY, NIC_PRIORITY = 1, 2  # of a composed guest's root disk and boot NIC; its other volumes have 0
_KINDS = ("nic", "disk")  # the devices that LXD boots from
_BOOTABLE_NICTYPES = ("bridged", "macvlan", "ovn", "p2p", "physical", "sriov")  # the others have no `boot.priority`


@frozen(kw_only=True)
class BootedOnce:
    """The start of an instance in another order: `key` is that of the order, `priorities` are those of later starts.

    A device without a priority of its own has an empty text.
    """

    key: str
    priorities: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> BootedOnce | None:
        """Returns what `text` says; None if it says nothing that could be read."""
        try:
            found = json.loads(text) if text else None
        except ValueError:
            return None
        if not isinstance(found, dict) or not isinstance(found.get("priorities"), dict):
            return None
        return cls(key=str(found.get("key")), priorities={str(k): str(v) for k, v in found["priorities"].items()})

    @classmethod
    def of(cls, key: str, before: Mapping[str, Device], changed: Iterable[str]) -> BootedOnce:
        return cls(key=key, priorities={name: before[name].get(PRIORITY, "") for name in changed})

    def text(self) -> str:
        return json.dumps({"key": self.key, "priorities": dict(self.priorities)}, sort_keys=True)

    def restored(self, devices: Mapping[str, Device]) -> dict[str, Device]:
        """Returns the devices that change so that later starts are as before; those that no longer exist, do not."""
        found = {
            name: _with_priority(devices[name], int(text) if text.isdecimal() else None)
            for name, text in self.priorities.items()
            if name in devices
        }
        return {name: device for name, device in found.items() if device != devices[name]}


def priority_of(device: Device) -> int:
    """Returns the priority that is in effect: without a key, LXD gives the root disk 1 and other devices 0."""
    text = device.get(PRIORITY, "")
    return int(text) if text.isdecimal() else int(_is_root(device))


def first_disk(devices: Mapping[str, Device], disks: Collection[str]) -> str | None:
    """Returns which of `disks` boots first.

    Of disks with the same priority it is the root disk. LXD tries the others before that one, but only guests of
    releases before the boot disk could be chosen have such disks, which are empty unless their users filled them.
    """
    return next((name for name in _ranked(devices) if name in disks), None)


def with_first_disk(devices: Mapping[str, Device], disks: Collection[str], chosen: str) -> dict[str, Device]:
    """Returns the devices that change so that `chosen`, one of `disks`, boots before the others.

    It takes the place of the disk that booted first, so that NICs before or after that one stay there.
    """
    others = [priority_of(devices[name]) for name in disks if name != chosen and name in devices]
    if not others or priority_of(devices[chosen]) > max(others):
        return {}
    ranked = _ranked(devices)
    place = min(ranked.index(name) for name in ranked if name in disks)
    ranked.remove(chosen)
    ranked.insert(place, chosen)
    numbered = [name for name in ranked if name in disks or priority_of(devices[name])]
    wanted = {name: str(priority) for priority, name in enumerate(reversed(numbered), start=1)}
    return {
        name: {**devices[name], PRIORITY: text} for name, text in wanted.items() if devices[name].get(PRIORITY) != text
    }


def order_of(devices: Mapping[str, Device], disks: Collection[str]) -> BootOrder:
    """Returns the kinds of devices that LXD boots from, in the order in which it tries the first of each."""
    kinds = (_kind_of(name, devices[name], disks) for name in _ranked(devices))
    return tuple(dict.fromkeys(kind for kind in kinds if kind is not None))


def with_order(devices: Mapping[str, Device], disks: Collection[str], order: BootOrder) -> dict[str, Device]:
    """Returns the devices that change so that those of the kinds in `order` are tried first, in its order.

    The order among the devices of one kind stays.
    """
    present = order_of(devices, disks)
    if begins_with(present, order):
        return {}
    ranked = _ranked(devices)
    found = [
        name for kind in completed(order, present) for name in ranked if _kind_of(name, devices[name], disks) is kind
    ]
    wanted = {name: str(priority) for priority, name in enumerate(reversed(found), start=1)}
    return {
        name: {**devices[name], PRIORITY: text} for name, text in wanted.items() if devices[name].get(PRIORITY) != text
    }


def _kind_of(name: str, device: Device, disks: Collection[str]) -> BootDevice | None:
    if name in disks:
        return BootDevice.DISK
    if device.get("type") == "disk":
        return BootDevice.ISO if sha256_of_device(device) else None
    boots = device.get("network") or device.get("nictype") in _BOOTABLE_NICTYPES
    return BootDevice.NETWORK if device.get("type") == "nic" and boots else None


def with_root_first(devices: Mapping[str, Device], *, before_nics: bool) -> dict[str, Device]:
    """Returns all devices, with the root disk before the other volumes, and before or after the boot NIC."""
    found = {name: _with_priority(one, None) if _is_other_volume(one) else one for name, one in devices.items()}
    others = {name: priority_of(one) for name, one in found.items() if not _is_root(one) and priority_of(one)}
    root = max([ROOT_PRIORITY, *others.values()]) + 1 if before_nics else ROOT_PRIORITY
    if root in others.values():  # of the boot NIC of an earlier release
        found |= {name: _with_priority(found[name], priority + 1) for name, priority in others.items()}
    return {name: _with_priority(one, root) if _is_root(one) else one for name, one in found.items()}


def _ranked(devices: Mapping[str, Device]) -> list[str]:
    """Returns the names in the order in which LXD tries the devices: of the same priority, NICs before disks."""
    bootable = [name for name, device in devices.items() if device.get("type") in _KINDS]
    return sorted(bootable, key=lambda name: _rank(name, devices[name]))


def _rank(name: str, device: Device) -> tuple[int, int, bool, tuple[tuple[int, int | str], ...]]:
    return -priority_of(device), _KINDS.index(device["type"]), not _is_root(device), natural(name)


def _is_root(device: Device) -> bool:
    return device.get("type") == "disk" and device.get("path") == "/"


def _is_other_volume(device: Device) -> bool:
    return device.get("type") == "disk" and bool(device.get("pool")) and not _is_root(device)


def _with_priority(device: Device, priority: int | None) -> Device:
    others = {key: text for key, text in device.items() if key != PRIORITY}
    return others if priority is None else {**others, PRIORITY: str(priority)}
