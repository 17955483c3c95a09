"""The LXD driver on a real server, beyond the contract suite."""

from __future__ import annotations

import asyncio
import threading
from uuid import uuid4

import pytest
from attrs import evolve

from common.addresses.lxd import parse
from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound, Unsupported
from common.hosts.discovery import Discovery
from common.values import Guest, GuestChange, GuestEvent, GuestRef, NicKind, OwnershipMarker, PowerAction, PowerState
from rackd.drivers.lxd.connection import tls
from rackd.drivers.lxd.connection.client import Client
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.contract.support.guest_samples import volumes_of
from tests.lab.conftest import INSTALLATION
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair, make_key_pair
from tests.lab.support.lxd_specs import Fatal, driver_through, small_spec
from tests.support.same_facts import without_other_use
from tests.support.waiting import eventually

pytestmark = pytest.mark.every_product

POOL = "default"


def named(driver: LxdDriver, name: str) -> Guest:
    (found,) = [guest for guest in driver.discover().guests if guest.name == name]
    return found


def requests(found: Discovery) -> int:
    """The requests that are not for one storage pool or interface, of which other tests may have more."""
    interfaces = [one for one in found.facts.networks if one.kind is not NicKind.NETWORK or one.bridge]
    return found.calls - 2 * len(found.facts.storage_pools) - len(interfaces)


def opened(lxd: LxdServer, pair: KeyPair, project: str = "default") -> LxdDriver:
    return LxdDriverFactory().open(lxd.access(pair, project=project))


def doomed(lxd: LxdServer, pair: KeyPair, *, at_call: int) -> LxdDriver:
    driver, client = driver_through(Fatal, lxd, pair)
    client.victim, client.left = lxd, at_call
    return driver


@pytest.mark.parametrize("at_call", [8, 10, 11, 12, 13])
def test_a_server_killed_during_compose_ends_with_one_guest(
    lxd: LxdServer, trusted: KeyPair, prefix: str, at_call: int
) -> None:
    wanted = small_spec(f"{prefix}vm", (POOL,) * 2, product=lxd.product)
    before = lxd.volumes()
    dying = doomed(lxd, trusted, at_call=at_call)
    with pytest.raises(HostUnreachable):
        dying.compose(wanted)
    dying.close()
    lxd.start()
    driver = opened(lxd, trusted)
    guest = driver.compose(wanted)
    assert [disk.volume for disk in guest.disks] == [disk.volume for disk in wanted.disks]
    assert driver.power(wanted.ref, PowerAction.ON, grace_s=1) is PowerState.ON
    assert len(lxd.instances(prefix)) == 1
    driver.decompose(wanted.ref, volumes_of(wanted))
    assert lxd.instances(prefix) == set()
    assert lxd.volumes() == before
    driver.close()


@pytest.mark.parametrize("at_call", [6, 9])
def test_a_server_killed_during_decompose_ends_with_nothing(
    lxd: LxdServer, trusted: KeyPair, prefix: str, at_call: int
) -> None:
    wanted = small_spec(f"{prefix}vm", (POOL,) * 3, product=lxd.product)
    before = lxd.volumes()
    dying, driver = doomed(lxd, trusted, at_call=at_call), opened(lxd, trusted)
    driver.compose(wanted)
    driver.close()
    with pytest.raises(HostUnreachable):
        dying.decompose(wanted.ref, volumes_of(wanted))
    dying.close()
    lxd.start()
    driver = opened(lxd, trusted)
    driver.decompose(wanted.ref, volumes_of(wanted))
    assert lxd.instances(prefix) == set()
    assert lxd.volumes() == before
    driver.close()


def test_two_racks_composing_one_machine_create_one_guest(lxd: LxdServer, trusted: KeyPair, prefix: str) -> None:
    wanted = small_spec(f"{prefix}vm", (POOL,) * 2, product=lxd.product)
    before = lxd.volumes()
    drivers = [opened(lxd, trusted) for _ in range(2)]
    outcomes: list[Guest | InnkeeperError] = []

    def compose(driver: LxdDriver) -> None:
        try:
            outcomes.append(driver.compose(wanted))
        except InnkeeperError as error:
            outcomes.append(error)

    racks = [threading.Thread(target=compose, args=(driver,)) for driver in drivers]
    for rack in racks:
        rack.start()
    for rack in racks:
        rack.join()
    assert len(outcomes) == 2
    guest = drivers[0].compose(wanted)
    assert guest == drivers[1].compose(wanted)
    assert len(lxd.instances(prefix)) == 1
    assert lxd.volumes() - before == {(disk.pool_id, disk.volume) for disk in wanted.disks[1:]}
    for driver in drivers:
        driver.decompose(wanted.ref, volumes_of(wanted))
        driver.close()
    assert lxd.volumes() == before


def test_discovering_300_machines_takes_as_many_calls_as_3(lxd: LxdServer, trusted: KeyPair, prefix: str) -> None:
    with lxd.project("ikmany") as project:
        driver = opened(lxd, trusted)
        lxd.make_many(prefix, "default", range(2))
        lxd.make_many(prefix, project, range(1))
        few = driver.discover()
        lxd.make_many(prefix, "default", range(2, 150))
        lxd.make_many(prefix, project, range(1, 150))
        try:
            many = driver.discover()
        finally:
            lxd.sweep(prefix)
            driver.close()
    listed = [guest for guest in many.guests if guest.name.startswith(prefix)]
    assert len(listed) == 300
    assert {guest.project for guest in listed} == {"default", project}
    assert {len(guest.disks) for guest in listed} == {1}
    assert requests(many) == requests(few) <= 8
    assert not many.problems


def test_a_restricted_key_pair_suffices_for_all_operations(lxd: LxdServer, prefix: str) -> None:
    pair = make_key_pair("ik-restricted")
    with lxd.project("ikres") as project, lxd.trusting(pair, "--restricted", "--projects", project):
        driver = opened(lxd, pair, project)
        assert [one.name for one in driver.projects()] == [project]
        wanted = small_spec(f"{prefix}vm", (POOL,) * 2, product=lxd.product)
        composed = driver.compose(wanted)
        assert composed.project == project
        assert driver.power(wanted.ref, PowerAction.ON, grace_s=1) is PowerState.ON
        (listed,) = driver.discover().guests
        assert listed.started_at is not None
        assert listed == evolve(composed, power=PowerState.ON, started_at=listed.started_at)
        assert driver.discover().facts.storage_pools[0].path == "Unknown"
        seen: list[GuestChange] = []
        driver.watch(seen.append)()
        driver.decompose(wanted.ref, volumes_of(wanted))
        assert driver.discover().guests == ()
        driver.close()


def test_addresses_and_projects_of_a_server_share_identity(lxd: LxdServer, trusted: KeyPair) -> None:
    with lxd.project("iktwo") as project:
        one, other = opened(lxd, trusted), opened(lxd, trusted, project)
        first, second = (evolve(without_other_use(driver.discover().facts), profiles=()) for driver in (one, other))
        assert first == second
        one.close()
        other.close()


def test_discovery_has_devices_profiles_and_networks(lxd: LxdServer, trusted: KeyPair) -> None:
    resources = lxd.ask("/1.0/resources")
    with lxd.project("ikcards") as project:
        lxd.lxc("profile", "create", "maas", "--project", project)
        driver = opened(lxd, trusted, project)
        try:
            facts = driver.discover().facts
        finally:
            lxd.lxc("profile", "delete", "maas", "--project", project)
            driver.close()
    assert [profile.name for profile in facts.profiles] == ["default", "maas"]
    names = {port["id"] for card in resources["network"]["cards"] for port in card.get("ports") or ()}
    assert {port.name for card in facts.network_devices for port in card.ports} == names
    assert len(facts.network_devices) == len(resources["network"]["cards"])
    assert len(facts.gpus) == len(resources["gpu"]["cards"])
    assert facts.networks[0].type == "bridge"
    assert facts.networks[0].attachable


def test_other_networks_and_nics_are_listed(lxd: LxdServer, driver: LxdDriver, prefix: str, port: str) -> None:
    lxd.lxc("network", "create", "ikvf", "--type=sriov", f"parent={port}")
    try:
        (listed,) = [network for network in driver.discover().facts.networks if network.name == "ikvf"]
        assert (listed.type, listed.kind, listed.active, listed.attachable) == ("sriov", NicKind.NETWORK, True, False)
        lxd.make_many(prefix, "default", range(1))
        lxd.lxc("config", "device", "add", f"{prefix}0", "vf", "nic", "nictype=sriov", f"parent={port}")
        lxd.lxc("config", "device", "add", f"{prefix}0", "vf2", "nic", "network=ikvf")
        lxd.lxc("config", "device", "add", f"{prefix}0", "whole", "nic", "nictype=physical", f"parent={port}")
        assert sorted(nic.kind for nic in named(driver, f"{prefix}0").nics if nic.source == port) == [
            NicKind.OTHER,
            NicKind.SRIOV,
            NicKind.SRIOV,
        ], "a NIC on an SR-IOV network uses a virtual function of the network's port"
    finally:
        lxd.sweep(prefix)
        lxd.lxc("network", "delete", "ikvf")


def test_a_copy_of_a_machine_is_foreign_and_not_deleted(lxd: LxdServer, driver: LxdDriver, prefix: str) -> None:
    wanted = small_spec(f"{prefix}vm", product=lxd.product)
    driver.compose(wanted)
    lxd.lxc("copy", wanted.name, f"{prefix}copy")
    assert named(driver, f"{prefix}copy").marker is None
    driver.decompose(wanted.ref)
    driver.decompose(wanted.ref)
    assert lxd.instances(prefix) == {("default", f"{prefix}copy")}


def test_an_adopted_machine_keeps_its_earlier_volumes(lxd: LxdServer, driver: LxdDriver, prefix: str) -> None:
    lxd.make_many(prefix, "default", range(1))
    lxd.lxc("storage", "volume", "create", POOL, f"{prefix}data", "--type=block", "size=64MiB")
    disk = ("disk", f"pool={POOL}", f"source={prefix}data")
    lxd.lxc("config", "device", "add", f"{prefix}0", "data", *disk)
    found = named(driver, f"{prefix}0")
    marker = OwnershipMarker(installation_id=INSTALLATION, machine_id=uuid4())
    adopted = driver.adopt(found.guest_id, found.name, marker)
    assert [disk.volume for disk in adopted.disks] == [None, f"{prefix}data"]
    driver.decompose(GuestRef(name=found.name, marker=marker), ((POOL, f"{prefix}data"),))
    assert lxd.instances(prefix) == set()
    assert (POOL, f"{prefix}data") in lxd.volumes()


def test_containers_are_counted_and_never_adopted(lxd: LxdServer, driver: LxdDriver, prefix: str) -> None:
    lxd.lxc("init", f"{prefix}box", "--empty", "-c", "limits.cpu=2", "-c", "limits.memory=256MiB")
    found = named(driver, f"{prefix}box")
    assert (found.kind, found.cores, found.memory_mib, found.marker) == ("container", 2, 256, None)
    with pytest.raises(Unsupported, match="container"):
        driver.adopt(found.guest_id, found.name, OwnershipMarker(installation_id=INSTALLATION, machine_id=uuid4()))


def test_a_frozen_machine_is_paused_and_can_be_switched(lxd: LxdServer, driver: LxdDriver, prefix: str) -> None:
    wanted = small_spec(f"{prefix}vm", product=lxd.product)
    driver.compose(wanted)
    driver.power(wanted.ref, PowerAction.ON, grace_s=1)
    lxd.lxc("pause", wanted.name)
    assert named(driver, wanted.name).power is PowerState.PAUSED
    assert driver.power(wanted.ref, PowerAction.ON, grace_s=1) is PowerState.ON
    lxd.lxc("pause", wanted.name)
    assert driver.power(wanted.ref, PowerAction.OFF, grace_s=1) is PowerState.OFF


def test_errors_contain_lxds_reason(lxd: LxdServer, driver: LxdDriver, prefix: str) -> None:
    wanted = evolve(small_spec(f"{prefix}vm", (POOL,) * 2, product=lxd.product), name="not_a_name")
    before = lxd.volumes()
    with pytest.raises(DriverFailed, match="name"):
        driver.compose(wanted)
    assert lxd.volumes() == before


def test_a_missing_project_rejects_machines(lxd: LxdServer, trusted: KeyPair, prefix: str) -> None:
    driver = opened(lxd, trusted, "ikt-nowhere")
    with pytest.raises(NotFound, match="ikt-nowhere"):
        driver.compose(small_spec(f"{prefix}vm", product=lxd.product))
    driver.close()


async def test_a_watch_survives_a_restart_and_resyncs(lxd: LxdServer, driver: LxdDriver, prefix: str) -> None:
    seen: list[GuestChange] = []
    stop = await asyncio.to_thread(driver.watch, seen.append)
    await asyncio.to_thread(lxd.kill)
    await eventually(lambda: [one.event for one in seen] == [GuestEvent.RESYNC])  # the loss is reported
    await asyncio.to_thread(lxd.start)
    await eventually(lambda: [one.event for one in seen[:2]] == [GuestEvent.RESYNC] * 2)
    await asyncio.to_thread(lxd.make_many, prefix, "default", range(1))
    await eventually(lambda: any(one.guest_name == f"{prefix}0" for one in seen))
    await asyncio.to_thread(stop)


def test_an_unresponsive_server_is_unreachable_in_time(lxd: LxdServer, trusted: KeyPair) -> None:
    access = lxd.access(trusted)
    assert access.pinned is not None
    context = tls.context(pinned_pem=access.pinned, certificate_pem=trusted.certificate_pem, key_pem=trusted.key_pem)
    client = Client(
        parse(access.address), context, access.pinned, closing=threading.Event(), large_body=threading.Lock(),
        read_s=5.0,  # an idle server answers within milliseconds
    )  # fmt: skip
    assert client.server()["auth"] == "trusted"
    with lxd.hanging(), pytest.raises(InnkeeperError, match="did not respond in time") as slow:
        client.server()
    assert isinstance(slow.value, HostUnreachable)
    assert client.server()["auth"] == "trusted"
    client.close()
