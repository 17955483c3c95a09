"""What is special to simulated hosts; what every driver does is in tests/contract/."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from common.errors import HostUnreachable, InnkeeperError, OutOfCapacity
from common.units import BYTES_PER_GB
from common.values import (
    DiskSpec,
    DriverType,
    GuestChange,
    GuestEvent,
    GuestSpec,
    HostAccess,
    HugePages,
    Mark,
    PowerAction,
    PowerState,
)
from rackd.drivers.contract import Driver
from rackd.drivers.simulated import guests
from rackd.drivers.simulated.driver import SimulatedHosts
from rackd.drivers.simulated.store import Store
from tests.holding import hold
from tests.waiting import eventually

INSTALLATION = UUID("0a1b2c3d-0000-4000-8000-000000000001")
Open = Callable[[str], Driver]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Open]:
    hosts = SimulatedHosts(tmp_path)
    with ExitStack() as opened:

        def open_host(address: str) -> Driver:
            access = HostAccess(host_id=1, driver=DriverType.SIMULATED, address=address, installation_id=INSTALLATION)
            driver = hosts.open(access)
            opened.callback(driver.close)
            return driver

        yield open_host


def spec(name: str, *, size_bytes: int = BYTES_PER_GB, disks: int = 1) -> GuestSpec:
    return GuestSpec(
        name=name,
        mark=Mark(installation_id=INSTALLATION, machine_id=uuid4()),
        architecture="amd64",
        cores=2,
        memory_mib=4096,
        disks=tuple(
            DiskSpec(volume=f"{name}-{index}", pool_id="default", size_bytes=size_bytes, serial=f"s{index}")
            for index in range(disks)
        ),
    )


def test_the_address_is_the_hardware(host: Open) -> None:
    facts = host("simulated:a?cores=6&memory_mib=1025&storage_gb=7&numa_nodes=4&pools=2").discover().facts
    assert (facts.cores, facts.memory_mib, facts.server_identity) == (6, 1025, "simulated/a")
    assert [node.core_ids for node in facts.numa_nodes] == [(0, 1), (2, 3), (4,), (5,)]
    assert [node.memory_mib for node in facts.numa_nodes] == [257, 256, 256, 256]
    assert [(pool.name, pool.total_bytes) for pool in facts.storage_pools] == [
        ("default", 7 * BYTES_PER_GB),
        ("fast", 7 * BYTES_PER_GB),
    ]


def test_nodes_have_huge_pages_threads_and_cards_of_their_own(host: Open) -> None:
    more = "&hugepages_mib=3072&hugepage_size_mib=1024&threads_per_core=2&virtual_functions=3x8"
    facts = host("simulated:a?cores=8&memory_mib=16384&numa_nodes=2" + more).discover().facts
    assert [node.huge_pages for node in facts.numa_nodes] == [
        (HugePages(size_kib=1024 * 1024, total=2),),
        (HugePages(size_kib=1024 * 1024, total=1),),
    ]
    assert [node.siblings for node in facts.numa_nodes] == [((0, 1), (2, 3)), ((4, 5), (6, 7))]
    cards = [(card.numa_node, card.virtual_functions, card.ports[0].name) for card in facts.network_cards]
    assert cards == [(0, 8, "sim0"), (1, 8, "sim1"), (0, 8, "sim2")]
    assert len({card.ports[0].mac_address for card in facts.network_cards}) == 3


def test_pools_and_networks_are_those_that_the_address_names(host: Open) -> None:
    driver = host("simulated:a?pools=small:2,big:900&networks=lan:10.1.0.0/24,dmz:fd00:1::/64:100")
    facts = driver.discover().facts
    assert [(pool.pool_id, pool.total_bytes) for pool in facts.storage_pools] == [
        ("small", 2 * BYTES_PER_GB),
        ("big", 900 * BYTES_PER_GB),
    ]
    assert [(network.name, network.cidrs, network.vid) for network in facts.networks] == [
        ("lan", ("10.1.0.0/24",), 0),
        ("dmz", ("fd00:1::/64",), 100),
    ]
    disk = DiskSpec(volume="v", pool_id="small", size_bytes=3 * BYTES_PER_GB, serial="s")
    with pytest.raises(OutOfCapacity, match="storage pool small"):
        driver.compose(evolve(spec("large"), disks=(disk,)))
    driver.compose(evolve(spec("large"), disks=(evolve(disk, pool_id="big"),)))


def test_pinned_guests_of_others_are_there_from_the_start(host: Open) -> None:
    address = "simulated:a?cores=16&hugepages_mib=8192&guests=1&pinned_guests=6-9:4096:huge,2:512&pools=only:9"
    found = host(address).discover().guests
    assert [(one.name, one.cores, one.memory_mib, one.pinned_core_ids, one.huge_pages_backed) for one in found] == [
        ("foreign-0001", 1, 1024, (), False),
        ("pinned-0001", 4, 4096, (6, 7, 8, 9), True),
        ("pinned-0002", 1, 512, (2,), False),
    ]
    assert {one.mark for one in found} == {None}


def test_foreign_guests_are_there_from_the_start_and_made_once(host: Open) -> None:
    first = host("simulated:a?guests=3").discover().guests
    assert [(guest.name, guest.mark, guest.power) for guest in first] == [
        (f"foreign-000{number}", None, PowerState.ON) for number in (1, 2, 3)
    ]
    assert host("simulated:a?guests=3").discover().guests == first


def test_two_racks_see_the_same_host(host: Open) -> None:
    one, other = host("simulated:a"), host("simulated:a")
    made = spec("shared")
    one.compose(made)
    assert other.power(made.ref, PowerAction.ON, grace_s=1) is PowerState.ON
    found = one.find(made.ref)
    assert found is not None
    assert found.power is PowerState.ON


def test_racks_that_open_and_compose_at_once_make_one_guest(host: Open) -> None:
    made = spec("raced", disks=3)
    with ThreadPoolExecutor(8) as racks:
        found = list(racks.map(lambda _: host("simulated:a").compose(made), range(8)))
    assert found == [found[0]] * 8
    assert host("simulated:a").discover().guests == (found[0],)


def test_a_pool_is_never_given_out_twice(host: Open) -> None:
    def compose(number: int) -> bool:
        try:
            host("simulated:a?storage_gb=4").compose(spec(f"m{number}"))
        except OutOfCapacity:
            return False
        return True

    with ThreadPoolExecutor(8) as racks:
        assert sum(racks.map(compose, range(12))) == 4


async def test_a_watcher_hears_what_another_rack_did(host: Open) -> None:
    watching, acting = host("simulated:a"), host("simulated:a")
    seen: list[GuestChange] = []
    stop = watching.watch(seen.append)
    made = spec("seen")
    acting.compose(made)
    acting.decompose(made.ref)
    await eventually(lambda: [one.event for one in seen] == [GuestEvent.APPEARED, GuestEvent.GONE])
    stop()


async def test_a_watch_that_lost_its_file_comes_back_with_one_resync(host: Open, tmp_path: Path) -> None:
    seen: list[GuestChange] = []
    stop = host("simulated:a").watch(seen.append)
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db:
        db.execute("drop table change")
        db.commit()
    await eventually(lambda: [one.event for one in seen] == [GuestEvent.RESYNC])
    host("simulated:a").compose(spec("after"))
    await eventually(lambda: [one.event for one in seen] == [GuestEvent.RESYNC, GuestEvent.APPEARED])
    stop()


def test_changes_that_are_no_longer_kept_are_told_as_one_resync(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.sqlite")
    for _ in range(3):
        with store.writing() as db:
            for _ in range(600):
                guests.record(db, GuestChange(event=GuestEvent.CHANGED, guest_name="busy"))
    with store.reading() as db:
        newest, changes = guests.changes_after(db, 5)
    store.close()
    assert newest == 1800
    assert [one.event for one in changes[:2]] == [GuestEvent.RESYNC, GuestEvent.CHANGED]
    assert len(changes) == 1001


def test_volumes_of_nobody_count_as_used_elsewhere_in_whole_gib(host: Open, tmp_path: Path) -> None:
    driver = host("simulated:a?guests=2")  # whose disks are their own
    store = Store(tmp_path / "a.sqlite")
    with store.writing() as db:
        guests.add_volume(db, pool="default", name="iso", size_bytes=5, mark=None)
    store.close()
    assert driver.discover().facts.storage_pools[0].used_elsewhere_bytes == 1024**3


def test_the_same_seed_fails_the_same_calls(host: Open) -> None:
    def outcomes(address: str) -> list[str]:
        results = []
        for _ in range(40):
            try:
                results.append(host(address).reach())
            except InnkeeperError as error:
                results.append(error.code)
        return results

    first = outcomes("simulated:a?fault_seed=3&fault_rate=0.3")
    assert first == outcomes("simulated:b?fault_seed=3&fault_rate=0.3")
    assert set(first) == {"1.0", "host_unreachable", "driver_failed"}


def test_a_compose_that_fails_at_any_step_is_finished_by_a_repeat(host: Open) -> None:
    for seed in range(30):
        made = spec("unlucky", disks=2)
        address = f"simulated:host{seed}?fault_rate=0.3&fault_seed={seed}"
        for _ in range(200):
            try:
                host(address).compose(made)
                break
            except InnkeeperError:
                continue
        calm = host(f"simulated:host{seed}")
        assert [guest.mark for guest in calm.discover().guests] == [made.mark]
        calm.decompose(made.ref, tuple((disk.pool_id, disk.volume) for disk in made.disks))
        assert calm.discover().guests == ()


def test_closing_ends_a_call_that_hangs(host: Open) -> None:
    driver = host("simulated:a?delay_ms=0")
    slow = host("simulated:a?delay_ms=300")
    threading.Timer(0.05, slow.close).start()
    with pytest.raises(HostUnreachable, match="closed"):
        slow.discover()
    assert driver.reach() == "1.0"


_COMPOSE = """
import sys
from pathlib import Path
from uuid import UUID
from common.values import DiskSpec, DriverType, GuestSpec, HostAccess, Mark
from rackd.drivers.simulated.driver import SimulatedHosts

folder, machine = sys.argv[1:]
owner = UUID("0a1b2c3d-0000-4000-8000-000000000001")
access = HostAccess(
    host_id=1, driver=DriverType.SIMULATED, address="simulated:a", installation_id=owner
)
disks = tuple(DiskSpec(volume=f"v{i}", pool_id="default", size_bytes=1000, serial=f"s{i}") for i in range(2))
SimulatedHosts(Path(folder)).open(access).compose(
    GuestSpec(name="killed", mark=Mark(installation_id=owner, machine_id=UUID(machine)), architecture="amd64",
              cores=2, memory_mib=512, disks=disks)
)
"""


def start_compose(folder: Path, machine: UUID) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _COMPOSE, str(folder), str(machine)])


@pytest.mark.fault
async def test_a_compose_killed_between_its_steps_is_finished_by_the_next_rack(host: Open, tmp_path: Path) -> None:
    machine = UUID("0a1b2c3d-0000-4000-8000-0000000000ff")
    driver = host("simulated:a")
    store = Store(tmp_path / "a.sqlite")

    def half_made() -> bool:
        with store.reading() as db:
            return guests.volume_owner(db, "default", "v1") is not None

    with hold(tmp_path, "a", "define guest"):
        rack = start_compose(tmp_path, machine)
        try:
            await eventually(half_made)
        finally:
            os.kill(rack.pid, signal.SIGKILL)
            rack.wait(timeout=30)
    store.close()
    assert driver.discover().guests == ()
    made = GuestSpec(
        name="killed",
        mark=Mark(installation_id=INSTALLATION, machine_id=machine),
        architecture="amd64",
        cores=2,
        memory_mib=512,
        disks=tuple(DiskSpec(volume=f"v{i}", pool_id="default", size_bytes=1000, serial=f"s{i}") for i in range(2)),
    )
    assert driver.compose(made) == driver.compose(made)
    assert len(driver.discover().guests) == 1
