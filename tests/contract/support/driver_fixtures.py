"""The hosts on which the contract suite runs. Add a driver with a `pytest.param(make_fixture, id=…)` in FIXTURES."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import UUID

import pytest
from attrs import evolve

from common.disks.disk_content import MAX_PART_BYTES
from common.disks.volume_names import volume_name
from common.guests.deployment_spec import ImageFormat, ImageRef
from common.guests.guest_spec import DiskSpec, GuestSpec, NicAddress, NicSpec
from common.values import DriverType, GuestRef, HostAccess, NicKind, OwnershipMarker, PowerState
from rackd.drivers.contract import Driver
from rackd.drivers.simulated import deployments, guest_resources, guests
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.drivers.simulated.store import Store
from tests.contract.support.guest_samples import (
    DISK_BYTES,
    OwnImage,
    free_serial,
    new_marker,
    nic,
    sha256_of,
    small_guest,
    write_parts,
)
from tests.contract.support.libvirt_fixtures import libvirt_test_fixture, qemu_fixture
from tests.contract.support.lxd_double_fixture import incus_double_fixture, lxd_6_double_fixture, lxd_double_fixture
from tests.contract.support.lxd_fixtures import incus_cluster_fixture, incus_fixture, lxd_cluster_fixture, lxd_fixture

INSTALLATION = UUID("6f0d0c60-7a59-4f4b-9a8f-5d5ad0f1c001")
_ZEROS = bytes(MAX_PART_BYTES)


class DriverFixture(Protocol):
    """One host, and the actions of its hypervisor's administrator."""

    driver: Driver  # open; `close` closes it
    prefix: str  # every guest's name starts with it, so that a shared host can be cleaned up
    pool_id: str  # a pool with space for twenty disks of DISK_BYTES
    architecture: str
    nics: tuple[NicSpec, ...]  # NICs that a guest of this host can have
    reread_domains: int  # guests that a discovery run rereads one by one, at most

    def serial(self, marker: OwnershipMarker, index: int) -> str:
        """Returns a valid disk serial for a guest of this host."""

    def volume(self, marker: OwnershipMarker, index: int) -> str:
        """Returns the name that a new volume has on this host."""

    def volumes(self) -> set[tuple[str, str]]:
        """Returns all (pool_id, volume) of the host."""

    def make_foreign(self, name: str) -> None:
        """Creates a foreign guest: unmarked, powered off."""

    def start(self, name: str) -> None:
        """Starts a foreign guest."""

    def make_volume(self, spec: GuestSpec, disk: DiskSpec) -> None:
        """Creates the volume of `disk` as `compose(spec)` does, but no guest, as a rack that was killed halfway."""

    def attach_new_volume(self, guest: GuestRef) -> tuple[str, str]:
        """Creates a volume and attaches it to an existing guest. Returns its (pool_id, volume)."""

    def grow(self, spec: GuestSpec, disk: DiskSpec, size_bytes: int) -> None:
        """Makes a disk of a guest that is off larger."""

    def rename(self, guest: GuestRef, new_name: str) -> None:
        """Renames a guest that is off."""

    def close(self) -> None:
        """Closes the driver and removes every guest and volume of the test."""


class Capability(StrEnum):
    """A feature that not every host supports; see CAPABILITIES."""

    PINNED_CORES = "pinned_cores"
    HUGE_PAGES = "huge_pages"
    NICS = "nics"
    STATIC_ADDRESS = "static_address"
    KNOWN_NETWORKS = "known_networks"  # compose rejects a NIC on a missing network
    DEPLOYMENT = "deployment"
    CONSOLE_LOG = "console_log"
    CONSOLE = "console"
    SCREEN = "screen"
    OWN_IMAGES = "own_images"
    VOLUME_LOSS = "volume_loss"  # a volume can be deleted while a guest uses it
    DISK_MOVES = "disk_moves"  # the test may have another storage pool
    DISK_CONTENT = "disk_content"  # disks are read in parts
    DISK_PARTS = "disk_parts"  # and written in parts
    WHOLE_DISKS = "whole_disks"  # or filled from an image
    POOL_LOSS = "pool_loss"  # the test may make the storage pool unavailable


class CapableFixture(DriverFixture, Protocol):
    """What a fixture provides for its capabilities."""

    pinnable_core_ids: tuple[int, ...]  # two cores, not in ascending order
    huge_page_size_kib: int  # the host has enough pages for 128 MiB
    every_nic: tuple[NicSpec, ...]  # one of each kind that the host can attach
    has_spice: bool  # its screens speak SPICE instead of VNC
    addressed: tuple[NicSpec, ...]  # one for each way in which a guest receives an address, on different sources

    def assigned_address(self, guest: GuestRef, nic: NicSpec) -> str:
        """Returns the address that the host has for this NIC, such as `10.1.0.20`."""

    def root_disk_holds(self, spec: GuestSpec, image: ImageRef | None) -> bool:
        """Returns whether the root disk of a guest begins with this raw image; None: whether it is empty."""

    def greet_on_boot(self, spec: GuestSpec) -> bytes:
        """Makes a guest that is off write a text to its serial port when it starts. Returns the text."""

    def shown_for_hello(self, spec: GuestSpec) -> bytes:
        """Makes a guest that is off echo what is typed on its console, if the host can boot such a program.

        Returns what its console shows after somebody has typed `hello`.
        """

    def write_to_disks(self, spec: GuestSpec) -> None:
        """Writes something to each disk of a guest that is off."""

    def written_disks(self, spec: GuestSpec) -> tuple[bool, ...]:
        """Returns of each disk of `spec` whether anything is on it."""

    def second_pool(self) -> str:
        """Makes another storage pool, until the fixture is closed. Returns its id."""

    def write_content(self, spec: GuestSpec, disk: DiskSpec) -> str:
        """Writes random content to parts of a disk of a guest that is off. Returns what `content_of` returns then."""

    def content_of(self, spec: GuestSpec, disk: DiskSpec) -> str:
        """Returns the SHA-256 of all bytes of a disk of `spec`, in the storage pool that `disk` names."""

    def own_image(self, *, large: bool = False) -> OwnImage:
        """Makes the host have an image of its own; a large one does not fit on a disk of DISK_BYTES."""

    def user_data(self, spec: GuestSpec) -> bytes | None:
        """Returns the guest's user data for cloud-init; None if it has no cloud-init data at all."""

    def delete_volume(self, disk: DiskSpec) -> None:
        """Deletes the volume of a guest, which keeps the disk."""

    def lose_pool(self) -> str:
        """Makes the storage pool unavailable. Returns its status."""

    def restore_pool(self) -> None:
        """Makes it available again."""


def spec_for(host: DriverFixture, name: str, *, disks: int = 1, installation_id: UUID = INSTALLATION) -> GuestSpec:
    return small_guest(
        f"{host.prefix}{name}",
        new_marker(installation_id),
        (host.pool_id,) * disks,
        serial=host.serial,
        volume=host.volume,
        architecture=host.architecture,
        nics=host.nics,
    )


class SimulatedFixture:
    """A simulated host in the test's folder."""

    def __init__(self, folder: Path) -> None:
        self.prefix, self.reread_domains, self.has_spice = "", 0, False
        self.pool_id = "default"
        self.architecture = "amd64"
        self.nics = (nic(0, NicKind.NETWORK, "default", boot=True),)
        self.pinnable_core_ids = (3, 1)
        self.huge_page_size_kib = 2048
        self.every_nic = (
            self.nics[0],
            nic(1, NicKind.BRIDGE, "virbr0"),
            nic(2, NicKind.MACVLAN, "sim0"),
            nic(3, NicKind.SRIOV, "sim1", vid=100),
            nic(4, NicKind.USER),
        )
        address = NicAddress(address="192.168.122.20", prefix_length=24, gateway="192.168.122.1")
        self.addressed = (evolve(self.nics[0], address=address),)
        self._folder = folder
        self.driver = self._open("default:4")
        self._path = folder / "host.sqlite"
        self._store = Store(self._path)

    def _open(self, pools: str) -> Driver:
        hardware = f"pools={pools}&hugepages_mib=1024&virtual_functions=2x2&images=own,large:1"
        access = HostAccess(
            host_id=1,
            driver=DriverType.SIMULATED,
            address=f"simulated:host?{hardware}",
            installation_id=INSTALLATION,
        )
        return SimulatedDriverFactory(self._folder).open(access)

    def lose_pool(self) -> str:
        self.driver.close()
        self.driver = self._open("default:4:unavailable")
        return "unavailable"

    def restore_pool(self) -> None:
        self.driver.close()
        self.driver = self._open("default:4")

    def second_pool(self) -> str:
        self.driver.close()
        self.driver = self._open("default:4,second:4")
        return "second"

    def write_content(self, spec: GuestSpec, disk: DiskSpec) -> str:
        content = io.BytesIO()
        write_parts(content, disk.size_bytes)
        place, data = (disk.pool_id, disk.volume), content.getvalue()
        with self._store.writing() as db:
            db.execute("insert or ignore into written values (?, ?)", place)
            db.execute("delete from content where pool = ? and volume = ?", place)
            for start in range(0, len(data), MAX_PART_BYTES):
                part = data[start : start + MAX_PART_BYTES]
                if part != _ZEROS[: len(part)]:  # what is not stored reads as zeros
                    db.execute("insert into content values (?, ?, ?, ?)", (*place, start, part))
        return self.content_of(spec, disk)

    def content_of(self, spec: GuestSpec, disk: DiskSpec) -> str:
        with self._store.reading() as db:
            place = (disk.pool_id, disk.volume)
            rows = db.execute("select at, data from content where pool = ? and volume = ?", place)
            return sha256_of(disk.size_bytes, ((row["at"], row["data"]) for row in rows))

    def serial(self, marker: OwnershipMarker, index: int) -> str:
        return free_serial(marker, index)

    def volume(self, marker: OwnershipMarker, index: int) -> str:
        return volume_name(marker, index)

    def volumes(self) -> set[tuple[str, str]]:
        with self._store.reading() as db:
            return {(row["pool"], row["name"]) for row in db.execute("select * from volume")}

    def make_foreign(self, name: str) -> None:
        with self._store.writing() as db:
            disk = DiskSpec(volume=f"{name}-disk", pool_id="default", size_bytes=DISK_BYTES, serial="foreign")
            guests.add_foreign_guest(db, name, cores=1, memory_mib=128, disk=disk, power=PowerState.OFF)

    def start(self, name: str) -> None:
        with self._store.writing() as db:
            (found,) = [guest for guest in guests.all_guests(db) if guest.name == name]
            guests.set_power(db, found, PowerState.ON)

    def make_volume(self, spec: GuestSpec, disk: DiskSpec) -> None:
        with self._store.writing() as db:
            guests.add_volume(db, pool=disk.pool_id, name=disk.volume, size_bytes=disk.size_bytes, marker=spec.marker)

    def attach_new_volume(self, guest: GuestRef) -> tuple[str, str]:
        with self._store.writing() as db:
            found = guests.by_marker(db, guest.marker)
            assert found is not None
            guests.add_volume(db, pool="default", name="later", size_bytes=DISK_BYTES, marker=None)
            guests.attach(db, found.guest_id, pool="default", volume="later", serial=None)
        return "default", "later"

    def grow(self, spec: GuestSpec, disk: DiskSpec, size_bytes: int) -> None:
        with self._store.writing() as db:
            db.execute("update volume set size_bytes = ? where name = ?", (size_bytes, disk.volume))

    def delete_volume(self, disk: DiskSpec) -> None:
        with closing(sqlite3.connect(self._path)) as db, db:  # without the foreign keys that the driver checks
            db.execute("delete from volume where name = ?", (disk.volume,))

    def rename(self, guest: GuestRef, new_name: str) -> None:
        with self._store.writing() as db:
            guests.rename(db, guest.name, new_name)

    def assigned_address(self, guest: GuestRef, nic: NicSpec) -> str:
        with self._store.reading() as db:
            addresses = {one.name: one.address for one in guest_resources.nic_settings(db, guest)}
        address = addresses[nic.name]
        return address.address if address else ""

    def root_disk_holds(self, spec: GuestSpec, image: ImageRef | None) -> bool:
        with self._store.reading() as db:
            return deployments.image_on(db, self._guest_id(db, spec)) == (None if image is None else image.sha256)

    def greet_on_boot(self, spec: GuestSpec) -> bytes:
        return b"No bootable device."

    def shown_for_hello(self, spec: GuestSpec) -> bytes:
        return b"hello"

    def own_image(self, *, large: bool = False) -> OwnImage:
        alias = "large" if large else "own"
        found = self.driver.find_image(alias=alias)
        return OwnImage(
            alias, ImageRef(sha256=found.fingerprint, size_bytes=1, virtual_size_bytes=1, format=ImageFormat.RAW)
        )

    def user_data(self, spec: GuestSpec) -> bytes | None:
        with self._store.reading() as db:
            guest_id = self._guest_id(db, spec)
            row = db.execute("select user_data from deployment where guest_id = ?", (guest_id,)).fetchone()
        return None if row is None else bytes(row["user_data"])

    def write_to_disks(self, spec: GuestSpec) -> None:
        with self._store.writing() as db:
            deployments.fill(db, self._guest_id(db, spec))

    def written_disks(self, spec: GuestSpec) -> tuple[bool, ...]:
        with self._store.reading() as db:
            return deployments.written_disks(db, self._guest_id(db, spec))

    def _guest_id(self, db: sqlite3.Connection, spec: GuestSpec) -> str:
        found = guests.by_marker(db, spec.marker)
        assert found is not None
        return found.guest_id

    def close(self) -> None:
        self._store.close()
        self.driver.close()


MakeFixture = Callable[[Path], DriverFixture]

FIXTURES = [
    pytest.param(SimulatedFixture, id="simulated"),
    pytest.param(partial(libvirt_test_fixture, INSTALLATION), id="libvirt-test"),
    pytest.param(partial(lxd_double_fixture, INSTALLATION), id="lxd-double"),
    pytest.param(partial(lxd_6_double_fixture, INSTALLATION), id="lxd-6-double"),
    pytest.param(partial(incus_double_fixture, INSTALLATION), id="incus-double"),
    pytest.param(partial(qemu_fixture, INSTALLATION), id="libvirt-qemu", marks=pytest.mark.lab),
    pytest.param(partial(lxd_fixture, INSTALLATION), id="lxd", marks=pytest.mark.lab),
    pytest.param(partial(lxd_cluster_fixture, INSTALLATION), id="lxd-cluster", marks=pytest.mark.lab),
    pytest.param(partial(incus_fixture, "6", INSTALLATION), id="incus-6", marks=pytest.mark.lab),
    pytest.param(partial(incus_fixture, "7", INSTALLATION), id="incus-7", marks=pytest.mark.lab),
    pytest.param(partial(incus_cluster_fixture, "6", INSTALLATION), id="incus-6-cluster", marks=pytest.mark.lab),
    pytest.param(partial(incus_cluster_fixture, "7", INSTALLATION), id="incus-7-cluster", marks=pytest.mark.lab),
]

# A driver that gains a capability is added here, and its fixture then provides the fields of `CapableFixture`.
CAPABILITIES: Mapping[str, frozenset[Capability]] = {
    "simulated": frozenset(Capability) - {Capability.WHOLE_DISKS},
    "libvirt-test": frozenset(Capability)  # it cannot fill volumes, and has no console
    - {Capability.DEPLOYMENT, Capability.CONSOLE_LOG, Capability.CONSOLE, Capability.SCREEN, Capability.OWN_IMAGES}
    - {Capability.DISK_MOVES, Capability.DISK_CONTENT, Capability.DISK_PARTS, Capability.WHOLE_DISKS},
    "libvirt-qemu": frozenset(Capability) - {Capability.OWN_IMAGES, Capability.POOL_LOSS, Capability.WHOLE_DISKS},
    "lxd-double": frozenset(Capability)
    - {Capability.CONSOLE_LOG, Capability.CONSOLE, Capability.SCREEN, Capability.VOLUME_LOSS}
    - {Capability.DISK_PARTS},
    "lxd-6-double": frozenset(Capability)
    - {Capability.CONSOLE_LOG, Capability.CONSOLE, Capability.SCREEN, Capability.VOLUME_LOSS}
    - {Capability.DISK_PARTS},
    "lxd": frozenset(Capability)  # release 5.0 keeps no log of virtual machines' consoles
    - {Capability.CONSOLE_LOG, Capability.VOLUME_LOSS, Capability.POOL_LOSS, Capability.DISK_PARTS},
    "lxd-cluster": frozenset(Capability)
    - {Capability.CONSOLE_LOG, Capability.VOLUME_LOSS, Capability.POOL_LOSS, Capability.DISK_MOVES}
    - {Capability.DISK_PARTS},
    "incus-double": frozenset(Capability)
    - {Capability.CONSOLE_LOG, Capability.CONSOLE, Capability.SCREEN, Capability.VOLUME_LOSS}
    - {Capability.DISK_PARTS},
    **dict.fromkeys(
        ("incus-6", "incus-7"),
        frozenset(Capability) - {Capability.VOLUME_LOSS, Capability.POOL_LOSS, Capability.DISK_PARTS},
    ),
    **dict.fromkeys(
        ("incus-6-cluster", "incus-7-cluster"),
        frozenset(Capability)
        - {Capability.VOLUME_LOSS, Capability.POOL_LOSS, Capability.DISK_MOVES, Capability.DISK_PARTS},
    ),
}


EVERY_HOST = pytest.mark.parametrize("host", FIXTURES, indirect=True)


def requires(capability: Capability) -> pytest.MarkDecorator:
    """Runs a test on every host with the capability."""
    capable = [one for one in FIXTURES if capability in CAPABILITIES.get(str(one.id), frozenset())]
    return pytest.mark.parametrize("host", capable, indirect=True)
