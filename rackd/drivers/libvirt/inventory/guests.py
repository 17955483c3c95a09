"""Converts domains to Guests, from libvirt's bulk statistics and the cached domain XML.

In a listing, a domain with a disk named after its own UUID counts as managed, because statistics show disk paths but
no metadata (docs/decisions/0003). Methods that act on a domain read its marker from the metadata.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from uuid import UUID

from attrs import evolve, field, frozen

from common.disks.volume_names import marker_of_volume
from common.guest_facts import settings_in
from common.hosts.discovery import Problem
from common.units import mib_from_kib
from common.values import Autostart, Guest, GuestDisk, OwnershipMarker, PowerState
from rackd.drivers.libvirt.connection.client import BulkDomain
from rackd.drivers.libvirt.connection.test_driver import DomainStats
from rackd.drivers.libvirt.definitions.boot_order import is_disk
from rackd.drivers.libvirt.definitions.disk_xml import path_of
from rackd.drivers.libvirt.definitions.domain_config import UNKNOWN_NICS, DomainConfig, HostNics, domain_config
from rackd.drivers.libvirt.definitions.volume_references import image_below, names_of
from rackd.drivers.libvirt.image_names import sha256_of
from rackd.drivers.libvirt.inventory.pool_paths import PoolPaths
from rackd.drivers.libvirt.xml import Element, attribute, bytes_at, parse, text_at

SECTOR_BYTES = 512

_SHUT_OFF = 5
_POWER = {
    1: PowerState.ON,  # running
    2: PowerState.ON,  # blocked on a resource
    3: PowerState.PAUSED,
    4: PowerState.ON,  # shutting down
    _SHUT_OFF: PowerState.OFF,
    6: PowerState.OFF,  # crashed, but QEMU still has its disks
    7: PowerState.PAUSED,  # suspended to memory
}


def power_of(state: int) -> PowerState:
    return _POWER.get(state, PowerState.UNKNOWN)


def autostart_of(*, flag: bool) -> Autostart:
    return Autostart.ALWAYS if flag else Autostart.NEVER


@frozen(kw_only=True)
class GuestListing:
    """All guests of a host. `used_bytes` is the disk space that their disks occupy, by pool id."""

    guests: tuple[Guest, ...]
    problems: tuple[Problem, ...]
    used_bytes: Mapping[str, int]


@frozen(kw_only=True)
class _BulkDisk:
    device: str
    path: str
    size_bytes: int | None  # None: unknown
    used_bytes: int
    running: bool


@frozen(kw_only=True)
class _Places:
    """The storage pools of disks and, for each pool that could be listed, the names of its volumes."""

    paths: PoolPaths
    volumes: Mapping[str, Container[str]]

    def lack(self, disk: _BulkDisk, uuid: str) -> bool:
        """Returns whether the disk is a volume that does not exist.

        libvirt does not list every file in a pool, only those that it made or found at the pool's last refresh. So
        what counts is that libvirt cannot open the file of a guest that is off. A running guest has opened it before
        it was deleted: then only a volume that we made is known to be gone.
        """
        pool_id, volume = self.paths.volume_at(disk.path) or (None, None)
        if pool_id is None or volume is None or volume in self.volumes.get(pool_id, (volume,)):
            return False
        if not disk.running:
            return disk.size_bytes is None
        marker = marker_of_volume(volume)
        return marker is not None and marker.machine_id == UUID(uuid)


@frozen
class _Progress:
    problems: list[Problem] = field(factory=list)
    used_by_path: dict[str, int] = field(factory=dict)  # a shared disk counts once


def listing(
    domains: Iterable[BulkDomain],
    paths: PoolPaths,
    installation_id: UUID,
    configs: Mapping[str, DomainConfig],
    ports: HostNics = UNKNOWN_NICS,
    volumes: Mapping[str, Container[str]] = MappingProxyType({}),
) -> GuestListing:
    """Returns every domain with readable statistics, and a Problem for each other one.

    Statistics have all disks after `VolumeDisks` has completed them. `configs` is keyed by UUID; a domain without one
    is listed as incomplete. `volumes` has the names of the volumes of each storage pool that could be listed, by id.
    """
    progress, guests, places = _Progress(), [], _Places(paths=paths, volumes=volumes)
    for domain in domains:
        config = configs.get(domain.uuid)
        try:
            disks = tuple(_bulk_disks(domain.stats, () if config is None else config.drives))
            guest = _guest(domain, disks, places, installation_id, progress)
            guests.append(_with_config(guest, config, ports, installation_id))
        except (KeyError, TypeError, ValueError) as error:
            progress.problems.append(
                Problem(subject=domain.name, message=f"libvirt's statistics of this guest lack a value: {error}.")
            )
    used: dict[str, int] = {}
    for path, size in progress.used_by_path.items():
        pool_id = paths.pool_at(path)
        if pool_id is not None:
            used[pool_id] = used.get(pool_id, 0) + size
    return GuestListing(
        guests=tuple(sorted(guests, key=lambda guest: (guest.name, guest.guest_id))),
        problems=tuple(progress.problems),
        used_bytes=used,
    )


def _guest(
    domain: BulkDomain, bulk_disks: Sequence[_BulkDisk], places: _Places, installation_id: UUID, progress: _Progress
) -> Guest:
    disks = []
    for disk in bulk_disks:
        progress.used_by_path[disk.path] = disk.used_bytes
        missing = places.lack(disk, domain.uuid)
        if disk.size_bytes is None and not missing:
            message = f"The size of its disk {disk.device}, {disk.path}, is unknown."
            progress.problems.append(Problem(subject=domain.name, message=message))
        found = _disk(disk.device, disk.path, disk.size_bytes or 0, None, places.paths)
        disks.append(evolve(found, missing=missing))
    return Guest(
        name=domain.name,
        guest_id=domain.uuid,
        power=power_of(_number(domain.stats, "state.state")),
        cores=_number(domain.stats, "vcpu.current"),
        memory_mib=mib_from_kib(_number(domain.stats, "balloon.maximum")),
        marker=_marker_of_paths(domain.uuid, (disk.path for disk in bulk_disks), installation_id),
        disks=tuple(disks),
        autostart=autostart_of(flag=domain.autostart),
    )


def _with_config(guest: Guest, config: DomainConfig | None, ports: HostNics, installation_id: UUID) -> Guest:
    if config is None:
        return evolve(guest, is_complete=False)
    marker = _marker_of_config(guest, config, installation_id)
    return evolve(
        guest,
        marker=marker,
        generation=None if marker is None else config.generation,
        memory_mib=max(0, guest.memory_mib - config.absent_memory_kib // 1024),
        architecture=config.architecture,
        huge_pages_backed=config.huge_pages_backed,
        pinned_core_ids=config.pinned_core_ids,
        disks=tuple(evolve(disk, serial=config.serials.get(disk.device)) for disk in guest.disks),
        nics=config.nics_on(ports),
        boot_device=config.boot_device,
        boot_order=config.boot_order,
        booted_once=config.booted_once,
        iso=config.iso,
        **settings_in(config.settings),
    )


def _number(stats: DomainStats, key: str) -> int:
    return int(stats[key])


def _bulk_disks(stats: DomainStats, drives: Container[str] = ()) -> Iterable[_BulkDisk]:
    """Yields the disks that have a file or device, except `drives` (device names) and CD images.

    Statistics do not show what is a drive: without the domain's XML the name of the image has to do.
    """
    running = stats.get("state.state") != _SHUT_OFF
    for index in range(int(stats.get("block.count", 0))):
        at = f"block.{index}."
        path = str(stats.get(f"{at}path", ""))
        if str(stats.get(f"{at}name")) in drives:
            continue
        if not path or path.lower().endswith(".iso") or sha256_of(PurePosixPath(path).name):
            continue
        # Of a running guest `physical` is the space that the file occupies, and `allocation` the highest offset
        # written. Of a guest that is off `allocation` is the space (absent: none) and `physical` the nominal length.
        # A running guest that hangs or has a job has no values at all: libvirt does not wait for QEMU.
        yield _BulkDisk(
            device=str(stats[f"{at}name"]),
            path=path,
            size_bytes=_capacity(stats.get(f"{at}capacity")),
            used_bytes=int(stats.get(f"{at}physical" if running else f"{at}allocation", 0)),
            running=running,
        )


def paths_of(stats: DomainStats) -> set[str]:
    """Returns the file or device of each disk."""
    return {disk.path for disk in _bulk_disks(stats)}


def _capacity(value: int | str | bool | None) -> int | None:
    """Rounds up to whole sectors, as libvirt does for running guests but not for those that are off."""
    return None if value is None else -(-int(value) // SECTOR_BYTES) * SECTOR_BYTES


def _disk(device: str, path: str, size_bytes: int, serial: str | None, paths: PoolPaths) -> GuestDisk:
    pool_id, volume = paths.volume_at(path) or (None, None)
    return GuestDisk(device=device, size_bytes=size_bytes, pool_id=pool_id, volume=volume, serial=serial)


def _marker_of_paths(uuid: str, paths: Iterable[str], installation_id: UUID) -> OwnershipMarker | None:
    """Uses only the names, so a guest stays managed when its disk is lost or the storage pool is inactive."""
    own = OwnershipMarker(installation_id=installation_id, machine_id=UUID(uuid))
    return own if any(marker_of_volume(PurePosixPath(path).name) == own for path in paths) else None


def _marker_of_config(guest: Guest, config: DomainConfig, installation_id: UUID) -> OwnershipMarker | None:
    """Returns the marker in the metadata if the guest's id and the names of its disks agree.

    The disks alone are not enough: those of a disowned guest retain their names. Disks of other machines of the
    installation do: a guest can have got them, and lost its own. So do the images of external snapshots on them.
    """
    own = OwnershipMarker(installation_id=installation_id, machine_id=UUID(guest.guest_id))
    volumes = {disk.volume or "" for disk in guest.disks} | names_of(lower for _, lower in config.layers)
    markers = (marker_of_volume(name) for volume in volumes for name in (volume, image_below(volume)))
    has_disk = guest.marker == own or any(one is not None and one.installation_id == installation_id for one in markers)
    return own if has_disk and config.marker == own else None


def guest_of_domain(xml: str, stats: DomainStats, paths: PoolPaths) -> Guest:
    """Returns one guest with everything known, and the marker in its metadata."""
    tree = parse(xml, "a guest")
    config = domain_config(tree)
    sizes = {disk.device: disk.size_bytes for disk in _bulk_disks(stats)}
    disks = disk_paths(tree)
    for device, (pool, volume) in config.pool_volumes.items():
        path = paths.path_in(pool, volume)
        if device not in config.drives and path is not None:
            disks[device] = path
    return Guest(
        name=text_at(tree, "name"),
        guest_id=text_at(tree, "uuid"),
        power=power_of(_number(stats, "state.state")),
        cores=int(attribute(tree, "vcpu", "current") or text_at(tree, "vcpu", "0")),
        memory_mib=mib_from_kib((bytes_at(tree, "memory", unit="KiB") or 0) // 1024 - config.absent_memory_kib),
        marker=config.marker,
        architecture=config.architecture,
        huge_pages_backed=config.huge_pages_backed,
        pinned_core_ids=config.pinned_core_ids,
        disks=tuple(
            _disk(device, path, sizes.get(device) or 0, config.serials.get(device), paths)
            for device, path in disks.items()
        ),
        nics=config.nics_on(UNKNOWN_NICS),
        generation=config.generation,
        boot_device=config.boot_device,
        boot_order=config.boot_order,
        booted_once=config.booted_once,
        iso=config.iso,
        **settings_in(config.settings),
    )


def disk_paths(tree: Element) -> dict[str, str]:
    """Returns device name → path of each disk in domain XML that has a file or device."""
    disks = (disk for disk in tree.iterfind("devices/disk") if is_disk(disk))
    return {attribute(disk, "target", "dev"): path for disk in disks if (path := path_of(disk))}
