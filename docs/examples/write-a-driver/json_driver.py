"""An example of a driver: a host is a JSON file, and its VMs are entries in it that run nothing."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import evolve

from common.errors import HostUnreachable, InvalidRequest, NameTaken, NotFound, OutOfCapacity
from common.guests.guest_spec import GuestSpec
from common.hosts.discovery import Discovery, VolumeRef
from common.serialization import from_dict, to_dict
from common.values import (
    Guest,
    GuestDisk,
    GuestNic,
    GuestRef,
    HostAccess,
    HostFacts,
    HostNetwork,
    NicKind,
    OwnershipMarker,
    PowerAction,
    PowerState,
    StoragePool,
)
from rackd.drivers.contract import DriverSetup
from rackd.drivers.driver_errors import guest_not_found, reject_volumes_in_use, required_guest, unsupported_by
from rackd.drivers.partial import PartialDriver

DISK_BYTES = 10**12
POOL = "file"
ON = {PowerAction.ON, PowerAction.CYCLE}


class JsonHosts:
    """The entry point. A host's address is the path of its file on the rack: at first an empty list, `[]`."""

    def __init__(self, setup: DriverSetup) -> None:
        """Needs nothing of the rack's setup."""

    def identify(self, access: HostAccess) -> None:
        """A file presents no key or certificate."""

    def open(self, access: HostAccess) -> "JsonDriver":
        return JsonDriver(Path(access.address))


class JsonDriver(PartialDriver):
    kind = "JSON"

    def __init__(self, path: Path) -> None:
        self._path = path

    def reach(self) -> str:
        with self._guests():
            return "1.0"

    def discover(self) -> Discovery:
        pool = StoragePool(pool_id=POOL, name=POOL, type="dir", path=str(self._path), total_bytes=DISK_BYTES)
        facts = HostFacts(
            server_identity=str(self._path.resolve()), hypervisor_version="1.0", architecture="amd64",
            cores=16, memory_mib=32768, storage_pools=(pool,),
            networks=(HostNetwork(kind=NicKind.NETWORK, name="default"),),
        )  # fmt: skip
        with self._guests() as guests:
            return Discovery(facts=facts, guests=tuple(guests), calls=1, inspected_pools=(POOL,))

    def compose(self, spec: GuestSpec) -> Guest:
        if spec.secure_boot or spec.tpm:
            raise unsupported_by(self.kind, "Secure Boot or TPM")
        with self._guests() as guests:
            if found := _of(spec.marker, guests):
                return found
            if any(one.name == spec.name for one in guests):
                raise NameTaken(f"The host has another guest named {spec.name}.", name=spec.name)
            disks = [_new_disk(guests, spec, number) for number in range(len(spec.disks))]
            nics = [GuestNic(mac_address=one.mac_address, kind=one.kind, source=one.source) for one in spec.nics]
            made = Guest(
                name=spec.name, marker=spec.marker, guest_id=str(uuid4()), power=PowerState.OFF, generation=0,
                cores=spec.cores, memory_mib=spec.memory_mib, architecture=spec.architecture,
                disks=tuple(disks), nics=tuple(nics),
            )  # fmt: skip
            guests.append(made)
            return made

    def decompose(
        self, guest: GuestRef, volumes: Any = (), mac_addresses: Any = (), guest_id: str | None = None
    ) -> None:
        """Deletes the disks with the guest: they are in its entry."""
        with self._guests() as guests:
            guests[:] = [one for one in guests if one.marker != guest.marker or guest_id not in {None, one.guest_id}]

    def remove_volumes(self, marker: OwnershipMarker, volumes: Iterable[VolumeRef], *, adopted: bool = False) -> None:
        """Deletes nothing: no disk is without its guest."""
        wanted = {one.name for one in volumes}
        with self._guests() as guests:
            used = {(POOL, d.volume or ""): [one.name] for one in guests for d in one.disks if d.volume in wanted}
        reject_volumes_in_use(used)

    def power(self, guest: GuestRef, action: PowerAction, **_: Any) -> PowerState:
        return self._changed(guest, power=PowerState.ON if action in ON else PowerState.OFF).power

    def find(self, guest: GuestRef) -> Guest | None:
        with self._guests() as guests:
            return _of(guest.marker, guests)

    def set_generation(self, guest: GuestRef, generation: int) -> None:
        known = required_guest(self.find(guest), guest).generation or 0
        self._changed(guest, generation=max(known, generation))

    def disown(self, guest_id: str, name: str, marker: OwnershipMarker, *, exactly: bool = False) -> None:
        ref = GuestRef(name=name, marker=marker)
        found = self.find(ref)
        if exactly and (found is None or (found.guest_id, found.name) != (guest_id, name)):
            raise guest_not_found(name, marker)
        if found is not None:
            self._changed(ref, marker=None, generation=None)

    def _changed(self, guest: GuestRef, **fields: Any) -> Guest:
        with self._guests() as guests:
            at = guests.index(required_guest(_of(guest.marker, guests), guest))
            guests[at] = evolve(guests[at], **fields)
            return guests[at]

    @contextmanager
    def _guests(self) -> Iterator[list[Guest]]:
        """Yields the guests in the file, and writes them back. Other threads and racks wait meanwhile."""
        try:
            file = self._path.open("r+", encoding="utf-8")
        except OSError as error:
            raise HostUnreachable(f"Cannot open {self._path}: {error.strerror}.") from error
        with file:
            flock(file, LOCK_EX)
            try:
                guests = [from_dict(one, Guest) for one in json.load(file)]
            except (ValueError, TypeError, InvalidRequest) as error:
                raise HostUnreachable(f"{self._path} is no list of VMs in JSON: {error}. Restore it.") from error
            yield guests
            file.seek(0)
            file.write(json.dumps([to_dict(one) for one in guests], indent=1))
            file.truncate()


def _of(marker: OwnershipMarker, guests: Iterable[Guest]) -> Guest | None:
    return next((one for one in guests if one.marker == marker), None)


def _new_disk(guests: Iterable[Guest], spec: GuestSpec, number: int) -> GuestDisk:
    disk, before = spec.disks[number], spec.disks[:number]
    used = [one.size_bytes for guest in guests for one in guest.disks] + [one.size_bytes for one in before]
    left = {"requested_bytes": disk.size_bytes, "left_bytes": DISK_BYTES - sum(used)}
    if disk.pool_id != POOL:
        raise NotFound(f"The host has no storage pool {disk.pool_id}.", name=disk.pool_id)
    if disk.size_bytes > left["left_bytes"]:
        raise OutOfCapacity(f"A disk needs {disk.size_bytes} bytes, and {left['left_bytes']} are free.", **left)
    return GuestDisk(
        device=f"disk{number}", size_bytes=disk.size_bytes, pool_id=POOL, volume=disk.volume, serial=disk.serial
    )
