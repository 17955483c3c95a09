"""Implements the driver contract for one libvirt host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from uuid import UUID

import structlog

from common.boot import BootOnce, BootOrder, BootOrders, IsoState
from common.disks.disk_content import CopiedDisk, DiskPart, ReadPart
from common.errors import DriverFailed, NotFound
from common.guests.deployment_spec import CloudInitSeed, ImageRef
from common.guests.guest_content import GuestContent
from common.guests.guest_placement import GuestPlacement
from common.guests.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.guests.sizes import DiskSize, GrownDisk, GuestSize, Resized
from common.hosts.discovery import Discovery, VolumeRef
from common.values import Autostart, Guest, GuestChange, GuestRef, OwnershipMarker, PowerAction, PowerState
from rackd.drivers.contract import ConsoleStream, Driver, ImageContent
from rackd.drivers.driver_errors import after_power_action, checks_answers, required_guest
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.events import Watch
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.connection.own_connection import OwnConnections
from rackd.drivers.libvirt.connection.session import Session
from rackd.drivers.libvirt.definitions.settings import LibvirtSettings
from rackd.drivers.libvirt.deployment import deployer, images, iso_drives
from rackd.drivers.libvirt.guests import (
    boot_order,
    console,
    deletion,
    lookup,
    nic_changes,
    nic_replacement,
    ownership,
    power,
    resizing,
    screen,
    serial_log,
)
from rackd.drivers.libvirt.guests.cloning import CopiedContent
from rackd.drivers.libvirt.guests.compose import compose
from rackd.drivers.libvirt.guests.disks import (
    boot_disk,
    disk_changes,
    disk_content,
    disk_growth,
    disk_moves,
    orphaned_volumes,
)
from rackd.drivers.libvirt.guests.disks.pools import guest_pool
from rackd.drivers.libvirt.host_discovery import HostDiscovery
from rackd.drivers.libvirt.inventory import facts, guests, usage
from rackd.drivers.libvirt.inventory.domain_cache import REREAD_DOMAINS
from rackd.drivers.resizing import before_start
from rackd.drivers.usage_counters import HostCounters

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@checks_answers
class LibvirtDriver(LibvirtSettings, Driver):
    """One libvirt host.

    The UUID of a managed domain is the machine id, and its metadata holds the ownership marker. Every method that
    changes a domain reads that metadata first.
    """

    kind = "libvirt"

    def __init__(
        self, connect: Callable[[], Client], installation_id: UUID, *, reread_domains: int = REREAD_DOMAINS
    ) -> None:
        """`connect` opens a connection. The first method call opens one, and each console and screen another."""
        self._installation_id = installation_id
        self._session = Session(connect)
        self._consoles = OwnConnections(connect)
        self._watches: set[Watch] = set()
        self._discovery = HostDiscovery(installation_id, reread_domains=reread_domains)

    def reach(self) -> str:
        return facts.version_text(self._session.client().lib_version())

    def discover(self) -> Discovery:
        return self._discovery.discover(self._session.client())

    def usage(self) -> HostCounters:
        return usage.read(self._session.client())

    def find(self, guest: GuestRef) -> Guest | None:
        return self._discovery.find(self._session.client(), guest)

    def compose(self, spec: GuestSpec) -> Guest:
        client = self._session.client()
        return compose(client, spec, *self._discovery.capabilities_of(client))

    def clone(self, spec: GuestSpec, content: GuestContent) -> Guest:
        """Raises Unsupported for a storage pool to which libvirt copies nothing, such as ZFS."""
        client = self._session.client()
        return compose(client, spec, *self._discovery.capabilities_of(client), CopiedContent(client, content))

    def decompose(
        self,
        guest: GuestRef,
        volumes: tuple[tuple[str, str], ...] = (),
        mac_addresses: tuple[str, ...] = (),
        guest_id: str | None = None,
    ) -> None:
        closing = self._session.closing
        deletion.delete(self._session.client(), guest, volumes, mac_addresses, closing=closing, only=guest_id)

    def remove_volumes(self, marker: OwnershipMarker, volumes: Iterable[VolumeRef], *, adopted: bool = False) -> None:
        orphaned_volumes.remove(self._session.client(), None if adopted else marker, volumes)

    def copy_image(self, image: ImageRef, pool_id: str, content: ImageContent) -> None:
        """Raises Unsupported for some qcow2 images in a pool of block devices, such as those compressed with zstd."""
        images.copy_image(guest_pool(self._session.client(), pool_id), image, content, now_s=time.time())

    def remove_image(self, sha256: str, pool_id: str) -> None:
        client = self._session.client()
        try:
            pool = guest_pool(client, pool_id)
        except NotFound as error:
            log.info("storage_pool_not_found", pool=pool_id, reason=str(error))
            return
        images.remove_image(client, pool, sha256, now_s=time.time())

    def deploy(self, spec: GuestSpec, image: ImageRef, seed: CloudInitSeed) -> bool:
        """Raises Unsupported if the host lacks the UEFI firmware that the image needs."""
        client = self._session.client()
        _, capabilities = self._discovery.capabilities_of(client)
        deployer.deploy(client, spec, image, seed, capabilities)
        return False

    def undeploy(self, spec: GuestSpec, *, erase: bool = False, overwrite: bool = False) -> None:
        deployer.undeploy(self._session.client(), spec, erase=erase, overwrite=overwrite)

    def set_addresses(self, spec: GuestSpec) -> None:
        deployer.set_addresses(self._session.client(), spec)

    def power(
        self,
        guest: GuestRef,
        action: PowerAction,
        *,
        grace_s: float,
        autostart: Autostart | None = None,
        size: GuestSize | None = None,
        disk_sizes: tuple[DiskSize, ...] = (),
        boot_once: BootOnce | None = None,
    ) -> PowerState:
        domain = self._marked(guest)
        switch = partial(
            power.switch,
            domain,
            grace_s=grace_s,
            closing=self._session.closing,
            xml_once=None if boot_once is None else partial(boot_order.xml_once, domain, boot_once),
        )
        try:
            state = switch(action, before_start=partial(self._resize_before_start, domain, size, disk_sizes))
        except DriverFailed as error:
            if not serial_log.remove_if_unwritable(self._session.client(), domain, guest.marker, error):
                raise
            state = switch(PowerAction.ON)
        if autostart is not None:
            with after_power_action(guest):
                domain.set_autostart(on=power.starts_with_host(autostart, state))
        return state

    def _resize_before_start(self, domain: Domain, size: GuestSize | None, disk_sizes: tuple[DiskSize, ...]) -> None:
        client = self._session.client()
        if size is not None:
            with before_start(domain.name):
                resizing.define(client, domain, size, self._discovery.capabilities_of(client)[1].maximum_cores)
        disk_growth.grow_before_start(client, domain, disk_sizes)

    def resize(self, guest: GuestRef, size: GuestSize) -> Resized:
        client = self._session.client()
        maximum = self._discovery.capabilities_of(client)[1].maximum_cores
        return resizing.resize(client, guest, size, maximum, closing=self._session.closing)

    def resize_placed(self, guest: GuestRef, size: GuestSize, placement: GuestPlacement) -> Resized:
        client = self._session.client()
        return resizing.resize_placed(
            client, guest, size, placement, self._discovery.capabilities_of(client)[1].maximum_cores
        )

    def attach_disk(self, guest: GuestRef, disk: DiskSpec, index: int, *, create: bool) -> PowerState:
        """The guest's device gets the next name that is free, whatever `index` is."""
        return disk_changes.attach(self._session.client(), guest, disk, create=create)

    def detach_disk(self, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
        client, closing = self._session.client(), self._session.closing
        return disk_changes.detach(client, guest, pool_id, volume, closing=closing)

    def grow_disk(self, guest: GuestRef, size: DiskSize) -> GrownDisk:
        """Raises Unsupported for volumes in storage pools of block devices."""
        return disk_growth.grow(self._session.client(), guest, size)

    def copy_disk(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec) -> CopiedDisk:
        """Raises Unsupported for a storage pool to which libvirt copies nothing, such as ZFS."""
        return disk_moves.copy_disk(self._session.client(), guest, pool_id, volume, copy, closing=self._session.closing)

    def use_copy(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec, state: str) -> PowerState:
        """With the root disk go its serial log, emptied, and its cloud-init seed."""
        return disk_moves.use_copy(self._session.client(), guest, pool_id, volume, copy, state)

    def begin_read(self, guest: GuestRef, pool_id: str, volume: str) -> None:
        """Makes nothing: disks are read as they are."""
        disk_content.read(self._session.client(), guest, pool_id, volume, 0)

    def end_read(self, guest: GuestRef, pool_id: str, volume: str) -> None:
        """Has nothing to do."""

    def read_disk(self, guest: GuestRef, pool_id: str, volume: str, start: int) -> ReadPart:
        return disk_content.read(self._session.client(), guest, pool_id, volume, start)

    def write_disk(self, guest: GuestRef, pool_id: str, volume: str, part: DiskPart) -> None:
        disk_content.write(self._session.client(), guest, pool_id, volume, part)

    def make_bootable(self, spec: GuestSpec) -> None:
        client = self._session.client()
        deployer.make_bootable(client, spec, self._discovery.capabilities_of(client)[1])

    def attach_nic(self, guest: GuestRef, nic: NicSpec) -> PowerState:
        return nic_changes.attach(self._session.client(), guest, nic, closing=self._session.closing)

    def change_nic(self, guest: GuestRef, mac_address: str, nic: NicSpec) -> PowerState:
        client = self._session.client()
        try:
            return nic_replacement.change(client, guest, mac_address, nic)
        finally:
            self._discovery.cache_of(client).has_changed(str(guest.marker.machine_id))

    def detach_nic(self, guest: GuestRef, mac_address: str) -> PowerState:
        """A DHCP reservation that an administrator added stays."""
        return nic_changes.detach(self._session.client(), guest, mac_address, closing=self._session.closing)

    def set_autostart(self, guest: GuestRef, autostart: Autostart) -> Autostart:
        """libvirt has a flag only: with LAST_STATE it follows the guest's power state, as it is now."""
        domain = self._marked(guest)
        domain.set_autostart(on=power.starts_with_host(autostart, guests.power_of(domain.state())))
        return guests.autostart_of(flag=domain.autostart())

    def set_boot_disk(self, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
        return boot_disk.choose(self._session.client(), guest, pool_id, volume)

    def set_boot_order(self, guest: GuestRef, order: BootOrder, *, check_only: bool = False) -> BootOrders:
        """Changes the definition, so that the next start has the order, whoever starts the guest."""
        return boot_order.set_order(self._session.client(), self._marked(guest), order, check_only=check_only)

    def insert_iso(self, guest: GuestRef, sha256: str, pool_id: str, *, check_only: bool = False) -> IsoState:
        """A running guest that has no drive gets one at its next start."""
        return iso_drives.insert(
            self._session.client(), self._marked(guest), sha256, pool_id, check_only=check_only
        )  # fmt: skip

    def eject_iso(self, guest: GuestRef) -> IsoState:
        return iso_drives.eject(self._session.client(), self._marked(guest))

    def _marked(self, guest: GuestRef) -> Domain:
        return required_guest(lookup.marked_domain(self._session.client(), guest), guest)

    def _has_changed(self, domain: Domain) -> None:
        """Makes the next discovery run read the domain again: no event tells of its metadata."""
        self._discovery.cache_of(self._session.client()).has_changed(domain.uuid)

    def console_log(self, guest: GuestRef, *, max_bytes: int) -> bytes:
        """Raises Unsupported for guests that Innkeeper did not compose, or on a storage pool of block devices."""
        return serial_log.read(self._session.client(), guest, max_bytes=max_bytes)

    def open_console(self, guest: GuestRef) -> ConsoleStream:
        return self._consoles.open(lambda client: console.open_console(client, guest))

    def open_screen(self, guest: GuestRef) -> ConsoleStream:
        """Over SSH and TLS it is made of screenshots and keys, without a pointer: libvirt passes on no more there."""
        return self._consoles.open(lambda client: screen.open_screen(client, guest))

    def adopt(self, guest_id: str, name: str, marker: OwnershipMarker) -> Guest:
        """Raises Unsupported for a transient domain, which libvirt cannot start again."""
        return ownership.adopt(self._session.client(), guest_id, name, marker)

    def disown(self, guest_id: str, name: str, marker: OwnershipMarker, *, exactly: bool = False) -> None:
        ownership.disown(self._session.client(), guest_id, name, marker, exactly=exactly)

    def set_generation(self, guest: GuestRef, generation: int) -> None:
        domain = self._marked(guest)
        ownership.set_generation(domain, generation)
        self._has_changed(domain)

    def watch(self, notify: Callable[[GuestChange], None]) -> Callable[[], None]:
        watch = Watch(self._session, notify)
        self._watches.add(watch)

        def stop() -> None:
            watch.stop()
            self._watches.discard(watch)

        return stop

    def close(self) -> None:
        self._session.closing.set()
        for watch in tuple(self._watches):
            watch.stop()
        self._watches.clear()
        self._consoles.close()
        self._session.close()
