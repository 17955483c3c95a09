"""From a wish and a placement to the whole definition of a guest. Pure but for the names it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from common.lxd_disks import device_name, serial_of
from common.marks import mark_of_volume, volume_name
from common.values import DiskSpec, DriverType, GuestSpec, HostNetwork, Mark, NicKind, NicSpec
from regiond.hosts.model import HostView
from regiond.machines.model import MachineView
from regiond.names import serial
from regiond.placement.model import HostOffer, PoolOffer, Verdict, Wish
from regiond.placement.place import DEFAULT_ROOT_BYTES

_PREFERRED_NETWORKS = ("maas", "default")  # the names clients' hosts have had for years


def offer_of(host: HostView, *, reachable: bool) -> HostOffer:
    """The host as placement sees it."""
    return HostOffer(
        id=host.id,
        name=host.name,
        state=host.state.value,
        reachable=reachable,
        architecture=host.architecture,
        cores=host.total.cores if host.total else None,
        memory_mib=host.total.memory_mib if host.total else None,
        cores_claimed=host.claimed.cores,
        memory_mib_claimed=host.claimed.memory_mib,
        cpu_over_commit_ratio=host.cpu_over_commit_ratio,
        memory_over_commit_ratio=host.memory_over_commit_ratio,
        storage_pools=tuple(
            PoolOffer(
                id=pool.id,
                pool_key=pool.pool_key,
                name=pool.name,
                total_bytes=pool.total_bytes,
                room_bytes=pool.room_bytes,
            )
            for pool in host.storage_pools
        ),
        default_storage_pool_id=next((pool.id for pool in host.storage_pools if pool.is_default), None),
        cpu_speed_mhz=host.cpu_speed_mhz,
        zone=host.zone.name,
        pool=host.pool.name,
        tags=host.tags,
    )


def default_nic(host: HostView) -> tuple[NicKind, str]:
    """What a card is attached to when nothing was asked: never nothing.

    The network `maas`, then `default`, then any active network of the hypervisor; a libvirt host without one
    gets QEMU's user-mode network, which reaches out and needs nothing of the host. Networks that are only listed
    are never chosen.
    """
    usable = (one for one in host.networks if one.active and one.attachable)
    active = sorted(usable, key=lambda one: one.kind is not NicKind.NETWORK)
    preferred = [network for name in _PREFERRED_NETWORKS for network in active if network.name == name]
    chosen: Sequence[HostNetwork] = [*preferred, *active]
    if chosen:
        return chosen[0].kind, chosen[0].name
    return (NicKind.USER, "") if host.driver is DriverType.LIBVIRT else (NicKind.NETWORK, "default")


def guest_spec(
    wish: Wish,
    verdict: Verdict,
    host: HostView,
    *,
    hostname: str,
    installation_id: UUID,
    machine_uuid: UUID,
    new_mac_address: Callable[[], str],
) -> GuestSpec:
    """Everything chosen, so that any rack makes the same guest any number of times."""
    mark = Mark(installation_id=installation_id, machine_id=machine_uuid)
    keys = {pool.id: pool.pool_key for pool in host.storage_pools}
    disks = tuple(
        DiskSpec(
            volume=volume_name(mark, index),
            pool_id=keys[pool_id],
            size_bytes=disk.size_bytes or DEFAULT_ROOT_BYTES,
            serial=_serial(host.driver, machine_uuid, index),
            tags=disk.tags,
        )
        for index, (disk, pool_id) in enumerate(zip(wish.disks, verdict.storage_pool_ids, strict=True))
    )
    kind, source = default_nic(host)
    nic = NicSpec(name="eth0", mac_address=new_mac_address(), kind=kind, source=source, boot=True)
    return GuestSpec(
        name=hostname,
        mark=mark,
        architecture=wish.architecture or host.architecture or "amd64",
        cores=wish.cores,
        memory_mib=wish.memory_mib,
        disks=disks,
        nics=(nic,),
    )


def known_spec(machine: MachineView, installation_id: UUID) -> GuestSpec:
    """What was asked for when it was composed, from its rows: enough to find, power and remove the guest.

    Disks that we did not make are no part of it, so nothing is ever told to remove them.
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
    )


def _serial(driver: DriverType, machine_uuid: UUID, index: int) -> str:
    return serial_of(device_name(index)) if driver is DriverType.LXD else serial(machine_uuid, index)
