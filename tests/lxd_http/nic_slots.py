"""The PCI slots of NICs in a running VM. A NIC is plugged only into the slot that it has after a restart, too."""

from __future__ import annotations

from tests.lxd_http.messages import Refused
from tests.lxd_http.server import INTERFACES
from tests.lxd_http.state import Devices, Instance, Lxd

SPARE = 4
_FIRST = 4  # the number of the first slot


def occupy(lxd: Lxd, one: Instance) -> None:
    """The instance starts."""
    names = _nics(lxd.expanded_devices(one))
    one.slots = {name: number for number, name in enumerate(names)}
    one.ports = len(names) + SPARE


def change(lxd: Lxd, one: Instance, before: Devices, after: Devices) -> None:
    """LXD disconnects a NIC and asks the guest for it. No system runs here: QEMU keeps the NIC in its slot."""
    for name in sorted(set(_nics(after)) - set(_nics(before))):
        parent = after[name].get("parent")
        failed = f'Failed to start device "{name}": '
        if parent and parent not in INTERFACES:
            raise Refused(500, f'{failed}Parent device "{parent}" doesn\'t exist')
        _plug(
            one,
            name,
            _nics(after).index(name),
            f'{failed}Failed setting up device "{name}": Failed adding NIC device: ',
        )


def _plug(one: Instance, name: str, slot: int, failed: str) -> None:
    if slot >= one.ports:
        raise Refused(500, f"{failed}Bus 'qemu_pcie{_FIRST + slot}' not found")
    if name in one.slots:
        raise Refused(500, f"{failed}Duplicate device ID 'dev-lxd_{name}'")
    for other, number in one.slots.items():
        if number == slot:
            taken = f"in use by virtio-net-pci,id=dev-lxd_{other}"
            raise Refused(500, f"{failed}PCI: slot 0 function 0 not available for virtio-net-pci, {taken}")
    one.slots[name] = slot


def _nics(devices: Devices) -> list[str]:
    return sorted(name for name, device in devices.items() if device.get("type") == "nic")
