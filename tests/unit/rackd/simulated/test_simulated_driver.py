"""Behaviour of the simulated driver only; tests/contract/ has that of every driver."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from common.errors import HostUnreachable, InnkeeperError, OutOfCapacity
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.units import BYTES_PER_GB
from common.values import GuestChange, GuestEvent, HugePages, NicKind, PowerAction, PowerState
from rackd.drivers.contract import Driver
from rackd.drivers.simulated import guests
from rackd.drivers.simulated.store import Store
from tests.contract.running import test_deployment_contract as deployment
from tests.contract.support.guest_samples import address, nic
from tests.deployment.simulated_host import SimulatedHost
from tests.support.waiting import eventually
from tests.unit.support.simulated_hosts import OpenHost, simulated_hosts, spec


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OpenHost]:
    with simulated_hosts(tmp_path) as open_host:
        yield open_host


def test_the_address_describes_the_hardware(host: OpenHost) -> None:
    facts = host("simulated:a?cores=6&memory_mib=1025&storage_gb=7&numa_nodes=4&pools=2").discover().facts
    assert (facts.cores, facts.memory_mib, facts.server_identity) == (6, 1025, "simulated/a")
    assert [node.core_ids for node in facts.numa_nodes] == [(0, 1), (2, 3), (4,), (5,)]
    assert [node.memory_mib for node in facts.numa_nodes] == [257, 256, 256, 256]
    assert [(pool.name, pool.total_bytes) for pool in facts.storage_pools] == [
        ("default", 7 * BYTES_PER_GB),
        ("fast", 7 * BYTES_PER_GB),
    ]


def test_nodes_have_huge_pages_threads_and_devices(host: OpenHost) -> None:
    more = "&hugepages_mib=3072&hugepage_size_mib=1024&threads_per_core=2&virtual_functions=3x8"
    facts = host("simulated:a?cores=8&memory_mib=16384&numa_nodes=2" + more).discover().facts
    assert [node.huge_pages for node in facts.numa_nodes] == [
        (HugePages(size_kib=1024 * 1024, total=2),),
        (HugePages(size_kib=1024 * 1024, total=1),),
    ]
    assert [node.siblings for node in facts.numa_nodes] == [((0, 1), (2, 3)), ((4, 5), (6, 7))]
    devices = [(device.numa_node, device.virtual_functions, device.ports[0].name) for device in facts.network_devices]
    assert devices == [(0, 8, "sim0"), (1, 8, "sim1"), (0, 8, "sim2")]
    assert len({device.ports[0].mac_address for device in facts.network_devices}) == 3


def test_pools_and_networks_come_from_the_address(host: OpenHost) -> None:
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


def test_pinned_foreign_guests_exist_initially(host: OpenHost) -> None:
    address = "simulated:a?cores=16&hugepages_mib=8192&guests=1&pinned_guests=6-9:4096:huge,2:512&pools=only:9"
    found = host(address).discover().guests
    assert [(one.name, one.cores, one.memory_mib, one.pinned_core_ids, one.huge_pages_backed) for one in found] == [
        ("foreign-0001", 1, 1024, (), False),
        ("pinned-0001", 4, 4096, (6, 7, 8, 9), True),
        ("pinned-0002", 1, 512, (2,), False),
    ]
    assert {one.marker for one in found} == {None}


def test_foreign_guests_are_created_once(host: OpenHost) -> None:
    first = host("simulated:a?guests=3").discover().guests
    assert [(guest.name, guest.marker, guest.power) for guest in first] == [
        (f"foreign-000{number}", None, PowerState.ON) for number in (1, 2, 3)
    ]
    assert host("simulated:a?guests=3").discover().guests == first


def test_two_racks_see_the_same_host(host: OpenHost) -> None:
    one, other = host("simulated:a"), host("simulated:a")
    vm = spec("shared")
    one.compose(vm)
    assert other.power(vm.ref, PowerAction.ON, grace_s=1) is PowerState.ON
    found = one.find(vm.ref)
    assert found is not None
    assert found.power is PowerState.ON


def test_concurrent_composes_create_one_guest(host: OpenHost) -> None:
    vm = spec("raced", disks=3)
    with ThreadPoolExecutor(8) as racks:
        found = list(racks.map(lambda _: host("simulated:a").compose(vm), range(8)))
    assert found == [found[0]] * 8
    assert host("simulated:a").discover().guests == (found[0],)


def test_pool_space_is_never_allocated_twice(host: OpenHost) -> None:
    def compose(number: int) -> bool:
        try:
            host("simulated:a?storage_gb=4").compose(spec(f"m{number}"))
        except OutOfCapacity:
            return False
        return True

    with ThreadPoolExecutor(8) as racks:
        assert sum(racks.map(compose, range(12))) == 4


async def test_a_watch_reports_changes_of_another_rack(host: OpenHost) -> None:
    watching, acting = host("simulated:a"), host("simulated:a")
    seen: list[GuestChange] = []
    stop = watching.watch(seen.append)
    vm = spec("seen")
    acting.compose(vm)
    acting.decompose(vm.ref)
    await eventually(lambda: [one.event for one in seen] == [GuestEvent.APPEARED, GuestEvent.GONE])
    stop()


async def test_a_watch_resyncs_once_after_losing_its_file(host: OpenHost, tmp_path: Path) -> None:
    seen: list[GuestChange] = []
    stop = host("simulated:a").watch(seen.append)
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as db:
        db.execute("drop table change")
        db.commit()
    await eventually(lambda: [one.event for one in seen] == [GuestEvent.RESYNC])
    host("simulated:a").compose(spec("after"))
    await eventually(lambda: [one.event for one in seen] == [GuestEvent.RESYNC, GuestEvent.APPEARED])
    stop()


def test_deleted_changes_are_one_resync(tmp_path: Path) -> None:
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


def test_unowned_volumes_count_as_used_elsewhere(host: OpenHost, tmp_path: Path) -> None:
    driver = host("simulated:a?guests=2")  # whose disks do not count
    store = Store(tmp_path / "a.sqlite")
    with store.writing() as db:
        guests.add_volume(db, pool="default", name="iso", size_bytes=5, marker=None)
    store.close()
    assert driver.discover().facts.storage_pools[0].used_elsewhere_bytes == 1024**3


def test_the_same_seed_fails_the_same_calls(host: OpenHost) -> None:
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


def test_a_retry_completes_a_compose_failed_anywhere(host: OpenHost) -> None:
    for seed in range(30):
        vm = spec("retried", disks=2)
        address = f"simulated:host{seed}?fault_rate=0.3&fault_seed={seed}"
        for _ in range(200):
            try:
                host(address).compose(vm)
                break
            except InnkeeperError:
                continue
        faultless = host(f"simulated:host{seed}")
        assert [guest.marker for guest in faultless.discover().guests] == [vm.marker]
        faultless.decompose(vm.ref, tuple((disk.pool_id, disk.volume) for disk in vm.disks))
        assert faultless.discover().guests == ()


def test_close_ends_a_hanging_call(host: OpenHost) -> None:
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
from tests.unit.support.simulated_hosts import simulated_hosts, spec

folder, machine_id = sys.argv[1:]
with simulated_hosts(Path(folder)) as open_host:
    open_host("simulated:a").compose(spec("killed", disks=2, machine_id=UUID(machine_id)))
"""


def start_compose(folder: Path, machine_id: UUID) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _COMPOSE, str(folder), str(machine_id)])


@pytest.mark.fault
async def test_another_rack_completes_a_killed_compose(host: OpenHost, tmp_path: Path) -> None:
    machine_id = uuid4()
    vm = spec("killed", disks=2, machine_id=machine_id)
    driver = host("simulated:a")
    store = Store(tmp_path / "a.sqlite")

    def is_incomplete() -> bool:
        with store.reading() as db:
            return guests.volume_owner(db, "default", vm.disks[1].volume) is not None

    with SimulatedHost(folder=tmp_path, name="a").hold("define guest"):
        rack = start_compose(tmp_path, machine_id)
        try:
            await eventually(is_incomplete)
        finally:
            os.kill(rack.pid, signal.SIGKILL)
            rack.wait(timeout=30)
    store.close()
    assert driver.discover().guests == ()
    assert driver.compose(vm) == driver.compose(vm)
    assert len(driver.discover().guests) == 1


def test_a_guest_has_addresses_once_it_has_booted(host: OpenHost) -> None:
    driver = host("simulated:a?boot_ms=0&networks=lan:10.1.0.0/24,small:10.2.0.0/30")
    deployed = evolve(
        spec("deployed"),
        nics=(
            nic(0, NicKind.NETWORK, "lan", boot=True),
            nic(1, NicKind.NETWORK, "lan", address=address("10.1.0.20")),
            nic(2, NicKind.NETWORK, "small"),
        ),
    )
    driver.compose(deployed)
    assert addresses_of(driver, deployed) == [None, None, None]
    deploy_on(driver, deployed)
    driver.power(deployed.ref, PowerAction.ON, grace_s=1)
    (leased,), static, none = addresses_of(driver, deployed)
    assert (static, none) == (("10.1.0.20",), ())
    assert "10.1.0.128" <= leased <= "10.1.0.254", "in the range of the DHCP server"
    (found,) = driver.discover().guests
    assert [one.addresses for one in found.nics] == [(leased,), static, none]
    driver.power(deployed.ref, PowerAction.FORCE_OFF, grace_s=1)
    assert addresses_of(driver, deployed) == [None, None, None]
    driver.power(deployed.ref, PowerAction.ON, grace_s=1)
    assert addresses_of(driver, deployed)[0] == (leased,), "a guest gets its address again"


def test_a_guest_that_does_not_boot_has_no_addresses(host: OpenHost) -> None:
    driver = host("simulated:a?boot=fails")
    vm = evolve(spec("failing"), nics=(nic(0, NicKind.NETWORK, "default"),))
    driver.compose(vm)
    deploy_on(driver, vm)
    driver.power(vm.ref, PowerAction.ON, grace_s=1)
    assert addresses_of(driver, vm) == [None]


def addresses_of(driver: Driver, vm: GuestSpec) -> list[Any]:
    found = driver.find(vm.ref)
    assert found is not None
    return [one.addresses for one in found.nics]


def deploy_on(driver: Driver, vm: GuestSpec) -> None:
    source = deployment.content()
    driver.copy_image(source.image, vm.disks[0].pool_id, source)
    driver.deploy(vm, source.image, deployment.seed())
