"""Refuses ISO images, for which LXD needs a storage volume of a type of its own."""

from __future__ import annotations

from typing import NoReturn

from common.boot import IsoState
from common.errors import Unsupported
from common.values import GuestRef
from rackd.drivers.lxd.connection.capabilities import extension_of
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.guests import STOPPED


def refuse(instances: Instances, guest: GuestRef) -> NoReturn:
    """Raises NotFound without the guest, and Unsupported with the reason."""
    instances.of_machine(guest)
    place = instances.client.place
    if not instances.capabilities.iso_volumes:
        raise Unsupported(
            f"{place} has no storage volumes of ISO images (API extension {extension_of('iso_volumes')}), and a VM can "
            f"have an ISO image from nowhere else that Innkeeper can write to. Newer releases of {instances.product} "
            "have them."
        )
    raise Unsupported(f"Innkeeper inserts ISO images into VMs of libvirt only, and this is {place}.")


def eject(instances: Instances, guest: GuestRef) -> IsoState:
    """Returns that no image of the region is in a drive: none can be."""
    return _state(int(instances.of_machine(guest)["status_code"]))


def _state(status: int) -> IsoState:
    return IsoState(now="", after="", runs=status != STOPPED)
