"""Volumes of ours that no instance has, in whatever project of a real LXD they are, and whoever may go there."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from common.discovery import VolumeRef
from common.marks import volume_name
from common.values import Mark
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.opening import LxdOpening
from tests.lab.key_pair import KeyPair, make_key_pair
from tests.lab.lxd_server import LxdServer

POOL = "default"


@pytest.fixture
def mark() -> Mark:
    return Mark(installation_id=uuid4(), machine_id=uuid4())


@pytest.fixture
def own_project(lxd: LxdServer) -> Iterator[str]:
    """One that has volumes of its own."""
    name = f"ikvol-{uuid4().hex[:6]}"
    lxd.lxc("project", "create", name, "-c", "features.images=false", "-c", "features.storage.volumes=true")
    yield name
    lxd.lxc("project", "delete", name)


def make(lxd: LxdServer, mark: Mark, index: int, project: str) -> str:
    name = volume_name(mark, index)
    lxd.lxc("storage", "volume", "create", POOL, name, "--type=block", "size=16MiB", "--project", project)
    return name


def told(driver: LxdDriver, mark: Mark) -> list[tuple[str, str]]:
    return sorted((one.project, one.name) for one in driver.discover().unused_volumes if one.mark == mark)


def remove(driver: LxdDriver, mark: Mark) -> None:
    found = [one for one in driver.discover().unused_volumes if one.mark == mark]
    refs = [VolumeRef(pool_id=one.pool_id, name=one.name, project=one.project) for one in found]
    driver.remove_volumes(mark, refs)


def test_volumes_of_every_project_are_told_with_it_and_removed_there(
    lxd: LxdServer, trusted: KeyPair, mark: Mark, own_project: str
) -> None:
    names = [(project, make(lxd, mark, index, project)) for index, project in enumerate(("default", own_project))]
    driver = LxdOpening().open(lxd.access(trusted))
    assert told(driver, mark) == names
    remove(driver, mark)
    assert told(driver, mark) == []
    driver.close()


def test_a_pair_that_is_restricted_to_a_project_removes_the_volumes_that_it_was_shown(
    lxd: LxdServer, mark: Mark, own_project: str
) -> None:
    pair = make_key_pair(f"ikvol-{uuid4().hex[:6]}")
    with lxd.trusting(pair, "--restricted", "--projects", own_project):
        make(lxd, mark, 0, own_project)
        other = make(lxd, mark, 1, "default")
        driver = LxdOpening().open(lxd.access(pair, project=own_project))
        assert told(driver, mark) == [(own_project, volume_name(mark, 0))]
        remove(driver, mark)
        assert told(driver, mark) == []
        driver.close()
    lxd.lxc("storage", "volume", "delete", POOL, other)  # is there still
