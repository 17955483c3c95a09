"""Orphaned volumes in all projects of a real LXD server, with full and restricted certificates."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from common.disks.volume_names import volume_name
from common.hosts.discovery import VolumeRef
from common.values import OwnershipMarker
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair, make_key_pair

POOL = "default"


@pytest.fixture
def marker() -> OwnershipMarker:
    return OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())


@pytest.fixture
def own_project(lxd: LxdServer) -> Iterator[str]:
    """A project with separate volumes."""
    name = f"ikvol-{uuid4().hex[:6]}"
    lxd.lxc("project", "create", name, "-c", "features.images=false", "-c", "features.storage.volumes=true")
    yield name
    lxd.lxc("project", "delete", name)


def make(lxd: LxdServer, marker: OwnershipMarker, index: int, project: str) -> str:
    name = volume_name(marker, index)
    lxd.lxc("storage", "volume", "create", POOL, name, "--type=block", "size=16MiB", "--project", project)
    return name


def orphaned(driver: LxdDriver, marker: OwnershipMarker) -> list[tuple[str, str]]:
    return sorted((one.project, one.name) for one in driver.discover().orphaned_volumes if one.marker == marker)


def remove(driver: LxdDriver, marker: OwnershipMarker) -> None:
    found = [one for one in driver.discover().orphaned_volumes if one.marker == marker]
    refs = [VolumeRef(pool_id=one.pool_id, name=one.name, project=one.project) for one in found]
    driver.remove_volumes(marker, refs)


def test_orphaned_volumes_of_every_project_are_removed(
    lxd: LxdServer, trusted: KeyPair, marker: OwnershipMarker, own_project: str
) -> None:
    names = [(project, make(lxd, marker, index, project)) for index, project in enumerate(("default", own_project))]
    driver = LxdDriverFactory().open(lxd.access(trusted))
    assert orphaned(driver, marker) == names
    remove(driver, marker)
    assert orphaned(driver, marker) == []
    driver.close()


def test_a_restricted_pair_removes_visible_volumes(lxd: LxdServer, marker: OwnershipMarker, own_project: str) -> None:
    pair = make_key_pair(f"ikvol-{uuid4().hex[:6]}")
    with lxd.trusting(pair, "--restricted", "--projects", own_project):
        make(lxd, marker, 0, own_project)
        other = make(lxd, marker, 1, "default")
        driver = LxdDriverFactory().open(lxd.access(pair, project=own_project))
        assert orphaned(driver, marker) == [(own_project, volume_name(marker, 0))]
        remove(driver, marker)
        assert orphaned(driver, marker) == []
        driver.close()
    lxd.lxc("storage", "volume", "delete", POOL, other)  # it was not removed
