"""Domains become Guests: from libvirt's statistics and what is known of their definitions. Pure.

A guest in a listing is taken for ours by its own id and the names of its disks, which statistics tell
(docs/decisions/0003); the mark proper is for whoever acts on that one guest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from uuid import UUID

from attrs import evolve, field, frozen

from common.discovery import Problem
from common.marks import mark_of_volume
from common.units import mib_from_kib
from common.values import Guest, GuestDisk, Mark, PowerState
from rackd.drivers.libvirt.addresses import Reservation, read
from rackd.drivers.libvirt.client import BulkDomain
from rackd.drivers.libvirt.defined import UNKNOWN_PORTS, Defined, FunctionPorts, defined
from rackd.drivers.libvirt.pretended import Stats
from rackd.drivers.libvirt.trees import Element, attribute, bytes_at, parse, text_at

MARK_NAMESPACE = "urn:innkeeper:mark:1"
SECTOR_BYTES = 512

_POWER = {
    1: PowerState.ON,  # running
    2: PowerState.ON,  # blocked on a resource
    3: PowerState.PAUSED,
    4: PowerState.ON,  # shutting down
    5: PowerState.OFF,
    6: PowerState.OFF,  # crashed
    7: PowerState.PAUSED,  # suspended to memory
}


def power_of(state: int) -> PowerState:
    return _POWER.get(state, PowerState.UNKNOWN)


@frozen(kw_only=True)
class PoolPaths:
    """Where the storage pools keep their volumes: (target path, pool id)."""

    paths: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, pools: Iterable[Element]) -> PoolPaths:
        return cls(paths=tuple((text_at(pool, "target/path"), text_at(pool, "uuid")) for pool in pools))

    def pool_of(self, path: str) -> str | None:
        """The pool whose folder holds `path`; the innermost one where folders nest."""
        inside = PurePosixPath(path).is_relative_to
        holding = [(len(root), pool_id) for root, pool_id in self.paths if root and inside(root)]
        return max(holding)[1] if holding else None

    def place_of(self, path: str) -> tuple[str, str] | None:
        """(pool id, volume name) of `path`."""
        pool_id = self.pool_of(path)
        return None if pool_id is None else (pool_id, PurePosixPath(path).name)


@frozen(kw_only=True)
class Listing:
    """All guests of a host. `used_bytes`: what their disks really take, by pool id; a shared disk counts once."""

    guests: tuple[Guest, ...]
    problems: tuple[Problem, ...]
    used_bytes: Mapping[str, int]


@frozen(kw_only=True)
class _BulkDisk:
    device: str
    path: str
    size_bytes: int | None
    used_bytes: int


@frozen
class _Found:
    problems: list[Problem] = field(factory=list)
    used_by_path: dict[str, int] = field(factory=dict)


def listing(
    domains: Iterable[BulkDomain],
    paths: PoolPaths,
    installation_id: UUID,
    definitions: Mapping[str, Defined],
    ports: FunctionPorts = UNKNOWN_PORTS,
) -> Listing:
    """Every domain whose statistics can be read; the others become problems. `definitions`, by UUID, may lack some."""
    found, guests = _Found(), []
    for domain in domains:
        try:
            guest = _guest(domain, paths, installation_id, found)
            guests.append(_with_definition(guest, definitions.get(domain.uuid), ports))
        except (KeyError, TypeError, ValueError) as error:
            found.problems.append(
                Problem(subject=domain.name, message=f"libvirt tells too little of this guest to list it: {error}.")
            )
    used: dict[str, int] = {}
    for path, size in found.used_by_path.items():
        pool_id = paths.pool_of(path)
        if pool_id is not None:
            used[pool_id] = used.get(pool_id, 0) + size
    return Listing(
        guests=tuple(sorted(guests, key=lambda guest: (guest.name, guest.guest_id))),
        problems=tuple(found.problems),
        used_bytes=used,
    )


def _guest(domain: BulkDomain, paths: PoolPaths, installation_id: UUID, found: _Found) -> Guest:
    disks = []
    told = tuple(_bulk_disks(domain.stats))
    for disk in told:
        found.used_by_path[disk.path] = disk.used_bytes
        if disk.size_bytes is None:
            found.problems.append(
                Problem(subject=domain.name, message=f"Its disk {disk.device}, {disk.path}, cannot be read.")
            )
            continue
        disks.append(_disk(disk.device, disk.path, disk.size_bytes, None, paths))
    return Guest(
        name=domain.name,
        guest_id=domain.uuid,
        power=power_of(_number(domain.stats, "state.state")),
        cores=_number(domain.stats, "vcpu.current"),
        memory_mib=mib_from_kib(_number(domain.stats, "balloon.maximum")),
        mark=_mark_of_paths(domain.uuid, (disk.path for disk in told), installation_id),
        disks=tuple(disks),
    )


def _with_definition(guest: Guest, told: Defined | None, ports: FunctionPorts) -> Guest:
    if told is None:
        return evolve(guest, fully_told=False)
    return evolve(
        guest,
        mark=guest.mark if guest.mark == told.mark else None,  # taken off, its disks keep their names
        architecture=told.architecture,
        huge_pages_backed=told.huge_pages_backed,
        pinned_core_ids=told.pinned_core_ids,
        disks=tuple(evolve(disk, serial=told.serials.get(disk.device)) for disk in guest.disks),
        nics=told.nics_on(ports),
    )


def _number(stats: Stats, key: str) -> int:
    return int(stats[key])


def _bulk_disks(stats: Stats) -> Iterable[_BulkDisk]:
    """The disks with a file or device behind them. CD images are left out; drives without a medium have no path."""
    for index in range(int(stats.get("block.count", 0))):
        at = f"block.{index}."
        path = str(stats.get(f"{at}path", ""))
        if not path or path.lower().endswith(".iso"):
            continue
        # Of a running guest `physical` is what the file takes and `allocation` how far the guest wrote lately; of one
        # that is off `allocation` is what it takes (absent: nothing yet) and `physical` its nominal length.
        running = f"{at}rd.reqs" in stats
        yield _BulkDisk(
            device=str(stats[f"{at}name"]),
            path=path,
            size_bytes=_capacity(stats.get(f"{at}capacity")),
            used_bytes=int(stats.get(f"{at}physical" if running else f"{at}allocation", 0)),
        )


def paths_of(stats: Stats) -> set[str]:
    """What is behind the disks of a domain."""
    return {disk.path for disk in _bulk_disks(stats)}


def _capacity(value: int | str | bool | None) -> int | None:
    """Whole sectors: a running guest's odd-sized image is told rounded up, the same image at rest is not."""
    return None if value is None else -(-int(value) // SECTOR_BYTES) * SECTOR_BYTES


def _disk(device: str, path: str, size_bytes: int, serial: str | None, paths: PoolPaths) -> GuestDisk:
    pool_id, volume = paths.place_of(path) or (None, None)
    return GuestDisk(device=device, size_bytes=size_bytes, pool_id=pool_id, volume=volume, serial=serial)


def _mark_of_paths(uuid: str, paths: Iterable[str], installation_id: UUID) -> Mark | None:
    """By the names alone: a guest stays ours when its disk is lost, or the storage pool is switched off."""
    own = Mark(installation_id=installation_id, machine_id=UUID(uuid))
    return own if any(mark_of_volume(PurePosixPath(path).name) == own for path in paths) else None


def mark_of_definition(tree: Element) -> Mark | None:
    """The mark proper, from the domain's metadata."""
    found = _mark_element(tree)
    if found is None:
        return None
    try:
        return Mark(installation_id=UUID(found.get("installation")), machine_id=UUID(found.get("machine")))
    except (TypeError, ValueError):
        return None


def _mark_element(tree: Element) -> Element | None:
    return tree.find(f"metadata/{{{MARK_NAMESPACE}}}mark")


def reservations_of_definition(tree: Element) -> tuple[Reservation, ...]:
    """What networks of the host were told for this guest when it was made."""
    mark = _mark_element(tree)
    return () if mark is None else tuple(read(one) for one in mark.iterfind(f"{{{MARK_NAMESPACE}}}reservation"))


def function_ports(tree: Element) -> Mapping[str, str]:
    """The port of each card that was given a virtual function when the guest was made, by MAC address."""
    mark = _mark_element(tree)
    found = () if mark is None else mark.iterfind(f"{{{MARK_NAMESPACE}}}function")
    return {one.get("mac", ""): one.get("port", "") for one in found}


def guest_of_definition(xml: str, stats: Stats, paths: PoolPaths) -> Guest:
    """One guest in full, with the mark proper."""
    tree = parse(xml, "a guest")
    told = defined(tree, function_ports(tree))
    sizes = {disk.device: disk.size_bytes for disk in _bulk_disks(stats)}
    return Guest(
        name=text_at(tree, "name"),
        guest_id=text_at(tree, "uuid"),
        power=power_of(_number(stats, "state.state")),
        cores=int(attribute(tree, "vcpu", "current") or text_at(tree, "vcpu", "0")),
        memory_mib=mib_from_kib((bytes_at(tree, "memory", unit="KiB") or 0) // 1024),
        mark=mark_of_definition(tree),
        architecture=told.architecture,
        huge_pages_backed=told.huge_pages_backed,
        pinned_core_ids=told.pinned_core_ids,
        disks=tuple(
            _disk(device, path, sizes.get(device) or 0, told.serials.get(device), paths)
            for device, path in disk_paths(tree).items()
        ),
        nics=told.nics_on(UNKNOWN_PORTS),
    )


def disk_paths(tree: Element) -> Mapping[str, str]:
    """What is behind each disk of a definition that has a file or device behind it: device name → path."""
    found = {}
    for disk in tree.iterfind("devices/disk"):
        if disk.get("device", "disk") != "disk":
            continue
        path = attribute(disk, "source", "file") or attribute(disk, "source", "dev")
        if path:
            found[attribute(disk, "target", "dev")] = path
    return found
