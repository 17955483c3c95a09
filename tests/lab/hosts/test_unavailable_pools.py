"""Storage pools that real hypervisors cannot use: LXD's is Unavailable, libvirt's is inactive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from common.errors import InnkeeperError
from rackd.drivers.contract import Driver
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.deployment.deployment import Deployment
from tests.integration.support.discrepancies import kinds
from tests.lab.servers.host_setup import run
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.servers.needs import LAB_DIR
from tests.lab.support.deployed_host import add_libvirt, add_lxd
from tests.lab.support.key_pair import KeyPair

PREFIX = "ikupl-"


@contextmanager
def unmountable(server: LxdServer, pool: str, source: Path) -> Iterator[None]:
    """The folder of the storage pool is away while LXD starts."""
    away = source.with_name(f"{source.name}.away")
    server.kill()
    run("umount", str(LAB_DIR / f"lxd-{server.member or server.name}" / "storage-pools" / pool))
    source.rename(away)
    server.start()
    try:
        yield
    finally:
        server.kill()
        away.rename(source)
        server.start()


async def pool_of(innkeeper: Deployment, host: Any, name: str) -> Any:
    """The storage pool after a refresh of its host."""
    path = f"vm-hosts/{host['id']}/"
    await innkeeper.post(path, op="refresh")
    found = await innkeeper.get(path)
    assert found["state"] == "ready"
    problems = [one["subject"] for one in found["problems"]]
    pool = next(pool for pool in found["storage_pools"] if pool["name"] == name)
    assert (f"storage pool {name}" in problems) is (pool["status"] != "available")
    return pool


async def test_an_lxd_pool_without_its_folder_is_unavailable(
    server: LxdServer, innkeeper: Deployment, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with server.pool("dir", f"source={source}") as name:
        host = await add_lxd(innkeeper, server)
        fields = {"memory": 1024, "storage": f"1(pool:{name})"}
        machine = await innkeeper.compose(host["id"], hostname=f"{PREFIX}vm", **fields)
        before = await pool_of(innkeeper, host, name)
        assert (before["status"], before["available"] > 0) == ("available", True)
        with unmountable(server, name, source):
            lost = await pool_of(innkeeper, host, name)
            assert (lost["status"], lost["available"], lost["capacity"]["free"]) == ("unavailable", 0, 0)
            assert (lost["total"], lost["used"]) == (before["total"], before["used"])
            with pytest.raises(InnkeeperError, match=f"the storage pool {name} is unavailable"):
                await innkeeper.compose(host["id"], hostname=f"{PREFIX}two", **fields)
            assert await kinds(innkeeper, machine=machine["system_id"]) == []
        assert (await pool_of(innkeeper, host, name))["status"] == "available"
        await innkeeper.delete(f"machines/{machine['system_id']}/")


def test_a_pool_is_unavailable_on_one_member_of_a_cluster(
    lxd_cluster: tuple[LxdServer, ...], cluster_pair: KeyPair, tmp_path: Path
) -> None:
    first, second = lxd_cluster[:2]
    name = f"{PREFIX}{uuid4().hex[:6]}"
    for member in lxd_cluster:
        source = tmp_path / member.name
        source.mkdir()
        first.lxc("storage", "create", name, "dir", f"source={source}", "--target", member.name)
    first.lxc("storage", "create", name, "dir")
    drivers = [LxdDriverFactory().open(evolve(first.access(cluster_pair), member=one.name)) for one in (first, second)]
    try:
        assert [status_of(driver, name) for driver in drivers] == ["available", "available"]
        with unmountable(second, name, tmp_path / second.name):
            assert [status_of(driver, name) for driver in drivers] == ["available", "unavailable"]
        assert [status_of(driver, name) for driver in drivers] == ["available", "available"]
    finally:
        for driver in drivers:
            driver.close()
        first.lxc("storage", "delete", name)


def status_of(driver: Driver, pool: str) -> str:
    return next(one.status for one in driver.discover().facts.storage_pools if one.name == pool)


async def test_a_libvirt_pool_that_is_stopped_is_inactive(lab_host: LabHost, innkeeper: Deployment) -> None:
    host = await add_libvirt(innkeeper, lab_host)
    fields = {"cores": 1, "memory": 1024, "storage": "root:1"}
    machine = await innkeeper.compose(host["id"], hostname=f"{lab_host.prefix}vm", **fields)
    name = lab_host.pool.name()
    before = await pool_of(innkeeper, host, name)
    lab_host.pool.destroy()
    try:
        lost = await pool_of(innkeeper, host, name)
        assert (lost["status"], lost["available"], lost["total"]) == ("inactive", 0, before["total"])
        assert lost["default"] is True
        with pytest.raises(InnkeeperError, match=f"the storage pool {name} is inactive"):
            await innkeeper.compose(host["id"], hostname=f"{lab_host.prefix}two", **fields)
        assert await kinds(innkeeper, machine=machine["system_id"]) == []
    finally:
        lab_host.pool.create()
    assert await pool_of(innkeeper, host, name) == before
