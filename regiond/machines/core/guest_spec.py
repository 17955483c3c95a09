"""Builds the definition of a guest, from a placement or from the rows of a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from attrs import frozen

from common.disks.device_names import lxd_device_name, lxd_serial
from common.disks.volume_names import marker_of_volume, short_volume_name, volume_name
from common.guests.guest_spec import DiskSpec, GuestSpec, NicAddress, NicSpec
from common.values import DriverType, NicKind, OwnershipMarker
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView
from regiond.placement.candidate import Candidate
from regiond.placement.model import Evaluation
from regiond.placement.requirements import Requirements
from regiond.requests.identifiers import serial

_UNCONFIGURED = "unconfigured"  # the mode of a NIC
_SHORT = {"Incus"}  # products that accept at most 64 characters for the name of a volume


def guest_spec(
    requirements: Requirements,
    evaluation: Evaluation,
    host: Candidate,
    *,
    hostname: str,
    installation_id: UUID,
    machine_uuid: UUID,
    new_mac_address: Callable[[], str],
    addresses: Mapping[str, NicAddress] | None = None,
) -> GuestSpec:
    """Returns a complete definition: any rack that composes it, any number of times, creates the same guest.

    `addresses` has the static address, with its network settings, of each NIC that requests one, by that address.
    """
    marker = OwnershipMarker(installation_id=installation_id, machine_id=machine_uuid)
    return GuestSpec(
        name=hostname,
        marker=marker,
        architecture=requirements.architecture or host.architecture or "amd64",
        cores=requirements.cores,
        memory_mib=requirements.memory_mib,
        disks=_disks(evaluation, host, marker),
        nics=_nics(evaluation, new_mac_address, addresses or {}),
        pinned_core_ids=evaluation.pinned_core_ids,
        huge_page_size_kib=evaluation.pages[0].size_kib if evaluation.pages else None,
        numa_node_ids=evaluation.numa_node_ids,
        uefi=requirements.uefi,
        secure_boot=requirements.secure_boot,
        tpm=requirements.tpm,
        autostart=host.autostart,
        max_cores=requirements.max_cores,
        max_memory_mib=requirements.max_memory_mib,
    )


@frozen(kw_only=True)
class DiskNames:
    """Names of a new disk: of its volume on the host, and the serial number that the guest sees."""

    volume: str
    serial: str


def names_of_new_disk(marker: OwnershipMarker, index: int, *, driver: str | None, product: str) -> DiskNames:
    """Returns the names of the machine's disk `index` (from 0) on a host with this driver and product."""
    return DiskNames(
        volume=name_of_new_volume(marker, index, product=product),
        serial=serial_of_new_disk(marker, index, driver=driver, product=product),
    )


def name_of_new_volume(marker: OwnershipMarker, index: int, *, product: str) -> str:
    return short_volume_name(marker, index) if product in _SHORT else volume_name(marker, index)


def serial_of_new_disk(marker: OwnershipMarker, index: int, *, driver: str | None, product: str) -> str:
    if driver == DriverType.LXD.value:
        return lxd_serial(lxd_device_name(index), product=product)
    return serial(marker.machine_id, index)


def known_spec(machine: MachineView, installation_id: UUID) -> GuestSpec:
    """Returns the definition of an existing machine from its rows. It is enough to find, power, empty and remove it.

    Omits disks and NICs that Innkeeper did not create, so that no driver removes them.
    """
    marker = OwnershipMarker(installation_id=installation_id, machine_id=machine.uuid)
    return GuestSpec(
        name=machine.hostname,
        marker=marker,
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
            if marker_of_volume(disk.volume) == marker
        ),
        nics=() if machine.adopted else tuple(map(nic_spec, machine.nics)),
        autostart=machine.autostart_in_effect,
        root_volume=next((disk.root_volume for disk in machine.disks if disk.index == 0 and disk.root_volume), ""),
    )


def nic_spec(nic: NicView) -> NicSpec:
    """Returns the definition of an existing NIC, from its rows. The first NIC of a machine boots."""
    return NicSpec(
        name=nic.name,
        mac_address=nic.mac_address,
        kind=NicKind(nic.kind),
        source=nic.source,
        boot=nic.index == 0,
        vid=nic.vid,
        address=_address(nic),
        configured=nic.mode != _UNCONFIGURED,
    )


def _address(nic: NicView) -> NicAddress | None:
    """Returns the static address; None for DHCP."""
    if nic.ip_address is None or nic.subnet is None:
        return None
    return NicAddress(
        address=str(nic.ip_address),
        prefix_length=nic.subnet.cidr.prefixlen,
        gateway=None if nic.subnet.gateway_ip is None else str(nic.subnet.gateway_ip),
        dns_servers=tuple(map(str, nic.subnet.dns_servers)),
    )


def _disks(evaluation: Evaluation, host: Candidate, marker: OwnershipMarker) -> tuple[DiskSpec, ...]:
    keys = {pool.id: pool.pool_key for pool in host.storage_pools}
    return tuple(
        DiskSpec(
            volume=names.volume,
            pool_id=keys[disk.storage_pool_id],
            size_bytes=disk.size_bytes,
            serial=names.serial,
            tags=disk.tags,
        )
        for index, disk in enumerate(evaluation.disks)
        for names in [names_of_new_disk(marker, index, driver=host.driver, product=host.product)]
    )


def _nics(
    evaluation: Evaluation, new_mac_address: Callable[[], str], addresses: Mapping[str, NicAddress]
) -> tuple[NicSpec, ...]:
    return tuple(
        NicSpec(
            name=nic.name,
            mac_address=new_mac_address(),
            kind=nic.kind,
            source=nic.source,
            boot=index == 0,
            vid=nic.vid,
            macvlan_mode=nic.macvlan_mode,
            address=addresses[nic.ip] if nic.ip is not None else None,
            configured=nic.configured,
        )
        for index, nic in enumerate(evaluation.nics)
    )
