"""From a wish and a placement to the whole definition of a guest. Pure but for the names it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from common.lxd_disks import device_name, serial_of
from common.marks import mark_of_volume, volume_name
from common.values import DiskSpec, DriverType, GuestSpec, Mark, NicAddress, NicKind, NicSpec
from regiond.machines.model import MachineView
from regiond.names import serial
from regiond.placement.model import HostOffer, Verdict, Wish


def guest_spec(
    wish: Wish,
    verdict: Verdict,
    host: HostOffer,
    *,
    hostname: str,
    installation_id: UUID,
    machine_uuid: UUID,
    new_mac_address: Callable[[], str],
    addresses: Mapping[str, NicAddress] | None = None,
) -> GuestSpec:
    """Everything chosen, so that any rack makes the same guest any number of times.

    `addresses` tells of the cards that ask for one, by the address, what the guest has to know beside it.
    """
    mark = Mark(installation_id=installation_id, machine_id=machine_uuid)
    keys = {pool.id: pool.pool_key for pool in host.storage_pools}
    disks = tuple(
        DiskSpec(
            volume=volume_name(mark, index),
            pool_id=keys[disk.storage_pool_id],
            size_bytes=disk.size_bytes,
            serial=_serial(host.driver, machine_uuid, index),
            tags=disk.tags,
        )
        for index, disk in enumerate(verdict.disks)
    )
    nics = tuple(
        NicSpec(
            name=nic.name,
            mac_address=new_mac_address(),
            kind=nic.kind,
            source=nic.source,
            boot=index == 0,
            vid=nic.vid,
            macvlan_mode=nic.macvlan_mode,
            address=(addresses or {})[nic.ip] if nic.ip is not None else None,
            configured=nic.configured,
        )
        for index, nic in enumerate(verdict.nics)
    )
    return GuestSpec(
        name=hostname,
        mark=mark,
        architecture=wish.architecture or host.architecture or "amd64",
        cores=wish.cores,
        memory_mib=wish.memory_mib,
        disks=disks,
        nics=nics,
        pinned_core_ids=verdict.pinned_core_ids,
        huge_page_size_kib=verdict.pages[0].size_kib if verdict.pages else None,
        numa_node_ids=verdict.numa_node_ids,
    )


def known_spec(machine: MachineView, installation_id: UUID) -> GuestSpec:
    """What was asked for when it was composed, from its rows: enough to find, power and remove the guest.

    Disks and cards that we did not make are no part of it, so nothing is ever told to remove them.
    """
    mark = Mark(installation_id=installation_id, machine_id=machine.uuid)
    return GuestSpec(
        name=machine.hostname,
        mark=mark,
        architecture=machine.architecture,
        cores=machine.cores,
        memory_mib=machine.memory_mib,
        disks=tuple(
            DiskSpec(
                volume=disk.volume,
                pool_id=disk.storage_pool_key,
                size_bytes=disk.size_bytes,
                serial=disk.serial or serial(machine.uuid, disk.index),
                tags=disk.tags,
            )
            for disk in machine.disks
            if mark_of_volume(disk.volume) == mark
        ),
        nics=tuple(
            NicSpec(name=nic.name, mac_address=nic.mac_address, kind=NicKind(nic.kind), source=nic.source)
            for nic in machine.nics
            if not machine.adopted
        ),
    )


def _serial(driver: str, machine_uuid: UUID, index: int) -> str:
    return serial_of(device_name(index)) if driver == DriverType.LXD.value else serial(machine_uuid, index)
