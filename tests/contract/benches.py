"""The hosts that the contract suite runs on. A driver joins by adding a `pytest.param(make_bench, id=…)` to BENCHES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from common.marks import volume_name
from common.values import (
    DiskSpec,
    DriverType,
    GuestRef,
    GuestSpec,
    HostAccess,
    Mark,
    NicAddress,
    NicKind,
    NicSpec,
    PowerState,
)
from rackd.drivers.contract import Driver
from rackd.drivers.simulated import guests, holdings
from rackd.drivers.simulated.driver import SimulatedHosts
from rackd.drivers.simulated.store import Store
from tests.contract.libvirt_benches import free_serial, pretended_bench, qemu_bench
from tests.contract.lxd_benches import lxd_bench, lxd_cluster_bench

INSTALLATION = UUID("6f0d0c60-7a59-4f4b-9a8f-5d5ad0f1c001")
DISK_BYTES = 64 * 1024 * 1024


class Bench(Protocol):
    """One host, and what a test does to it behind the driver's back: as an administrator of that hypervisor would."""

    driver: Driver  # opened; the bench closes it
    prefix: str  # every guest's name starts with it, so that a shared host can be cleaned up
    pool_id: str  # a pool with room for twenty disks of DISK_BYTES
    architecture: str
    nics: tuple[NicSpec, ...]  # cards that a guest of this host can have
    read_again: int  # guests that each look asks one by one, at most; 0 where it needs not ask

    def serial(self, mark: Mark, index: int) -> str:
        """What a guest of this host can have as the serial number of a disk."""

    def volumes(self) -> set[tuple[str, str]]:
        """All (pool_id, volume) of the host."""

    def make_foreign(self, name: str) -> None:
        """A guest that somebody else made: no mark, switched off."""

    def start(self, name: str) -> None:
        """Switch on a guest that somebody else made."""

    def make_volume(self, spec: GuestSpec, disk: DiskSpec) -> None:
        """The volume of `disk` as `compose(spec)` makes it, without the guest: a rack that was killed in between."""

    def attach_later(self, guest: GuestRef) -> tuple[str, str]:
        """Make a volume and attach it to a guest that is there; its (pool_id, volume)."""

    def rename(self, guest: GuestRef, new_name: str) -> None:
        """The guest is switched off."""

    def close(self) -> None:
        """Close the driver and remove every guest and volume that the test or the driver made."""


class Ability(StrEnum):
    """What not every host of a bench can do; `ABILITIES` says which can."""

    PINNED_CORES = "pinned_cores"
    HUGE_PAGES = "huge_pages"
    CARDS = "cards"
    STATIC_ADDRESS = "static_address"
    KNOWN_NETWORKS = "known_networks"  # a card on a network that there is not is refused when the guest is made


class AbleBench(Bench, Protocol):
    """What a bench says beside, each for the ability of that name."""

    pinnable_core_ids: tuple[int, ...]  # two of them, not in their order
    huge_page_size_kib: int  # enough of them for 128 MiB
    cards: tuple[NicSpec, ...]  # one of each kind that the host can attach
    addressed: tuple[NicSpec, ...]  # one for each way that an address gets to a guest; on different attachments

    def told_address(self, guest: GuestRef, nic: NicSpec) -> str:
        """The address that the host was told to give this card, or to let it take: `10.1.0.20`."""


def spec_for(bench: Bench, name: str, *, disks: int = 1, size_bytes: int = DISK_BYTES, pool_id: str = "") -> GuestSpec:
    mark = Mark(installation_id=INSTALLATION, machine_id=uuid4())
    return GuestSpec(
        name=f"{bench.prefix}{name}",
        mark=mark,
        architecture=bench.architecture,
        cores=1,
        memory_mib=128,
        disks=tuple(
            DiskSpec(
                volume=volume_name(mark, index),
                pool_id=pool_id or bench.pool_id,
                size_bytes=size_bytes,
                serial=bench.serial(mark, index),
            )
            for index in range(disks)
        ),
        nics=bench.nics,
    )


class SimulatedBench:
    """A simulated host in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.prefix, self.read_again = "", 0
        self.pool_id = "default"
        self.architecture = "amd64"
        self.nics = (
            NicSpec(name="eth0", mac_address="52:54:00:00:00:01", kind=NicKind.NETWORK, source="default", boot=True),
        )
        self.pinnable_core_ids = (3, 1)
        self.huge_page_size_kib = 2048
        self.cards = (
            self.nics[0],
            NicSpec(name="eth1", mac_address="52:54:00:00:00:02", kind=NicKind.BRIDGE, source="virbr0"),
            NicSpec(name="eth2", mac_address="52:54:00:00:00:03", kind=NicKind.MACVLAN, source="sim0"),
            NicSpec(name="eth3", mac_address="52:54:00:00:00:04", kind=NicKind.SRIOV, source="sim1", vid=100),
            NicSpec(name="eth4", mac_address="52:54:00:00:00:05", kind=NicKind.USER),
        )
        address = NicAddress(address="192.168.122.20", prefix_length=24, gateway="192.168.122.1")
        self.addressed = (evolve(self.nics[0], address=address),)
        access = HostAccess(
            host_id=1,
            driver=DriverType.SIMULATED,
            address="simulated:bench?storage_gb=4&hugepages_mib=1024&virtual_functions=2x2",
            installation_id=INSTALLATION,
        )
        self.driver = SimulatedHosts(folder).open(access)
        self._store = Store(folder / "bench.sqlite")

    def serial(self, mark: Mark, index: int) -> str:
        return free_serial(mark, index)

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
            guests.add_volume(db, pool=disk.pool_id, name=disk.volume, size_bytes=disk.size_bytes, mark=spec.mark)

    def attach_later(self, guest: GuestRef) -> tuple[str, str]:
        with self._store.writing() as db:
            found = guests.by_mark(db, guest.mark)
            assert found is not None
            guests.add_volume(db, pool="default", name="later", size_bytes=DISK_BYTES, mark=None)
            guests.attach(db, found.guest_id, pool="default", volume="later", serial=None)
        return "default", "later"

    def rename(self, guest: GuestRef, new_name: str) -> None:
        with self._store.writing() as db:
            guests.rename(db, guest.name, new_name)

    def told_address(self, guest: GuestRef, nic: NicSpec) -> str:
        with self._store.reading() as db:
            told = {one.name: one.address for one in holdings.nic_settings(db, guest)}
        address = told[nic.name]
        return address.address if address else ""

    def close(self) -> None:
        self._store.close()
        self.driver.close()


MakeBench = Callable[[Path], Bench]

BENCHES = [
    pytest.param(SimulatedBench, id="simulated"),
    pytest.param(partial(pretended_bench, INSTALLATION), id="libvirt-test"),
    pytest.param(partial(qemu_bench, INSTALLATION), id="libvirt-qemu", marks=pytest.mark.lab),
    pytest.param(partial(lxd_bench, INSTALLATION), id="lxd", marks=pytest.mark.lab),
    pytest.param(partial(lxd_cluster_bench, INSTALLATION), id="lxd-cluster", marks=pytest.mark.lab),
]

# A driver that learns one of these adds it for its benches, and what `AbleBench` says of it to the bench.
ABILITIES: Mapping[str, frozenset[Ability]] = {
    "simulated": frozenset(Ability),
    "libvirt-test": frozenset(Ability),
    "libvirt-qemu": frozenset(Ability),
    "lxd": frozenset(Ability),
    "lxd-cluster": frozenset(Ability),
}


def able(ability: Ability) -> pytest.MarkDecorator:
    """Runs a test, by its fixture `bench`, on every host that has the ability."""
    has = [bench for bench in BENCHES if ability in ABILITIES.get(str(bench.id), frozenset())]
    return pytest.mark.parametrize("bench", has, indirect=True)
