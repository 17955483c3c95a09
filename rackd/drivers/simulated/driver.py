"""Implements the driver contract on a file, for demonstrations, scale and fault tests."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.addresses.simulated import SimulatedAddress
from common.boot import BootOnce, BootOrder, BootOrders, IsoState
from common.disks.disk_content import CopiedDisk, DiskPart, ReadPart
from common.errors import NameTaken, NotFound, UnsupportedByPeer
from common.guests.deployment_spec import CloudInitSeed, HostImage, ImageRef
from common.guests.guest_content import GuestContent
from common.guests.guest_placement import GuestPlacement
from common.guests.guest_spec import DiskSpec, GuestSpec, NicSpec
from common.guests.sizes import DiskSize, GrownDisk, GuestSize, Resized
from common.hosts.discovery import Discovery, Problem, VolumeRef
from common.values import (
    Autostart,
    Guest,
    GuestChange,
    GuestRef,
    HostAccess,
    OwnershipMarker,
    PeerIdentity,
    PowerAction,
    PowerState,
)
from rackd.drivers.contract import Driver, DriverSetup, ImageContent
from rackd.drivers.driver_errors import (
    disk_not_found,
    guest_not_found,
    reject_volumes_in_use,
)
from rackd.drivers.removal_checks import check_adoptable, check_not_protected
from rackd.drivers.rfb.screen import PictureScreen
from rackd.drivers.simulated import boot_orders, deployments, foreign_guests, guests, own_images, resizing, usage
from rackd.drivers.simulated.boots import SimulatedBoots
from rackd.drivers.simulated.capacity_checks import check_volumes_deletable
from rackd.drivers.simulated.cloner import SimulatedCloner
from rackd.drivers.simulated.composer import SimulatedComposer
from rackd.drivers.simulated.deployer import SimulatedDeployer
from rackd.drivers.simulated.disks import disk_changes
from rackd.drivers.simulated.disks.disk_content import SimulatedDiskContent
from rackd.drivers.simulated.disks.disk_moves import SimulatedDiskMoves
from rackd.drivers.simulated.events import Watch
from rackd.drivers.simulated.facts import UNAVAILABLE, VERSION, facts_of, pool_names, unavailable_pools
from rackd.drivers.simulated.fault_injection import Call, FaultInjector, FaultSequences
from rackd.drivers.simulated.iso_drives import SimulatedIsoDrives
from rackd.drivers.simulated.nic_changes import SimulatedNics
from rackd.drivers.simulated.power import SimulatedPower
from rackd.drivers.simulated.screens.console import SimulatedConsole
from rackd.drivers.simulated.screens.consoles import SimulatedConsoles
from rackd.drivers.simulated.settings import SimulatedSettings
from rackd.drivers.simulated.store import Store
from rackd.drivers.usage_counters import HostCounters


def simulated_hosts(setup: DriverSetup) -> SimulatedDriverFactory:
    """The entry point of this driver."""
    if setup.simulated_hosts is None:
        raise UnsupportedByPeer("The setting simulated_hosts is not set.")
    return SimulatedDriverFactory(setup.simulated_hosts, boots=SimulatedBoots(setup.report_boot, setup.user_data))


class SimulatedDriverFactory:
    """Opens the hosts whose files are in `folder`."""

    def __init__(self, folder: Path, *, boots: SimulatedBoots | None = None) -> None:
        """Without `boots`, guests never report."""
        self._folder = folder
        self._boots = boots
        self._fault_sequences = FaultSequences()

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        SimulatedAddress.parse(access.address)
        return None

    def open(self, access: HostAccess) -> Driver:
        address = SimulatedAddress.parse(access.address)
        faults = FaultInjector(
            address,
            self._fault_sequences.of(address),
            hold=self._folder / f"{address.name}.hold",
            down=self._folder / f"{address.name}.down",
        )
        return SimulatedDriver(address, self._folder, faults, self._boots)


class SimulatedDriver(SimulatedSettings, Driver):
    """Each call to the host is one `FaultInjector.call`, followed by one transaction."""

    kind = "simulated servers"

    def __init__(
        self, address: SimulatedAddress, folder: Path, faults: FaultInjector, boots: SimulatedBoots | None = None
    ) -> None:
        self._address = address
        self._path = folder / f"{address.name}.sqlite"
        self._faults = faults
        self._watches: list[Watch] = []
        self._faults.call("connect")
        self._store = Store(self._path)
        self._disks = disk_changes.SimulatedDisks(address, self._store, faults)
        self._disk_moves = SimulatedDiskMoves(address, self._store, faults)
        self._disk_content = SimulatedDiskContent(address, self._store, faults)
        self._iso_drives = SimulatedIsoDrives(address, self._store, faults)
        self._nics = SimulatedNics(address, self._store, faults)
        self._consoles = SimulatedConsoles(address, self._path, self._store, faults)
        self._composer = SimulatedComposer(address, self._store, faults)
        self._cloner = SimulatedCloner(address, self._store, faults, self._composer)
        self._deployer = SimulatedDeployer(address, self._store, faults)
        self._power = SimulatedPower(address, self._path, self._store, faults, boots)
        try:
            with self._store.writing() as db:
                foreign_guests.create_once(db, address)
            if boots is not None:
                boots.resume(self._path, self._store)
        except BaseException:
            self._store.close()
            raise

    def reach(self) -> str:
        self._faults.call("version")
        return VERSION

    def discover(self) -> Discovery:
        calls: tuple[Call, ...] = ("facts", "storage pools", "guests")
        for what in calls:
            self._faults.call(what)
        with self._store.reading() as db:
            found = guests.all_guests(db)
            facts = facts_of(self._address, guests.unattached_bytes(db))
            orphaned, copies = guests.orphaned_volumes(db), deployments.image_copies(db)
        pools = pool_names(self._address)
        return Discovery(
            facts=facts, guests=found, calls=3, orphaned_volumes=orphaned, inspected_pools=pools, image_copies=copies,
            image_pools=pools,
            problems=tuple(Problem.of_pool(name, UNAVAILABLE) for name in unavailable_pools(self._address)),
        )  # fmt: skip

    def usage(self) -> HostCounters:
        self._faults.call("usage")
        with self._store.reading() as db:
            return usage.counters(db, self._address, time.time())

    def compose(self, spec: GuestSpec) -> Guest:
        return self._composer.compose(spec)

    def clone(self, spec: GuestSpec, content: GuestContent) -> Guest:
        return self._cloner.clone(spec, content)

    def decompose(
        self,
        guest: GuestRef,
        volumes: tuple[tuple[str, str], ...] = (),
        mac_addresses: tuple[str, ...] = (),
        guest_id: str | None = None,
    ) -> None:
        self._faults.call("remove guest")
        with self._store.writing() as db:
            owned = list(volumes)
            found = guests.by_marker(db, guest.marker)
            if found is not None and guest_id in (None, found.guest_id):
                check_not_protected(found.name, found.removal)
                check_volumes_deletable(self._address, found)
                owned += [(disk.pool_id, disk.volume) for disk in found.disks if disk.pool_id and disk.volume]
                guests.remove_guest(db, found)
            guests.remove_volumes(db, owned, guest.marker)

    def remove_volumes(self, marker: OwnershipMarker, volumes: Iterable[VolumeRef], *, adopted: bool = False) -> None:
        self._faults.call("remove volumes")
        wanted = [(volume.pool_id, volume.name) for volume in volumes]
        with self._store.writing() as db:
            owner = None if adopted else marker
            guests.remove_volumes(db, wanted, owner)
            used = {place: users for place in wanted if (users := guests.users_of(db, *place, owner))}
        reject_volumes_in_use(used)

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
        """Ignores `grace_s`: the state of a simulated guest changes at once."""
        if action is PowerAction.CYCLE:
            self._power.switch(guest, PowerState.OFF)
        wanted = PowerState.ON if action in {PowerAction.ON, PowerAction.CYCLE} else PowerState.OFF
        return self._power.switch(guest, wanted, autostart, size, disk_sizes, boot_once)

    def resize(self, guest: GuestRef, size: GuestSize) -> Resized:
        """Cores change at once, the memory of a running guest at its next start."""
        self._faults.call("resize guest")
        with self._store.writing() as db:
            return resizing.resize(db, self._address, guests.of_machine(db, self._address, guest), size)

    def resize_placed(self, guest: GuestRef, size: GuestSize, placement: GuestPlacement) -> Resized:
        self._faults.call("resize guest")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            return resizing.resize_placed(db, self._address, found, size, placement)

    def attach_disk(self, guest: GuestRef, disk: DiskSpec, index: int, *, create: bool) -> PowerState:
        return self._disks.attach(guest, disk, create=create)

    def detach_disk(self, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
        return self._disks.detach(guest, pool_id, volume)

    def grow_disk(self, guest: GuestRef, size: DiskSize) -> GrownDisk:
        return self._disks.grow(guest, size)

    def copy_disk(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec) -> CopiedDisk:
        return self._disk_moves.copy(guest, pool_id, volume, copy)

    def use_copy(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec, state: str) -> PowerState:
        return self._disk_moves.use(guest, pool_id, volume, copy, state)

    def begin_read(self, guest: GuestRef, pool_id: str, volume: str) -> None:
        self._disk_content.begin_read(guest, pool_id, volume)

    def end_read(self, guest: GuestRef, pool_id: str, volume: str) -> None:
        self._disk_content.end_read()

    def read_disk(self, guest: GuestRef, pool_id: str, volume: str, start: int) -> ReadPart:
        return self._disk_content.read(guest, pool_id, volume, start)

    def write_disk(self, guest: GuestRef, pool_id: str, volume: str, part: DiskPart) -> None:
        self._disk_content.write(guest, pool_id, volume, part)

    def make_bootable(self, spec: GuestSpec) -> None:
        self._disk_content.make_bootable(spec)

    def attach_nic(self, guest: GuestRef, nic: NicSpec) -> PowerState:
        return self._nics.attach(guest, nic)

    def change_nic(self, guest: GuestRef, mac_address: str, nic: NicSpec) -> PowerState:
        return self._nics.change(guest, mac_address, nic)

    def detach_nic(self, guest: GuestRef, mac_address: str) -> PowerState:
        return self._nics.detach(guest, mac_address)

    def set_autostart(self, guest: GuestRef, autostart: Autostart) -> Autostart:
        """A flag, as libvirt has one: with LAST_STATE it follows the guest's power state, as it is now."""
        self._faults.call("set autostart")
        with self._store.writing() as db:
            guests.set_autostart(db, guests.of_machine(db, self._address, guest), autostart)
            return guests.of_machine(db, self._address, guest).autostart or autostart

    def set_boot_disk(self, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
        self._faults.call("set boot disk")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            if (pool_id, volume) not in {(disk.pool_id, disk.volume) for disk in found.disks}:
                raise disk_not_found(found.name, volume, (disk.volume for disk in found.disks))
            guests.set_boot_disk(db, found, pool_id, volume)
            return found.power

    def set_boot_order(self, guest: GuestRef, order: BootOrder, *, check_only: bool = False) -> BootOrders:
        """The order of a running guest changes when it is next stopped or started."""
        self._faults.call("set boot order")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            return boot_orders.set_order(db, found, order, check_only=check_only)

    def insert_iso(self, guest: GuestRef, sha256: str, pool_id: str, *, check_only: bool = False) -> IsoState:
        return self._iso_drives.insert(guest, sha256, pool_id, check_only=check_only)

    def eject_iso(self, guest: GuestRef) -> IsoState:
        return self._iso_drives.eject(guest)

    def copy_image(self, image: ImageRef, pool_id: str, content: ImageContent) -> None:
        self._deployer.copy_image(image, pool_id, content)

    def remove_image(self, sha256: str, pool_id: str) -> None:
        self._deployer.remove_image(sha256, pool_id)

    def find_image(self, *, fingerprint: str = "", alias: str = "") -> HostImage:
        self._faults.call("find own image")
        return own_images.find(self._address, fingerprint=fingerprint, alias=alias)

    def deploy(self, spec: GuestSpec, image: ImageRef, seed: CloudInitSeed) -> bool:
        return self._deployer.deploy(spec, image, seed)

    def undeploy(self, spec: GuestSpec, *, erase: bool = False, overwrite: bool = False) -> None:
        """Ignores `overwrite`: an emptied simulated disk has no old content."""
        self._deployer.undeploy(spec, erase=erase)

    def set_addresses(self, spec: GuestSpec) -> None:
        self._deployer.set_addresses(spec)

    def console_log(self, guest: GuestRef, *, max_bytes: int) -> bytes:
        return self._consoles.log(guest, max_bytes=max_bytes)

    def open_console(self, guest: GuestRef) -> SimulatedConsole:
        return self._consoles.open(guest)

    def open_screen(self, guest: GuestRef) -> PictureScreen:
        return self._consoles.open_screen(guest)

    def find(self, guest: GuestRef) -> Guest | None:
        self._faults.call("find guest")
        with self._store.reading() as db:
            return guests.by_marker(db, guest.marker)

    def adopt(self, guest_id: str, name: str, marker: OwnershipMarker) -> Guest:
        self._faults.call("add marker")
        with self._store.writing() as db:
            found = guests.by_id(db, guest_id)
            if found is None:
                raise NotFound(f"{self._address.identity} has no guest '{name}' (id {guest_id}).", name=name)
            if found.marker == marker:
                return found
            check_adoptable(found.name, found.removal, remedy="A simulated host makes no such guest permanent.")
            other = guests.by_marker(db, marker)
            if found.marker is not None or other is not None:
                held = found if other is None else other
                raise NameTaken(
                    f"Cannot adopt '{name}': '{held.name}' on {self._address.identity} already carries a marker.",
                    name=name,
                )
            return guests.set_marker(db, found, marker)

    def disown(self, guest_id: str, name: str, marker: OwnershipMarker, *, exactly: bool = False) -> None:
        self._faults.call("remove marker")
        with self._store.writing() as db:
            found = guests.by_id(db, guest_id) if exactly else guests.by_marker(db, marker)
            if exactly and (found is None or found.name != name or found.marker not in {marker, None}):
                raise guest_not_found(name, marker)
            if found is not None and found.marker == marker:
                guests.set_marker(db, found, None)

    def set_generation(self, guest: GuestRef, generation: int) -> None:
        self._faults.call("set generation")
        with self._store.writing() as db:
            guests.raise_generation(db, guests.of_machine(db, self._address, guest), generation)

    def watch(self, notify: Callable[[GuestChange], None]) -> Callable[[], None]:
        self._faults.call("watch")
        watch = Watch(self._path, notify)
        self._watches.append(watch)
        return watch.stop

    def close(self) -> None:
        self._faults.close()
        for watch in self._watches:
            watch.stop()
        self._watches.clear()
        self._store.close()

    @contextmanager
    def _changing(self, what: str, guest: GuestRef) -> Iterator[tuple[sqlite3.Connection, Guest]]:
        self._faults.call(what)
        with self._store.writing() as db:
            yield db, guests.of_machine(db, self._address, guest)
