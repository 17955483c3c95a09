"""Instances become Guests, from what a bulk listing tells. Pure.

Our mark is in the instance's `user.innkeeper.*` config. `lxc copy` copies that too, so the mark counts only together
with the instance's own id, which LXD keeps when an instance moves or is renamed and never gives twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from attrs import field, frozen

from common.discovery import Problem
from common.lxd_disks import serial_of
from common.marks import mark_of_volume
from common.units import mib_from_bytes_up
from common.values import Guest, GuestDisk, GuestNic, Mark, NicKind, PowerState
from rackd.drivers.lxd.sizes import cores, natural, size_bytes

Json = Mapping[str, Any]

INSTALLATION, MACHINE = "user.innkeeper.installation", "user.innkeeper.machine"
MADE = "user.innkeeper.made"  # HALF and who makes it until everything is there, then the instance's own id
ROOT_VOLUME = "user.innkeeper.root"  # the name under which the region knows the root disk
HALF = "half"
UNNAMED = "true"  # stands for the id on servers that give instances none
UUID_KEY = "volatile.uuid"

DEFAULT_PROJECT = "default"
VM, CONTAINER = "virtual-machine", "container"
DEFAULT_DISK_BYTES = 10 * 1024**3  # LXD's own for a VM's root when nothing says otherwise
DEFAULT_CORES, DEFAULT_MEMORY_MIB = 1, 1024  # of a VM without limits
DEBIAN_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "ppc64le": "ppc64el",
    "s390x": "s390x",
    "i686": "i386",
    "armv7l": "armhf",
    "riscv64": "riscv64",
}

STARTED, STOPPED, RUNNING, STARTING, STOPPING, FROZEN, ERROR, READY = 101, 102, 103, 106, 107, 110, 112, 113
_POWER = {
    STARTED: PowerState.ON,
    RUNNING: PowerState.ON,
    STARTING: PowerState.ON,
    READY: PowerState.ON,
    STOPPED: PowerState.OFF,
    STOPPING: PowerState.ON,  # not off yet
    FROZEN: PowerState.PAUSED,
}
_NIC_KINDS = {"bridged": NicKind.BRIDGE, "macvlan": NicKind.MACVLAN, "sriov": NicKind.SRIOV}


def power_of(status_code: int) -> PowerState:
    return _POWER.get(status_code, PowerState.UNKNOWN)


@frozen(kw_only=True)
class Volume:
    """A storage volume of any type, as the listing of its pool tells."""

    pool: str
    project: str
    type: str
    name: str
    location: str
    block: bool
    size_bytes: int
    attached: bool


@frozen
class Volumes:
    """All volumes that are known, to look up what a disk device names."""

    _by_place: Mapping[tuple[str, str, str], tuple[Volume, ...]] = field(factory=dict)
    _homes: Mapping[str, str] = field(factory=dict)  # project → the project that its custom volumes are in

    @classmethod
    def of(cls, volumes: Iterable[Volume], homes: Mapping[str, str]) -> Volumes:
        found: dict[tuple[str, str, str], tuple[Volume, ...]] = {}
        for volume in volumes:
            if volume.type == "custom":
                key = volume.pool, volume.project, volume.name
                found[key] = (*found.get(key, ()), volume)
        return cls(found, homes)

    def custom(self, instance: Json, pool: str, name: str) -> Volume | None:
        """Members of a cluster may each have one of that name: the instance's own member counts."""
        project = str(instance.get("project") or DEFAULT_PROJECT)
        there = self._by_place.get((pool, self._homes.get(project, project), name), ())
        here = [volume for volume in there if volume.location == instance.get("location")]
        return next(iter(here or there), None)


def homes_of(projects: Iterable[Json]) -> Mapping[str, str]:
    """For each project the one whose custom volumes its instances use."""
    return {str(project["name"]): _home(project) for project in projects}


def _home(project: Json) -> str:
    separate = (project.get("config") or {}).get("features.storage.volumes") == "true"
    return str(project["name"]) if separate else DEFAULT_PROJECT


def volume_of(told: Json, pool: str) -> Volume:
    """ValueError when its size is no amount. A volume without a size (a container's folder) counts as 0."""
    size = (told.get("config") or {}).get("size")
    return Volume(
        pool=pool,
        project=str(told.get("project") or DEFAULT_PROJECT),
        type=str(told["type"]),
        name=str(told["name"]),
        location=str(told.get("location") or ""),
        block=told.get("content_type") == "block",
        size_bytes=size_bytes(size) if size else 0,
        attached=bool(told.get("used_by")),
    )


def config_of(instance: Json) -> Mapping[str, str]:
    found: Mapping[str, str] = instance.get("config") or {}
    return found


def mark_of(instance: Json) -> Mark | None:
    """None on foreign instances: without a mark, copied from one of ours, or no virtual machine."""
    config = config_of(instance)
    if instance.get("type") != VM:
        return None
    made = config.get(MADE, HALF)
    if not made.startswith(HALF) and made not in {UNNAMED, config.get(UUID_KEY)}:
        return None
    try:
        return Mark(installation_id=UUID(config[INSTALLATION]), machine_id=UUID(config[MACHINE]))
    except (KeyError, ValueError):
        return None


def is_half_made(instance: Json) -> bool:
    return config_of(instance).get(MADE, "").startswith(HALF)


def is_unreadable(instance: Json) -> bool:
    """An instance of which LXD knows no more than that it is on a member of the cluster that does not answer."""
    return not instance.get("type") and instance.get("config") is None


def id_of(instance: Json) -> str:
    """LXD's own id of the instance; on servers that give none, its place."""
    project = str(instance.get("project") or DEFAULT_PROJECT)
    return config_of(instance).get(UUID_KEY) or f"{project}/{instance['name']}"


def function_ports(networks: Iterable[Json]) -> Mapping[str, str]:
    """The port that each network takes a virtual function of for each card on it."""
    told = (network for network in networks if network.get("type") == "sriov")
    return {str(network["name"]): str((network.get("config") or {}).get("parent") or "") for network in told}


def guest_of(
    instance: Json, volumes: Volumes, function_ports: Mapping[str, str] | None = None
) -> tuple[Guest, tuple[Problem, ...]]:
    """One instance, whatever can be read of it; the rest is in the problems. KeyError when it has no name."""
    reading = _Reading(instance=instance, volumes=volumes, function_ports=function_ports or {})
    name = str(instance["name"])
    project = str(instance.get("project") or DEFAULT_PROJECT)
    count, pinned = reading.cores()
    location = str(instance.get("location") or "")
    kernel = str(instance.get("architecture") or "")
    guest = Guest(
        name=name,
        guest_id=id_of(instance),
        power=power_of(int(instance.get("status_code") or 0)),
        cores=count,
        memory_mib=reading.memory_mib(),
        mark=mark_of(instance),
        project=project,
        architecture=DEBIAN_ARCHITECTURES.get(kernel, kernel),
        pinned_core_ids=pinned,
        huge_pages_backed=reading.expanded.get("limits.memory.hugepages") in {"true", "1"},
        disks=tuple(reading.disks()),
        nics=tuple(reading.nics()),
        member=location if location not in {"", "none"} else None,
        kind="vm" if reading.is_vm else "container",
    )
    return guest, tuple(reading.problems)


@frozen(kw_only=True)
class _Reading:
    instance: Json
    volumes: Volumes
    function_ports: Mapping[str, str]
    problems: list[Problem] = field(factory=list)

    @property
    def is_vm(self) -> bool:
        return self.instance.get("type") == VM

    @property
    def expanded(self) -> Mapping[str, str]:
        found: Mapping[str, str] | None = self.instance.get("expanded_config")
        return config_of(self.instance) if found is None else found

    def devices(self, kind: str) -> list[tuple[str, Mapping[str, str]]]:
        devices = self.instance.get("expanded_devices") or self.instance.get("devices") or {}
        return [(name, device) for name, device in devices.items() if device.get("type") == kind]

    def cores(self) -> tuple[int, tuple[int, ...]]:
        text = self.expanded.get("limits.cpu")
        default = DEFAULT_CORES if self.is_vm else 0  # a container without limits has nothing set aside
        try:
            return cores(text) if text else (default, ())
        except ValueError as error:
            self._problem(f"limits.cpu: {error}.")
            return default, ()

    def memory_mib(self) -> int:
        text = self.expanded.get("limits.memory")
        default = DEFAULT_MEMORY_MIB if self.is_vm else 0
        return mib_from_bytes_up(self._bytes(text, "limits.memory", default * 1024**2))

    def disks(self) -> Iterable[GuestDisk]:
        """The root disk first, then the others in the order of their devices' names. No folders, images or ISO.

        A root disk is no volume of its own: it comes and goes with its instance. Those we made
        have a name in the ledger.
        """
        for name, device in sorted(self.devices("disk"), key=_root_first):
            pool, source = device.get("pool", ""), device.get("source", "")
            if pool and device.get("path") == "/":
                yield self._root(name, device)
            elif pool and source:
                volume = self.volumes.custom(self.instance, pool, source)
                if volume is None:
                    self._problem(f"Its disk {name}, the volume {source} in {pool}, is not in the pool's listing.")
                elif volume.block or not self.is_vm:
                    yield self._disk(name, volume.size_bytes, pool, _label(volume.project, source))

    def _root(self, name: str, device: Mapping[str, str]) -> GuestDisk:
        default = DEFAULT_DISK_BYTES if self.is_vm else 0
        size = self._bytes(device.get("size"), f"the size of {name}", default)
        known_as = config_of(self.instance).get(ROOT_VOLUME, "")
        mark = mark_of(self.instance)
        composed = mark is not None and mark_of_volume(known_as) == mark
        return self._disk(name, size, device["pool"], known_as if composed else None)

    def _disk(self, name: str, size: int, pool: str, volume: str | None) -> GuestDisk:
        serial = serial_of(name) if self.is_vm else None
        return GuestDisk(device=name, size_bytes=size, pool_id=pool, volume=volume, serial=serial)

    def nics(self) -> Iterable[GuestNic]:
        """The card to boot from first."""
        for name, device in sorted(self.devices("nic"), key=_boot_first):
            mac = device.get("hwaddr") or config_of(self.instance).get(f"volatile.{name}.hwaddr", "")
            kind, source = self._attachment(device)
            yield GuestNic(mac_address=mac, kind=kind, source=source)

    def _attachment(self, device: Mapping[str, str]) -> tuple[NicKind, str]:
        network = device.get("network", "")
        if network in self.function_ports:
            return NicKind.SRIOV, self.function_ports[network]
        if network:
            return NicKind.NETWORK, network
        return _NIC_KINDS.get(device.get("nictype", ""), NicKind.OTHER), device.get("parent", "")

    def _bytes(self, text: str | None, what: str, default: int) -> int:
        try:
            return size_bytes(text) if text else default
        except ValueError as error:
            self._problem(f"{what}: {error}; {default} bytes are assumed.")
            return default

    def _problem(self, message: str) -> None:
        self.problems.append(Problem(subject=str(self.instance["name"]), message=message))


def _label(project: str, name: str) -> str:
    """Names are unique in a project only; ours are unique everywhere, and are in whatever project the host has."""
    return name if project == DEFAULT_PROJECT or name.startswith("ik-") else f"{project}/{name}"


def _root_first(device: tuple[str, Mapping[str, str]]) -> tuple[Any, ...]:
    return device[1].get("path") != "/", natural(device[0])


def _boot_first(device: tuple[str, Mapping[str, str]]) -> tuple[Any, ...]:
    priority = device[1].get("boot.priority", "0")
    return -int(priority) if priority.isdecimal() else 0, natural(device[0])
