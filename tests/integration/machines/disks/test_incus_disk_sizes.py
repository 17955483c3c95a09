"""On an Incus host, disks have the size that Incus makes: the ledger never claims less than a disk takes."""

from __future__ import annotations

import pytest

from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.images.test_exports import export
from tests.integration.support.rigs.lxd_hosts import add
from tests.integration.support.tables import rows
from tests.support.rejections import rejection

GB, BLOCK = 10**9, 8192
WHOLE_4_GB = 4_000_006_144


@pytest.fixture
def incus(lxds: FakeLxds) -> FakeLxd:
    server = FakeLxd(name="lxd1", product="Incus", reports={"product": "Incus"})
    lxds.add(server)
    return server


@pytest.mark.slow
async def test_new_and_grown_disks_are_whole_and_claimed_so(innkeeper: Deployment, incus: FakeLxd) -> None:
    host = await add(innkeeper, password=incus.token())
    assert host["product"] == "Incus"
    machine = await innkeeper.compose(host["id"], hostname="web", storage="root:4,data:1")
    path = f"machines/{machine['system_id']}/"
    await innkeeper.post(path, op="add_disk", size="3")
    await innkeeper.post(path, op="grow_disk", disk="sdb", size="2")
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    sizes = [disk["size"] for disk in (await innkeeper.get(path))["blockdevice_set"]]
    assert sizes[0] == WHOLE_4_GB
    assert [(size % BLOCK, size // GB) for size in sizes] == [(0, 4), (0, 2), (0, 3)]
    claimed = await rows(innkeeper, "select sum(amount)::bigint as n from claim where resource = 'storage_bytes'")
    assert claimed == [(sum(sizes),)]
    assert await innkeeper.own_discrepancies() == []


@pytest.mark.slow
async def test_disks_on_lxd_have_the_size_that_was_asked_for(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    machine = await innkeeper.compose(host["id"], hostname="web", storage="root:4")
    shown = await innkeeper.get(f"machines/{machine['system_id']}/")
    assert [disk["size"] for disk in shown["blockdevice_set"]] == [4 * GB]


@pytest.mark.slow
async def test_a_file_with_disks_of_other_sizes_is_imported(
    innkeeper: Deployment, incus: FakeLxd, lxds: FakeLxds
) -> None:
    """Incus makes its disks a little larger than those of the file."""
    lxds.add(lxd := FakeLxd(name="lxd2"))
    host = await add(innkeeper, "lxd2", name="hv2", password=lxd.token())
    made = await innkeeper.compose(host["id"], hostname="web", storage="root:10,data:5")
    file = await export(innkeeper, await innkeeper.get(f"machines/{made['system_id']}/"))
    assert [disk["size"] for disk in file["description"]["disks"]] == [10 * GB, 5 * GB]
    host = await add(innkeeper, password=incus.token())
    operation = await innkeeper.begin(f"vm-hosts/{host['id']}/", op="import", export=file["id"], hostname="copy")
    ended = await innkeeper.ended(operation)
    assert (ended, (await innkeeper.get(f"operations/{operation}/"))["error"]) == ("succeeded", None)
    (new,) = [one for one in await innkeeper.get("machines/") if one["hostname"] == "copy"]
    sizes = [disk["size"] for disk in new["blockdevice_set"]]
    assert [(size % BLOCK, size // GB, size > whole * GB) for size, whole in zip(sizes, (10, 5), strict=True)] == [
        (0, 10, True), (0, 5, True),
    ]  # fmt: skip
    assert await innkeeper.own_discrepancies() == []


@pytest.mark.slow
async def test_disks_of_whole_gb_fill_a_quota_of_whole_gb(innkeeper: Deployment, incus: FakeLxd) -> None:
    """New machines and disks, larger ones and those of bulk operations are charged with what their host makes."""
    host = await add(innkeeper, password=incus.token())
    await innkeeper.post("quotas/", pool="default", storage="20")
    machine = await innkeeper.compose(host["id"], hostname="web", storage="root:4,data:1")
    path = f"machines/{machine['system_id']}/"
    await innkeeper.post(path, op="add_disk", size="5")
    await innkeeper.post(path, op="grow_disk", disk="data", size="3")
    await innkeeper.compose(host["id"], hostname="db", storage="root:4")
    plan = await innkeeper.post("machines/", op="bulk", action="add_disk", size="2", dry_run="true",
                                machines=[one["system_id"] for one in await innkeeper.get("machines/")])  # fmt: skip
    assert [effect for effect in plan["effects"] if "quota" in effect] == []
    await innkeeper.post(path, op="add_disk", size="4")
    (quota,) = await innkeeper.get("quotas/")
    assert 20 * GB < quota["storage_bytes_used"] < 20 * GB + 5 * BLOCK
    refused = "quota of pool default: 20 GB of storage, 20 GB used, 1"
    for refusal in (
        innkeeper.post(path, op="add_disk", size="1"),
        innkeeper.post(path, op="grow_disk", disk="data", size="4"),
        innkeeper.compose(host["id"], hostname="more", storage="root:1"),
    ):
        assert (await rejection(refusal)).message.startswith(refused)
