"""A VM of real LXD and Incus that is imported again after its deletion stays until a person decides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.guests.guest_spec import GuestSpec
from common.serialization import from_dict
from rackd.drivers.lxd.driver import LxdDriver
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import refresh
from tests.integration.support.discrepancies import Sweeper, kinds_after_refresh, only_after_refresh
from tests.integration.support.tables import sql
from tests.lab.backup.restored_uses import check_restored_uses, restored_uses
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.deployed_host import DeployedHost, add_lxd
from tests.support.waiting import eventually

pytestmark = pytest.mark.every_product

POOL = "default"
_SPEC = "select request->'spec' as spec from operation where kind = 'compose'"


async def compose(innkeeper: Deployment, host: Any, name: str, storage: str) -> tuple[Any, GuestSpec]:
    """Returns the machine, and what the call that composed it asked for."""
    machine = await innkeeper.compose(host["id"], hostname=name, memory=1024, storage=storage)
    ((spec,),) = await sql(innkeeper, _SPEC)
    return machine, from_dict(spec, GuestSpec)


def holds(lxd: LxdServer, prefix: str, volume: str) -> tuple[set[str], bool]:
    """Returns the names of the test's instances, and whether the custom volume exists."""
    return {name for _, name in lxd.instances(prefix)}, (POOL, volume) in lxd.volumes()


async def approve(innkeeper: Deployment, found: Any) -> None:
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])


@pytest.mark.database
async def test_an_imported_vm_is_deleted_after_approval_only(
    lxd: LxdServer, prefix: str, innkeeper: Deployment, tmp_path: Path
) -> None:
    """Its custom volume is imported first."""
    host, sweeper, name = await add_lxd(innkeeper, lxd), Sweeper(innkeeper), f"{prefix}vm"
    machine, spec = await compose(innkeeper, host, name, "root:1,data:1")
    volume, files = spec.disks[1].volume, (str(tmp_path / "vm.tar"), str(tmp_path / "volume.tar"))

    async def client(*arguments: str) -> None:
        await asyncio.to_thread(lxd.lxc, *arguments)

    await client("export", name, files[0], "--compression", "none")
    await client("storage", "volume", "export", POOL, volume, files[1], "--compression", "none")
    identity = lxd.ask(f"/1.0/instances/{name}")["config"]["volatile.uuid"]
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    assert holds(lxd, prefix, volume) == (set(), False)

    await client("storage", "volume", "import", POOL, files[1], volume)
    found = await only_after_refresh(innkeeper, host)
    assert (found["kind"], found["name"], found["repair_policy"]) == ("orphaned_volume", volume, "approval")
    assert [await sweeper.sweep() for _ in range(3)] == [[], [], []]
    await client("import", files[0])
    assert lxd.ask(f"/1.0/instances/{name}")["config"]["volatile.uuid"] == identity

    found = await only_after_refresh(innkeeper, host)
    assert (found["kind"], found["name"], found["repair_policy"]) == ("leftover_guest", name, "approval")
    await refresh(innkeeper, host)
    assert [await sweeper.sweep() for _ in range(3)] == [[], [], []]
    assert await sql(innkeeper, "select 1 from operation where kind = 'clean_up'") == []
    assert holds(lxd, prefix, volume) == ({name}, True)

    await approve(innkeeper, found)
    await eventually(lambda: holds(lxd, prefix, volume) == (set(), False))
    assert await kinds_after_refresh(innkeeper, host) == []


async def test_what_a_late_call_creates_is_deleted_at_once(
    lxd: LxdServer, driver: LxdDriver, prefix: str, innkeeper: Deployment
) -> None:
    host, name = await add_lxd(innkeeper, lxd), f"{prefix}late"
    machine, spec = await compose(innkeeper, host, name, "root:1,data:1")
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    await asyncio.to_thread(driver.compose, spec)
    assert holds(lxd, prefix, spec.disks[1].volume) == ({name}, True)
    await refresh(innkeeper, host)
    await eventually(lambda: holds(lxd, prefix, spec.disks[1].volume) == (set(), False))


async def test_nobody_gets_a_vm_that_was_used_since_the_backup(
    lxd: LxdServer, prefix: str, deployment: Deployment
) -> None:
    await deployment.start()
    host = DeployedHost(
        deployment=deployment, host_id=(await add_lxd(deployment, lxd, cpu_over_commit_ratio=10))["id"], prefix=prefix
    )
    await check_restored_uses(await restored_uses(host, lambda name: lxd.folder_of(name) / "root.img"))
