"""Orphaned volumes: deleted automatically if their compose did not succeed, otherwise only after approval."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from common.disks.volume_names import volume_name
from common.errors import InnkeeperError
from common.units import BYTES_PER_GB
from common.values import OwnershipMarker
from regiond.reconciler.service import Reconciler
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.discrepancies import kinds, kinds_after_refresh, only, only_after_refresh, row_of
from tests.integration.support.tables import sql
from tests.support.waiting import eventually


async def marker_of(innkeeper: Deployment, machine: UUID | None = None) -> OwnershipMarker:
    (row,) = await sql(innkeeper, "select id from installation")
    return OwnershipMarker(installation_id=row["id"], machine_id=machine or uuid4())


def put_volume(innkeeper: Deployment, marker: OwnershipMarker, *, pool: str = "default", host: str = "sim") -> str:
    """Creates a volume without a guest, as a rack that is killed during a compose does. Returns its name."""
    name = volume_name(marker, 0)
    innkeeper.simulated(host).add_volume(name, marker, pool=pool)
    return name


def volumes(innkeeper: Deployment, host: str = "sim") -> list[str]:
    return innkeeper.simulated(host).volume_names()


async def sweep_twice(innkeeper: Deployment) -> list[str]:
    """Sweeps twice; returns what the sweeps repaired."""
    reconciler = Reconciler(innkeeper.region.components.database, every_s=0.0)
    return [one.repaired or "" for _ in range(2) for one in await reconciler.sweep()]


async def delete(innkeeper: Deployment, machine: Any) -> None:
    await innkeeper.delete(f"machines/{machine['system_id']}/")


async def cancelled_compose(innkeeper: Deployment, host: Any, hostname: str) -> OwnershipMarker:
    """Composes a machine and cancels that before it has a guest. Returns the machine's marker."""
    before = len(volumes(innkeeper))
    with innkeeper.held("define guest"):
        operation = await innkeeper.begin_compose(host["id"], hostname=hostname)
        await eventually(lambda: len(volumes(innkeeper)) > before)
        (machine,) = await sql(innkeeper, "select uuid from machine where hostname = $1", hostname)
        await innkeeper.post(f"operations/{operation}/", op="cancel")
    assert await innkeeper.ended(operation) == "cancelled"
    return await marker_of(innkeeper, machine["uuid"])


async def test_only_the_volume_of_a_failed_compose_is_deleted(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    other = await innkeeper.compose(host["id"], hostname="other")
    before = volumes(innkeeper)
    marker = await cancelled_compose(innkeeper, host, "old")
    assert volumes(innkeeper) == before
    name = put_volume(innkeeper, marker)
    found = await only_after_refresh(innkeeper, host)
    assert (found["kind"], found["name"], found["repair_policy"]) == ("orphaned_volume", name, "automatic")
    assert f"{BYTES_PER_GB} bytes in storage pool default; it was created for old, whose compose" in found["found"]

    (repaired,) = await sweep_twice(innkeeper)
    assert "deletes it" in repaired
    await eventually(lambda: volumes(innkeeper) == before)

    async def reported() -> bool:
        return (await innkeeper.region.components.services.events.list())[0].kind == "orphaned_volume_removed"

    await eventually(reported)
    assert await kinds(innkeeper) == []
    assert innkeeper.simulated_guests() == ["other"]
    assert (await innkeeper.get(f"machines/{other['system_id']}/"))["status_name"] == "Ready"


async def test_a_volume_that_may_be_restored_waits_for_approval(innkeeper: Deployment) -> None:
    """A person puts the disks back before the guest."""
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="old")
    marker = await marker_of(innkeeper, (await row_of(innkeeper, machine))["uuid"])
    await delete(innkeeper, machine)
    name = put_volume(innkeeper, marker)
    found = await only_after_refresh(innkeeper, host)
    assert (found["name"], found["repair_policy"], found["data_at_risk"]) == (name, "approval", True)
    assert "was created for old, which was deleted, but it may have been restored since" in found["found"]
    assert await sweep_twice(innkeeper) == []
    assert volumes(innkeeper) == [name]
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    await eventually(lambda: volumes(innkeeper) == [])


async def test_a_copied_volume_of_a_deleted_machine_needs_approval(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(pools="default:100,backup:100")
    far = await innkeeper.add_simulated("far")
    machine = await innkeeper.compose(host["id"], hostname="old")
    marker = await marker_of(innkeeper, (await row_of(innkeeper, machine))["uuid"])
    await delete(innkeeper, machine)
    put_volume(innkeeper, marker, pool="backup")
    put_volume(innkeeper, marker, host="far")
    await refresh(innkeeper, host)
    await refresh(innkeeper, far)
    found = await innkeeper.get("discrepancies/")
    assert [(one["repair_policy"], one["data_at_risk"]) for one in found] == [("approval", True)] * 2
    assert await sweep_twice(innkeeper) == []


async def test_a_volume_that_another_guest_may_have_used_needs_approval(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    shared = await innkeeper.compose(host["id"], hostname="shared")
    later = await innkeeper.compose(host["id"], hostname="later")
    uuids = dict(await sql(innkeeper, "select hostname, uuid from machine"))
    name = volume_name(await marker_of(innkeeper, uuids["shared"]), 0)
    rows(innkeeper, "insert into disk select guest_id, 7, 'default', ?, null from guest where name like 'f%'", name)
    await refresh(innkeeper, host)
    for machine in (shared, later):
        await delete(innkeeper, machine)
    assert name in volumes(innkeeper)  # another guest uses it
    await sql(innkeeper, "update tombstone set recorded_at = now() - interval '20 minutes' where hostname = 'later'")
    await refresh(innkeeper, host)
    rows(innkeeper, "delete from disk where position = 7")
    put_volume(innkeeper, await marker_of(innkeeper, uuids["later"]))
    await refresh(innkeeper, host)
    found = {one["found"].partition(";")[2]: one["repair_policy"] for one in await innkeeper.get("discrepancies/")}
    assert found == {
        " it is named after shared, which was deleted, but was not created here for it": "approval",
        " it was created for later, which was deleted, but another guest may have used it since": "approval",
    }
    assert await sweep_twice(innkeeper) == []


async def test_a_disk_that_another_host_shows_too_is_not_offered(innkeeper: Deployment) -> None:
    """Two libvirt hosts have the same folder of an NFS server as a storage pool."""
    host = await innkeeper.add_simulated()
    far = await innkeeper.add_simulated("far")
    name = put_volume(innkeeper, await marker_of(innkeeper), host="far")
    offered = await only_after_refresh(innkeeper, far)
    assert offered["repair_policy"] == "approval"

    await innkeeper.compose(host["id"], hostname="vm")
    await sql(innkeeper, "update machine_disk set volume = $1", name)  # recorded after the approval was shown
    fields = {"etag": offered["etag"], "found": offered["found"]}
    with pytest.raises(InnkeeperError, match="has its name"):
        await innkeeper.post(f"discrepancies/{offered['id']}/", op="approve", **fields)
    for taken_by, change in [
        ("a disk of vm on sim", "select"),
        ("a disk of vm on sim", "update machine_disk set second_volume = volume, second_storage_pool_id = "
         "storage_pool_id, volume = 'other'"),
        ("a kept disk of sim", "with kept as (insert into kept_disk (host_id, storage_pool_id, volume, size_bytes, "
         "hostname) select m.host_id, d.storage_pool_id, d.second_volume, 1, 'vm' from machine_disk d join machine m "
         "on m.id = d.machine_id) update machine_disk set second_volume = null, second_storage_pool_id = null"),
        ("a disk of vm on sim", "with kept as (delete from kept_disk returning volume) "
         "update guest set disks = jsonb_build_array(jsonb_build_object('volume', volume)) from kept"),
    ]:  # fmt: skip
        await sql(innkeeper, change)
        found = await only(innkeeper, "orphaned_volume")
        assert (found["name"], found["repair_policy"]) == (name, "none"), change
        assert f"but {taken_by} has its name" in found["found"]
    assert await sweep_twice(innkeeper) == []
    assert name in volumes(innkeeper, "far")
    assert await sql(innkeeper, "select 1 from operation where kind = 'clean_up'") == []


async def test_a_shared_disk_of_a_failed_compose_is_not_deleted(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    far = await innkeeper.add_simulated("far", guests=1)
    name = put_volume(innkeeper, await cancelled_compose(innkeeper, host, "old"))
    rows(innkeeper, "insert into disk select guest_id, 7, 'default', ?, null from guest", name, name="far")
    await refresh(innkeeper, far)
    found = await only_after_refresh(innkeeper, host)
    assert (found["name"], found["repair_policy"]) == (name, "none")
    assert await sweep_twice(innkeeper) == []
    assert name in volumes(innkeeper)
    rows(innkeeper, "delete from disk where position = 7", name="far")
    await refresh(innkeeper, far)
    assert (await only(innkeeper))["repair_policy"] == "automatic"


async def test_only_own_volumes_without_a_pending_operation_are_recorded(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    put_volume(innkeeper, OwnershipMarker(installation_id=uuid4(), machine_id=uuid4()))  # of another installation
    assert await kinds_after_refresh(innkeeper, host) == []
    name = put_volume(innkeeper, await marker_of(innkeeper))
    found = await only_after_refresh(innkeeper, host)
    assert (found["name"], found["repair_policy"], found["data_at_risk"]) == (name, "approval", True)
    assert "not in the ledger" in found["found"]
    (before,) = await sql(innkeeper, "select xmin, * from orphaned_volume")
    await refresh(innkeeper, host)
    assert await sql(innkeeper, "select xmin, * from orphaned_volume") == [before]
    assert (await only(innkeeper))["id"] == found["id"]
    assert await sweep_twice(innkeeper) == []
    assert name in volumes(innkeeper)


async def test_a_detached_volume_of_a_machine_is_reported_until_attached(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="vm", storage="root:10,data:5")
    name = volume_name(await marker_of(innkeeper, (await row_of(innkeeper, machine))["uuid"]), 1)
    (disk,) = rows(innkeeper, "select * from disk where volume = ?", name)
    rows(innkeeper, "delete from disk where volume = ?", name)
    found = await only_after_refresh(innkeeper, host, "orphaned_volume")
    assert (found["name"], found["repair_policy"], found["system_id"]) == (name, "none", machine["system_id"])
    assert await sweep_twice(innkeeper) == []
    assert name in volumes(innkeeper)
    rows(innkeeper, "insert into disk values (?, ?, ?, ?, ?)", *disk)
    assert await kinds_after_refresh(innkeeper, host) == []


async def test_volumes_of_a_missing_machine_are_not_reported_separately(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="vm")
    rows(innkeeper, "delete from disk")
    rows(innkeeper, "delete from guest")
    assert await kinds_after_refresh(innkeeper, host) == ["machine_missing"]
    assert len(await sql(innkeeper, "select * from orphaned_volume")) == 1
    await delete(innkeeper, machine)
    assert volumes(innkeeper) == []
    await refresh(innkeeper, host)
    assert (await kinds(innkeeper), await sql(innkeeper, "select * from orphaned_volume")) == ([], [])


async def test_volumes_of_a_running_compose_are_not_reported(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("define guest"):
        operation = await innkeeper.begin_compose(host["id"], hostname="vm")
        await eventually(lambda: len(volumes(innkeeper)) == 1)
        other = await innkeeper.add_simulated("sim2")
        assert other["id"] != host["id"]
        assert await kinds(innkeeper) == []
    assert await innkeeper.ended(operation) == "succeeded"
    assert innkeeper.simulated_guests() == ["vm"]
    assert await kinds_after_refresh(innkeeper, host) == []
