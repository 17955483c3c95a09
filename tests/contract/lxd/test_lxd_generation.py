"""The generation on LXD and Incus, where copies have the config of their source, and several racks write it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from attrs import evolve

from common.guests.guest_spec import GuestSpec
from common.values import Guest
from rackd.drivers.lxd.connection.client import Client, path
from rackd.drivers.lxd.factory import LxdDriverFactory
from rackd.drivers.lxd.inventory.ownership import (
    COMPLETED_KEY,
    GENERATION_KEY,
    MACHINE_KEY,
    REPLACES_KEY,
    incomplete,
    replacement_name,
)
from tests.contract.lxd.test_lxd_restored_backups import restore
from tests.contract.support.driver_fixtures import FIXTURES, CapableFixture, DriverFixture, spec_for
from tests.contract.support.lxd_double_fixture import LxdDoubleFixture
from tests.contract.support.lxd_fixtures import LxdFixture
from tests.contract.support.lxd_prepared_server import client_of
from tests.contract.test_clone_contract import cloned

_DOUBLES = {"lxd-double", "lxd-6-double", "incus-double"}
DOUBLES = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id in _DOUBLES], indirect=True)
SERVERS = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {*_DOUBLES, "lxd", "incus-6"}], indirect=True
)


@pytest.fixture
def client(host: DriverFixture) -> Iterator[Client]:
    opened = client_of(cast("LxdFixture", host).access)
    yield opened
    opened.close()


def used(host: DriverFixture, name: str) -> GuestSpec:
    spec = spec_for(host, name)
    host.driver.compose(spec)
    host.driver.set_generation(spec.ref, 5)
    return spec


def listed(host: DriverFixture, name: str) -> Guest:
    (found,) = [guest for guest in host.driver.discover().guests if guest.name == name]
    return found


@SERVERS
def test_a_copy_by_an_administrator_inherits_no_generation(host: DriverFixture, client: Client) -> None:
    spec, name = used(host, "vm"), f"{host.prefix}copy"
    source = {"type": "copy", "source": spec.name, "instance_only": True}
    client.post("instances", {"name": name, "type": "virtual-machine", "source": source})
    assert client.get(path("instances", name))["config"][GENERATION_KEY] == "5"
    copy = listed(host, name)
    assert (copy.marker, copy.generation) == (None, None)
    marker = spec_for(host, "adopted").marker
    assert host.driver.adopt(copy.guest_id, name, marker) == host.driver.find(evolve(spec.ref, marker=marker))
    assert (listed(host, name).generation, listed(host, spec.name).generation) == (0, 5)


@SERVERS
def test_disowning_removes_the_key_of_the_generation(host: DriverFixture, client: Client) -> None:
    spec = used(host, "vm")
    found = listed(host, spec.name)
    host.driver.disown(found.guest_id, spec.name, spec.marker)
    config = client.get(path("instances", spec.name))["config"]
    assert [key for key in config if key in {GENERATION_KEY, COMPLETED_KEY, MACHINE_KEY}] == []


@SERVERS
def test_the_highest_of_generations_written_at_once_stays(host: DriverFixture) -> None:
    spec = used(host, "raced")
    writers = 4
    at_once = threading.Barrier(writers)

    def write(generation: int) -> None:
        driver = LxdDriverFactory().open(cast("LxdFixture", host).access)
        assert driver.find(spec.ref) is not None
        at_once.wait()
        driver.set_generation(spec.ref, generation)
        driver.close()

    with ThreadPoolExecutor(writers) as racks:
        list(racks.map(write, (8, 9, 7, 6)))
    assert listed(host, spec.name).generation == 9


@DOUBLES
def test_a_clone_has_no_generation_while_it_is_copied(host: DriverFixture) -> None:
    lxd, source = cast("LxdDoubleFixture", host).administrator.lxd, used(host, "source")
    seen: list[str | None] = []
    clone = f"{host.prefix}clone"
    lxd.listeners.append(lambda _: seen.append(lxd.instance(clone, "default").config.get(GENERATION_KEY)))
    cloned(cast("CapableFixture", host), source)
    assert seen
    assert set(seen) == {None}


@DOUBLES
def test_an_interrupted_new_root_disk_keeps_a_later_generation(host: DriverFixture, client: Client) -> None:
    """The guest is created again from the config of its placeholder."""
    spec = used(host, "vm")
    placeholder = replacement_name(spec.marker)
    restore(client, spec.name, placeholder, **{REPLACES_KEY: spec.name})
    client.patch(path("instances", spec.name), {"config": {COMPLETED_KEY: incomplete("attempt")}})
    host.driver.set_generation(spec.ref, 6)
    host.driver.undeploy(spec)
    assert client.find(path("instances", placeholder)) is None
    assert listed(host, spec.name).generation == 6
