"""Converts the instances of a bulk listing to Guests."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen

from common.boot import BootOrder, parsed
from common.disks.device_names import lxd_serial
from common.disks.volume_names import marker_of_volume
from common.guest_facts import settings_in
from common.hosts.discovery import Problem
from common.units import mib_from_bytes_up
from common.values import Autostart, Guest, GuestDisk, GuestNic, NicKind, PowerState
from rackd.drivers.architectures import debian_architecture
from rackd.drivers.lxd.connection.capabilities import UNKNOWN, Capabilities
from rackd.drivers.lxd.inventory.boot_order import BootedOnce, first_disk, order_of, priority_of
from rackd.drivers.lxd.inventory.config_values import (
    amount_bytes,
    is_percentage,
    is_true,
    natural,
    parse_cores,
    size_bytes,
)
from rackd.drivers.lxd.inventory.iso_volumes import iso_of
from rackd.drivers.lxd.inventory.ownership import (
    BOOT_DISK_KEY,
    BOOT_ONCE_KEY,
    BOOT_ORDER_KEY,
    DEFAULT_PROJECT,
    ROOT_VOLUME_KEY,
    VM,
    Json,
    config_of,
    generation_of,
    id_of,
    marker_of,
)
from rackd.drivers.lxd.inventory.power_states import power_of
from rackd.drivers.lxd.inventory.removal_facts import removal_facts_of
from rackd.drivers.lxd.inventory.settings import settings_of
from rackd.drivers.lxd.inventory.volume_index import VolumeIndex

DEFAULT_DISK_BYTES = 10 * 1024**3  # LXD's default size of a VM's root disk
DEFAULT_CORES, DEFAULT_MEMORY_MIB = 1, 1024  # LXD's defaults for a VM without limits

AUTOSTART = "boot.autostart"
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")
_NEVER = 1970  # the year of LXD's time for what never was, which is also written as year 1
_NIC_KINDS = {"bridged": NicKind.BRIDGE, "macvlan": NicKind.MACVLAN, "sriov": NicKind.SRIOV}


def function_ports(networks: Iterable[Json]) -> Mapping[str, str]:
    """Returns the port from which each SR-IOV network takes virtual functions, by network name."""
    sriov = (network for network in networks if network.get("type") == "sriov")
    return {str(network["name"]): str((network.get("config") or {}).get("parent") or "") for network in sriov}


def guest_of(
    instance: Json,
    volumes: VolumeIndex,
    function_ports: Mapping[str, str] | None = None,
    addresses: Mapping[str, tuple[str, ...]] | None = None,
    *,
    can: Capabilities = UNKNOWN,
    snapshots: Iterable[str] = (),
    memory_total_bytes: int = 0,
) -> tuple[Guest, tuple[Problem, ...]]:
    """Converts one instance; values that cannot be parsed become problems. Raises KeyError if it has no name.

    `addresses` has the known ones of its NICs, by MAC address. `can` is what the server can do, which has
    `memory_total_bytes`; that may be 0 for an instance whose memory is no percentage. `snapshots` are those of the
    instance.
    """
    parser = _InstanceParser(
        instance=instance, volumes=volumes, function_ports=function_ports or {}, addresses=addresses or {},
        product=can.dialect.product, memory_total_bytes=memory_total_bytes,
    )  # fmt: skip
    name = str(instance["name"])
    project = str(instance.get("project") or DEFAULT_PROJECT)
    count, pinned = parser.cores()
    location = str(instance.get("location") or "")
    disks = tuple(parser.disks())
    names = {disk.device for disk in disks}
    guest = Guest(
        name=name,
        guest_id=id_of(instance),
        power=power_of(int(instance.get("status_code") or 0)),
        cores=count,
        memory_mib=parser.memory_mib(),
        marker=marker_of(instance),
        project=project,
        architecture=debian_architecture(str(instance.get("architecture") or "")),
        pinned_core_ids=pinned,
        huge_pages_backed=is_true(parser.expanded.get("limits.memory.hugepages")),
        disks=disks,
        nics=tuple(parser.nics()),
        member=location if location not in {"", "none"} else None,
        kind="vm" if parser.is_vm else "container",
        autostart=parser.autostart(),
        started_at=parser.started_at(),
        boot_device=parser.boot_device(names) if parser.is_vm else None,
        boot_order=parser.boot_order(names) if parser.is_vm else None,
        pending_boot_order=parsed(config_of(instance).get(BOOT_ORDER_KEY, "")),
        booted_once=parser.booted_once(),
        iso=iso_of(dict(parser.devices("disk"))),
        **settings_in(settings_of(instance)),
        generation=generation_of(instance),
        removal=removal_facts_of(instance, snapshots, can, shared_volumes=parser.shared_volumes()),
    )
    return guest, tuple(parser.problems)


@frozen(kw_only=True)
class _InstanceParser:
    instance: Json
    volumes: VolumeIndex
    function_ports: Mapping[str, str]
    addresses: Mapping[str, tuple[str, ...]]
    product: str
    memory_total_bytes: int
    problems: list[Problem] = field(factory=list)

    @property
    def is_vm(self) -> bool:
        return self.instance.get("type") == VM

    @property
    def expanded(self) -> Mapping[str, str]:
        found: Mapping[str, str] | None = self.instance.get("expanded_config")
        return config_of(self.instance) if found is None else found

    def autostart(self) -> Autostart:
        """Returns the setting of the instance itself: without a key of its own, LXD and its profiles decide."""
        text = config_of(self.instance).get(AUTOSTART, "")
        if not text:
            return Autostart.LAST_STATE
        return Autostart.ALWAYS if is_true(text) else Autostart.NEVER

    def started_at(self) -> datetime | None:
        """Returns when the instance was started, which LXD calls its last use; None if it is off, or never started."""
        text = str(self.instance.get("last_used_at") or "")
        if power_of(int(self.instance.get("status_code") or 0)) is PowerState.OFF or not _TIME.match(text):
            return None
        try:
            found = datetime.fromisoformat(f"{text[:19]}+00:00" if text.endswith("Z") else text).astimezone(UTC)
        except ValueError:
            return None
        return found.replace(microsecond=0) if found.year > _NEVER else None

    def devices(self, kind: str) -> list[tuple[str, Mapping[str, str]]]:
        devices = self.instance.get("expanded_devices") or self.instance.get("devices") or {}
        return [(name, device) for name, device in devices.items() if device.get("type") == kind]

    def cores(self) -> tuple[int, tuple[int, ...]]:
        text = self.expanded.get("limits.cpu")
        default = DEFAULT_CORES if self.is_vm else 0  # containers without limits reserve nothing
        try:
            return parse_cores(text) if text else (default, ())
        except ValueError as error:
            self._problem(f"limits.cpu: {error}.")
            return default, ()

    def memory_mib(self) -> int:
        text = self.expanded.get("limits.memory")
        default = DEFAULT_MEMORY_MIB if self.is_vm else 0
        if is_percentage(text) and not self.memory_total_bytes:
            self._problem(f"limits.memory: the memory of the server, of which it is {text}, is unknown.")
            return default
        return mib_from_bytes_up(self._bytes(text, "limits.memory", default * 1024**2, self.memory_total_bytes))

    def disks(self) -> Iterable[GuestDisk]:
        """Yields the root disk, then the others by device name. Omits directories, images and ISO files.

        A root disk is not a separate volume: LXD creates and deletes it with its instance. A composed one has a name in
        the ledger.
        """
        for name, device in sorted(self.devices("disk"), key=_root_first):
            pool, source = device.get("pool", ""), device.get("source", "")
            if pool and device.get("path") == "/":
                yield self._root(name, device)
            elif pool and source:
                volume = self.volumes.find(self.instance, pool, source)
                if volume is None:
                    self._problem(f"The volume {source} of its disk {name} is not in the storage pool {pool}.")
                elif volume.block or not self.is_vm:
                    yield self._disk(name, volume.size_bytes, pool, _label(volume.project, source))

    def shared_volumes(self) -> Iterable[str]:
        """Yields the volumes that stay when the instance is deleted, because something else uses them, too."""
        for _, device in self.devices("disk"):
            pool, source = device.get("pool", ""), device.get("source", "")
            volume = self.volumes.find(self.instance, pool, source) if pool and source else None
            if volume is not None and volume.has_others_than(self.instance):
                yield f"{pool}/{_label(volume.project, source)}"

    def boot_device(self, disks: Collection[str]) -> str | None:
        chosen = config_of(self.instance).get(BOOT_DISK_KEY)
        return chosen if chosen in disks else first_disk(dict(self.devices("disk")), disks)

    def boot_order(self, disks: Collection[str]) -> BootOrder:
        """Returns the order of the next start by Innkeeper, without what is pending."""
        devices = dict((*self.devices("disk"), *self.devices("nic")))
        once = BootedOnce.parse(config_of(self.instance).get(BOOT_ONCE_KEY, ""))
        return order_of(devices if once is None else {**devices, **once.restored(devices)}, disks)

    def booted_once(self) -> str | None:
        once = BootedOnce.parse(config_of(self.instance).get(BOOT_ONCE_KEY, ""))
        is_on = power_of(int(self.instance.get("status_code") or 0)) is not PowerState.OFF
        return once.key if once is not None and is_on else None

    def _root(self, name: str, device: Mapping[str, str]) -> GuestDisk:
        default = DEFAULT_DISK_BYTES if self.is_vm else 0
        text = device.get("size") or (self.volumes.default_size(device["pool"]) if self.is_vm else "")
        size = self._bytes(text, f"the size of {name}", default)
        known_as = config_of(self.instance).get(ROOT_VOLUME_KEY, "")
        marker = marker_of(self.instance)
        composed = marker is not None and marker_of_volume(known_as) == marker
        return self._disk(name, size, device["pool"], known_as if composed else None)

    def _disk(self, name: str, size: int, pool: str, volume: str | None) -> GuestDisk:
        serial = lxd_serial(name, product=self.product) if self.is_vm else None
        return GuestDisk(device=name, size_bytes=size, pool_id=pool, volume=volume, serial=serial)

    def nics(self) -> Iterable[GuestNic]:
        """Yields the boot NIC first."""
        for name, device in sorted(self.devices("nic"), key=_boot_first):
            mac = device.get("hwaddr") or config_of(self.instance).get(f"volatile.{name}.hwaddr", "")
            kind, source = self._attachment(device)
            yield GuestNic(mac_address=mac, kind=kind, source=source, addresses=self.addresses.get(mac.lower()))

    def _attachment(self, device: Mapping[str, str]) -> tuple[NicKind, str]:
        network = device.get("network", "")
        if network in self.function_ports:
            return NicKind.SRIOV, self.function_ports[network]
        if network:
            return NicKind.NETWORK, network
        return _NIC_KINDS.get(device.get("nictype", ""), NicKind.OTHER), device.get("parent", "")

    def _bytes(self, text: str | None, what: str, default: int, total_bytes: int | None = None) -> int:
        try:
            if total_bytes is not None and text:
                return amount_bytes(text, total_bytes)
            return size_bytes(text) if text else default
        except ValueError as error:
            self._problem(f"{what}: {error}; assuming {default} bytes.")
            return default

    def _problem(self, message: str) -> None:
        self.problems.append(Problem(subject=str(self.instance["name"]), message=message))


def _label(project: str, name: str) -> str:
    """Adds the project to volume names, which are unique only within one. Innkeeper's own names are globally unique."""
    return name if project == DEFAULT_PROJECT or name.startswith("ik-") else f"{project}/{name}"


def _root_first(device: tuple[str, Mapping[str, str]]) -> tuple[Any, ...]:
    return device[1].get("path") != "/", natural(device[0])


def _boot_first(device: tuple[str, Mapping[str, str]]) -> tuple[Any, ...]:
    return -priority_of(device[1]), natural(device[0])
