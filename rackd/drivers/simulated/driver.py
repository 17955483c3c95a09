"""A hypervisor that is not there: a driver that keeps the contract on a file, for demonstrations, scale and faults."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from common.discovery import Discovery, VolumeRef
from common.errors import InnkeeperError, NameTaken, NotFound, OutOfCapacity
from common.simulated_address import SimulatedAddress
from common.units import BYTES_PER_GB
from common.values import (
    DiskSpec,
    Guest,
    GuestChange,
    GuestRef,
    GuestSpec,
    HostAccess,
    Mark,
    PeerIdentity,
    PowerAction,
    PowerState,
)
from rackd.drivers.contract import Driver
from rackd.drivers.plain import Plain
from rackd.drivers.refusals import no_such_copy, refuse_used
from rackd.drivers.simulated import guests, holdings
from rackd.drivers.simulated.facts import VERSION, facts_of, pool_names, pool_total_bytes
from rackd.drivers.simulated.limits import refuse_unknown, refuse_used_up
from rackd.drivers.simulated.pace import Call, Chances, Pace
from rackd.drivers.simulated.store import Store
from rackd.drivers.simulated.watch import Watch

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

FOREIGN_CORES = 1
FOREIGN_MEMORY_MIB = 1024
FOREIGN_DISK_BYTES = BYTES_PER_GB


class SimulatedHosts:
    """Opens the hosts whose files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chances = Chances()

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        SimulatedAddress.parse(access.address)
        return None

    def open(self, access: HostAccess) -> Driver:
        address = SimulatedAddress.parse(access.address)
        pace = Pace(address, self._chances.of(address), hold=self._folder / f"{address.name}.hold")
        return SimulatedDriver(address, self._folder, pace)


class SimulatedDriver(Plain):
    """Keeps `rackd.drivers.contract.Driver`. Each call to the host is one `Pace.call`, then one transaction."""

    kind = "simulated servers"

    def __init__(self, address: SimulatedAddress, folder: Path, pace: Pace) -> None:
        self._address = address
        self._path = folder / f"{address.name}.sqlite"
        self._pace = pace
        self._watches: list[Watch] = []
        self._pace.call("connect")
        self._store = Store(self._path)
        try:
            self._seed()
        except BaseException:
            self._store.close()
            raise

    def reach(self) -> str:
        self._pace.call("version")
        return VERSION

    def discover(self) -> Discovery:
        looks: tuple[Call, ...] = ("facts", "storage pools", "guests")
        for what in looks:
            self._pace.call(what)
        with self._store.reading() as db:
            found = guests.all_guests(db)
            facts = facts_of(self._address, guests.unattached_bytes(db))
            unused = guests.unused_volumes(db)
        return Discovery(
            facts=facts, guests=found, calls=3, unused_volumes=unused, volumes_told=pool_names(self._address)
        )

    def compose(self, spec: GuestSpec) -> Guest:
        found = self._existing(spec)
        if found is not None:
            return found
        try:
            for disk in spec.disks:
                self._make_volume(disk, spec)
            return self._define(spec)
        except InnkeeperError:
            self._remove_leftovers(spec)
            raise

    def decompose(
        self, guest: GuestRef, volumes: tuple[tuple[str, str], ...] = (), mac_addresses: tuple[str, ...] = ()
    ) -> None:
        self._pace.call("remove guest")
        with self._store.writing() as db:
            made = list(volumes)
            found = guests.by_mark(db, guest.mark)
            if found is not None:
                made += [(disk.pool_id, disk.volume) for disk in found.disks if disk.pool_id and disk.volume]
                guests.remove_guest(db, found)
            guests.remove_volumes(db, made, guest.mark)

    def remove_volumes(self, mark: Mark, volumes: Iterable[VolumeRef]) -> None:
        self._pace.call("remove volumes")
        wanted = [(volume.pool_id, volume.name) for volume in volumes]
        with self._store.writing() as db:
            guests.remove_volumes(db, wanted, mark)
            used = {place: users for place in wanted if (users := guests.users_of(db, *place, mark))}
        refuse_used(used)

    def power(self, guest: GuestRef, action: PowerAction, *, grace_s: float) -> PowerState:
        """Simulated guests obey at once, so `grace_s` is never waited for."""
        if action is PowerAction.CYCLE:
            self._switch(guest, PowerState.OFF)
            return self._switch(guest, PowerState.ON)
        return self._switch(guest, PowerState.ON if action is PowerAction.ON else PowerState.OFF)

    def find(self, guest: GuestRef) -> Guest | None:
        self._pace.call("find guest")
        with self._store.reading() as db:
            return guests.by_mark(db, guest.mark)

    def adopt(self, guest_id: str, name: str, mark: Mark) -> Guest:
        self._pace.call("mark guest")
        with self._store.writing() as db:
            found = guests.by_id(db, guest_id)
            if found is None:
                raise NotFound(f"{self._address.identity} has no guest '{name}' (id {guest_id}).", name=name)
            if found.mark == mark:
                return found
            other = guests.by_mark(db, mark)
            if found.mark is not None or other is not None:
                held = found if other is None else other
                raise NameTaken(
                    f"'{name}' cannot be adopted: '{held.name}' on {self._address.identity} carries a mark already.",
                    name=name,
                )
            return guests.set_mark(db, found, mark)

    def disown(self, guest_id: str, name: str, mark: Mark, *, exactly: bool = False) -> None:
        self._pace.call("unmark guest")
        with self._store.writing() as db:
            found = guests.by_id(db, guest_id) if exactly else guests.by_mark(db, mark)
            if exactly and (found is None or found.name != name or found.mark not in {mark, None}):
                raise no_such_copy(name, mark)
            if found is not None and found.mark == mark:
                guests.set_mark(db, found, None)

    def watch(self, notify: Callable[[GuestChange], None]) -> Callable[[], None]:
        self._pace.call("watch")
        watch = Watch(self._path, notify)
        self._watches.append(watch)
        return watch.stop

    def close(self) -> None:
        self._pace.close()
        for watch in self._watches:
            watch.stop()
        self._watches.clear()
        self._store.close()

    def _seed(self) -> None:
        """The foreign guests that the address speaks of are made once, when the file is new."""
        with self._store.writing() as db:
            if db.execute("select 1 from seeded").fetchone():
                return
            db.execute("insert into seeded values (datetime('now'))")
            for number in range(1, self._address.guests + 1):
                self._seed_guest(db, f"foreign-{number:04}", cores=FOREIGN_CORES, memory_mib=FOREIGN_MEMORY_MIB)
            for number, wanted in enumerate(self._address.pinned_guests, start=1):
                ids = wanted.core_ids
                pinning = guests.Pinning(core_ids=ids, huge_pages=wanted.huge_pages)
                name = f"pinned-{number:04}"
                self._seed_guest(db, name, cores=len(ids), memory_mib=wanted.memory_mib, pinning=pinning)

    def _seed_guest(
        self,
        db: sqlite3.Connection,
        name: str,
        *,
        cores: int,
        memory_mib: int,
        pinning: guests.Pinning | None = None,
    ) -> None:
        pool = pool_names(self._address)[0]
        disk = DiskSpec(volume=name, pool_id=pool, size_bytes=FOREIGN_DISK_BYTES, serial=name)
        guests.add_foreign_guest(
            db, name, cores=cores, memory_mib=memory_mib, disk=disk, power=PowerState.ON, pinning=pinning
        )

    def _existing(self, spec: GuestSpec) -> Guest | None:
        """The guest of an earlier try, if it got that far. Raises what already says that it cannot be made."""
        self._pace.call("look up guest")
        with self._store.reading() as db:
            found = guests.by_mark(db, spec.mark)
            if found is None:
                self._refuse_taken_name(db, spec)
        if found is None:
            refuse_unknown(self._address, spec)
        return found

    def _refuse_taken_name(self, db: sqlite3.Connection, spec: GuestSpec) -> None:
        if guests.name_exists(db, spec.name):
            raise NameTaken(
                f"{self._address.identity} has a guest named '{spec.name}' that is not machine {spec.mark.machine_id}.",
                name=spec.name,
            )

    def _make_volume(self, disk: DiskSpec, spec: GuestSpec) -> None:
        self._pace.call("make volume")
        with self._store.writing() as db:
            there = guests.volume_owner(db, disk.pool_id, disk.volume)
            if there == (spec.mark, disk.size_bytes):
                return  # made by an earlier try
            if there is not None:
                raise NameTaken(
                    f"storage pool {disk.pool_id} of {self._address.identity} has a volume '{disk.volume}' of "
                    f"{there[1]} bytes that was not made for this disk.",
                    name=disk.volume,
                )
            self._refuse_too_large(db, disk)
            guests.add_volume(db, pool=disk.pool_id, name=disk.volume, size_bytes=disk.size_bytes, mark=spec.mark)

    def _refuse_too_large(self, db: sqlite3.Connection, disk: DiskSpec) -> None:
        total_bytes = pool_total_bytes(self._address, disk.pool_id)
        left_bytes = max(0, total_bytes - guests.pool_used_bytes(db, disk.pool_id))
        if disk.size_bytes > left_bytes:
            raise OutOfCapacity(
                f"storage pool {disk.pool_id} of {self._address.identity}: {disk.size_bytes} bytes asked, "
                f"{left_bytes} of {total_bytes} left.",
                pool_id=disk.pool_id,
                asked_bytes=disk.size_bytes,
                left_bytes=left_bytes,
                total_bytes=total_bytes,
            )

    def _define(self, spec: GuestSpec) -> Guest:
        """Looks again inside the transaction: another process may have been faster."""
        self._pace.call("define guest")
        with self._store.writing() as db:
            found = guests.by_mark(db, spec.mark)
            if found is not None:
                return found
            self._refuse_taken_name(db, spec)
            refuse_used_up(self._address, spec, holdings.page_holders(db), holdings.functions_taken(db))
            return guests.add_guest(db, spec)

    def _remove_leftovers(self, spec: GuestSpec) -> None:
        """A failure here leaves volumes to the next try or to `decompose`; the first failure is what is told."""
        try:
            self._pace.call("remove volumes")
            with self._store.writing() as db:
                guests.remove_volumes(db, [(disk.pool_id, disk.volume) for disk in spec.disks], spec.mark)
        except InnkeeperError as error:
            log.warning("simulated_volumes_left", host=self._address.name, guest=spec.name, error=str(error))

    def _switch(self, guest: GuestRef, power: PowerState) -> PowerState:
        self._pace.call("power")
        with self._store.writing() as db:
            found = guests.by_mark(db, guest.mark)
            if found is None:
                raise NotFound(
                    f"{self._address.identity} has no guest of machine {guest.mark.machine_id} ('{guest.name}')."
                )
            guests.set_power(db, found, power)
        return power
