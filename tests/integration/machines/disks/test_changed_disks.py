"""Disks that were changed on the host: what is compared, what claims the space, and what an approval records."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from common.errors import InnkeeperError
from common.units import BYTES_PER_GB
from regiond.reconciler.model import DiscrepancyKind
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.discrepancies import Sweeper, kinds, kinds_after_refresh, only, only_after_refresh
from tests.integration.support.images import add_image
from tests.integration.support.tables import sql
from tests.postgresql.row_versions import versions

MISSING, CHANGED = DiscrepancyKind.VOLUME_MISSING.value, DiscrepancyKind.DISKS_CHANGED.value
GB = BYTES_PER_GB


async def a_machine(innkeeper: Deployment, **options: Any) -> tuple[Any, Any]:
    """Returns a host with one machine, which has disks of 8 and 5 GB, and the machine."""
    host = await innkeeper.add_simulated(**options)
    machine = await innkeeper.compose(host["id"], hostname="vm", storage="root:8,data:5")
    assert await claimed(innkeeper) == [8 * GB + 5 * GB]
    return host, machine


async def claimed(innkeeper: Deployment) -> list[int]:
    """Returns what each storage pool counts as claimed, after checking it against the sum of the claims."""
    assert await innkeeper.ledger_problems() == []
    return [row["claimed_bytes"] for row in await sql(innkeeper, "select claimed_bytes from storage_pool order by id")]


def grow(innkeeper: Deployment, size_bytes: int) -> None:
    rows(innkeeper, "update volume set size_bytes = ? where name like '%-0'", size_bytes)


def lose_volume(innkeeper: Deployment, index: int) -> None:
    """Deletes the volume and leaves the disk, as `virsh vol-delete` does."""
    with closing(sqlite3.connect(innkeeper.simulated().path)) as db, db:  # without the host's foreign keys
        db.execute("delete from volume where name like ?", (f"%-{index}",))


def attach(innkeeper: Deployment, size_bytes: int, volume: str = "extra") -> None:
    rows(innkeeper, "insert into volume values ('default', ?, ?, null, null)", volume, size_bytes)
    rows(innkeeper, "insert into disk select guest_id, 7, 'default', ?, 'x1' from guest", volume)


async def events(innkeeper: Deployment, kind: str) -> list[str]:
    return [event.message for event in await innkeeper.region.components.services.events.list() if event.kind == kind]


@pytest.mark.slow
async def test_a_grown_disk_has_its_new_size_and_is_claimed(innkeeper: Deployment) -> None:
    host, machine = await a_machine(innkeeper)
    grow(innkeeper, 20 * GB)
    assert await kinds_after_refresh(innkeeper, host) == []
    assert await claimed(innkeeper) == [25 * GB]
    assert await events(innkeeper, "machine_disks_changed") == [
        "vm: its disks were changed on sim: they take 25.0 GB in default; the ledger had 13.0 GB in default"
    ]
    shown = await innkeeper.get(f"machines/{machine['system_id']}/")
    assert [disk["size"] for disk in shown["physicalblockdevice_set"]] == [20 * GB, 5 * GB]


async def test_a_disk_that_shrank_waits_for_an_approval(innkeeper: Deployment) -> None:
    host, machine = await a_machine(innkeeper)
    grow(innkeeper, 2 * GB)
    found = await only_after_refresh(innkeeper, host)
    assert (found["kind"], found["repair_policy"], found["system_id"]) == (CHANGED, "approval", machine["system_id"])
    assert (found["found"], await claimed(innkeeper)) == ("disk 0 has 2.0 GB", [7 * GB])
    done = await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    assert done["repaired"] == "disk 0 has 2.0 GB: recorded as its disks"
    shown = await innkeeper.get(f"machines/{machine['system_id']}/")
    assert [disk["size"] for disk in shown["physicalblockdevice_set"]] == [2 * GB, 5 * GB]


async def test_growth_beyond_the_pool_counts_and_stops_new_claims(innkeeper: Deployment) -> None:
    host, _ = await a_machine(innkeeper, storage_gb=30)
    grow(innkeeper, 60 * GB)
    assert await kinds_after_refresh(innkeeper, host) == []
    assert await claimed(innkeeper) == [65 * GB]
    with pytest.raises(InnkeeperError, match=r"0\.0 of 30\.0 GB free in default"):
        await innkeeper.compose(host["id"], storage="root:1")
    grow(innkeeper, 8 * GB)
    assert await kinds_after_refresh(innkeeper, host) == [CHANGED]  # it shrank
    await innkeeper.compose(host["id"], storage="root:10")


async def test_a_detached_disk_is_reported_and_no_longer_claimed(innkeeper: Deployment) -> None:
    host, machine = await a_machine(innkeeper)
    rows(innkeeper, "delete from disk where position = 1")
    found = await only_after_refresh(innkeeper, host, CHANGED)
    assert found["found"].startswith("its guest does not have disk 1 (ik-")
    assert (await claimed(innkeeper), found["data_at_risk"]) == ([8 * GB], True)
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    shown = await innkeeper.get(f"machines/{machine['system_id']}/")
    assert [disk["size"] for disk in shown["physicalblockdevice_set"]] == [8 * GB]


def snapshot_root(innkeeper: Deployment) -> None:
    """Its disk uses another volume from now on, as after `virsh snapshot-create-as --disk-only` of the root disk."""
    rows(innkeeper, "insert into volume select pool, name || '.snap1', size_bytes, null, null from volume "
                    "where name like '%-0'")  # fmt: skip
    rows(innkeeper, "update disk set volume = volume || '.snap1' where volume like '%-0'")


async def test_a_root_disk_on_a_snapshot_is_reported_without_a_repair(innkeeper: Deployment) -> None:
    host, _ = await a_machine(innkeeper)
    snapshot_root(innkeeper)
    found = await only_after_refresh(innkeeper, host, CHANGED)
    assert (found["repair_policy"], found["data_at_risk"]) == ("none", True)
    with pytest.raises(InnkeeperError, match="cannot repair the discrepancy of vm"):
        await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])


@pytest.mark.parametrize("lost", [1, 2])
async def test_without_its_own_root_disk_no_other_is_emptied(innkeeper: Deployment, lost: int) -> None:
    """As the ledger may be after an approval that an earlier build offered."""
    _, machine = await a_machine(innkeeper)
    await add_image(innkeeper)
    path = f"machines/{machine['system_id']}/"
    await innkeeper.post("machines/", op="allocate", name="vm")
    await sql(innkeeper, "update machine_disk set volume = volume || '.snap1' where index < $1", lost)
    requests: tuple[dict[str, Any], ...] = (
        {"op": "deploy", "distro_series": "custom/test"},
        {"op": "release", "erase": "true"},
    )
    for request in requests:
        with pytest.raises(InnkeeperError, match="vm does not have its root disk"):
            await innkeeper.post(path, **request)
    await sql(innkeeper, "insert into deployment (machine_id, operation_id, state, image, osystem, distro_series) "
                         "select id, 0, 'deployed', '{}', 'custom', 'test' from machine")  # fmt: skip
    await sql(innkeeper, "update machine set state = 'deployed'")
    with pytest.raises(InnkeeperError, match="vm does not have its root disk"):
        await innkeeper.post(path, op="release")
    assert {one["kind"] for one in await innkeeper.get("operations/")} == {"refresh", "compose", "allocate"}
    await innkeeper.delete(path)


@pytest.mark.parametrize(("index", "left"), [(0, 5 * GB), (1, 8 * GB)])
async def test_a_vm_without_a_volume_cannot_start_which_is_reported(
    innkeeper: Deployment, index: int, left: int
) -> None:
    host, machine = await a_machine(innkeeper)
    path = f"machines/{machine['system_id']}/"
    lose_volume(innkeeper, index)
    found = await only_after_refresh(innkeeper, host)
    assert (found["kind"], found["repair_policy"], found["data_at_risk"]) == (MISSING, "none", True)
    assert found["found"].startswith("no volume ik-")
    assert found["found"].endswith(f"-{index} in default (vd{'ab'[index]}): it cannot start")
    assert await claimed(innkeeper) == [left]
    (event,) = await events(innkeeper, "machine_volume_missing")
    assert event.startswith("vm: it cannot start, because sim no longer has its volume ik-")
    shown = await innkeeper.get(path)
    assert [disk["missing"] for disk in shown["physicalblockdevice_set"]] == [index == 0, index == 1]
    with pytest.raises(InnkeeperError, match="is not in the storage pool default"):
        await innkeeper.post(path, op="power_on")
    await refresh(innkeeper, host)
    assert len(await events(innkeeper, "machine_volume_missing")) == 1
    assert (await only(innkeeper))["id"] == found["id"]
    await innkeeper.delete(path)
    assert (await kinds(innkeeper), await claimed(innkeeper)) == ([], [0])


async def test_an_unchanged_refresh_of_changed_disks_writes_nothing(innkeeper: Deployment, database_url: str) -> None:
    host, _ = await a_machine(innkeeper)
    grow(innkeeper, 20 * GB)
    attach(innkeeper, 3 * GB)
    lose_volume(innkeeper, 1)
    await refresh(innkeeper, host)
    before = await versions(database_url)
    await refresh(innkeeper, host)
    assert await versions(database_url) == before
    assert await kinds(innkeeper) == [MISSING]


async def test_claims_that_an_earlier_release_left_behind_follow_the_disks(innkeeper: Deployment) -> None:
    host, _ = await a_machine(innkeeper)
    await sql(innkeeper, "update claim set amount = 1 where resource = 'storage_bytes'")
    await sql(innkeeper, "update storage_pool set claimed_bytes = 1")
    assert await kinds_after_refresh(innkeeper, host) == []
    assert await claimed(innkeeper) == [13 * GB]


async def test_repaired_claims_are_those_of_the_disks_that_the_guest_has(innkeeper: Deployment) -> None:
    host, _ = await a_machine(innkeeper)
    grow(innkeeper, 20 * GB)
    await refresh(innkeeper, host)
    await sql(innkeeper, "delete from claim where resource in ('cores', 'storage_bytes')")
    await sql(innkeeper, "update server set cores_claimed = 0")
    await sql(innkeeper, "update storage_pool set claimed_bytes = 0")
    assert await Sweeper(innkeeper).sweep() == []
    assert await Sweeper(innkeeper).sweep() == [DiscrepancyKind.WRONG_CLAIMS.value]
    assert await claimed(innkeeper) == [25 * GB]


async def test_a_running_guest_without_its_volume_is_found_by_any_size(innkeeper: Deployment) -> None:
    """As libvirt reports it: QEMU still knows the size of the file that was deleted."""
    _, machine = await a_machine(innkeeper)
    await sql(innkeeper, "update guest set disks = jsonb_set(disks, '{0,missing}', 'true')")
    await sql(innkeeper, "update machine set power_state = 'on'")
    found = await only(innkeeper)
    assert (found["kind"], found["system_id"]) == (MISSING, machine["system_id"])
    assert found["found"].endswith("-0 in default (vda): it runs, but cannot start again")


async def test_disks_in_a_lost_pool_are_no_discrepancy(innkeeper: Deployment) -> None:
    """As libvirt reports the disks when the storage pool was undefined, or is active without a capacity."""
    host, machine = await a_machine(innkeeper)
    await sql(innkeeper, "update storage_pool set missing_since = now()")
    await sql(innkeeper, "update guest set disks = disks - 0")
    assert await kinds(innkeeper) == []
    await refresh(innkeeper, host)
    await sql(innkeeper, "update guest set disks = (select jsonb_agg(d || '{\"pool_id\": null, \"volume\": null}') "
                         "from jsonb_array_elements(disks) d)")  # fmt: skip
    assert await kinds(innkeeper) == [], "the pool is known again, but not yet which disks are in it"
    await sql(innkeeper, "update guest set disks = jsonb_set(disks, '{1,serial}', '\"other\"')")
    found = await only(innkeeper, CHANGED)
    assert found["found"].startswith("its guest does not have disk 1 (")
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    shown = await innkeeper.get(f"machines/{machine['system_id']}/")
    (disk,) = shown["physicalblockdevice_set"]
    assert (disk["size"], await kinds(innkeeper)) == (8 * GB, [])
