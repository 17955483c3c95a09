"""`machines/?op=bulk` with the disk or NIC that has one name on each machine: grown, moved, removed, attached anew."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InvalidRequest
from tests.deployment.deployment import Deployment
from tests.integration.machines.bulk.test_bulk import bulk, children, ids
from tests.integration.machines.bulk.test_bulk_hardware import GB, disks, dry_run, nics
from tests.integration.pages.machines.test_web_bulk_hardware import done
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.pages.machines.test_web_resizes import ask
from tests.integration.support.users import as_user
from tests.integration.support.web_client import WebClient
from tests.support.rejections import rejection

__all__ = ["client"]

DATA = "root:8,data:10"


async def composed(innkeeper: Deployment, *storage: str, pools: str = "default:100", **host: Any) -> list[Any]:
    """Machines vm-0, vm-1 … of one host, with storage pools of so many GB."""
    made = await innkeeper.add_simulated(cores=8, memory_mib=16384, pools=pools, **host)
    return [
        await innkeeper.compose(made["id"], cores=1, memory=1024, hostname=f"vm-{index}", storage=one)
        for index, one in enumerate(storage)
    ]


async def outcome(innkeeper: Deployment, action: str, machines: list[Any], **fields: Any) -> tuple[str, Any]:
    operation_id = await bulk(innkeeper, action, ids(machines), at_once=1, **fields)
    return await innkeeper.ended(operation_id), await children(innkeeper, operation_id)


@pytest.mark.slow
async def test_the_disk_of_each_grows_while_there_is_space(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, DATA, "root:8", DATA, DATA)
    told = await dry_run(innkeeper, "grow_disk", machines, disk="data", size=24)
    assert "24.0 GB" in told[0]
    assert told[1] == "vm-1 stays as it is: vm-1 has no disk data; it has root."
    assert "24.0 GB" in told[2]
    assert told[3] == (
        "vm-3 stays as it is: default of sim has 10.0 GB left; 14.0 GB more asked. "
        "The machines before it take the rest."
    )
    assert told[4:] == ["2 machines are given a larger disk."]
    state, parts = await outcome(innkeeper, "grow_disk", machines, disk="data", size=24)
    assert (state, parts) == (
        "failed", {"vm-0": "succeeded", "vm-1": "failed", "vm-2": "succeeded", "vm-3": "failed"}
    )  # fmt: skip
    assert await disks(innkeeper) == {"vm-0": [8, 24], "vm-1": [8], "vm-2": [8, 24], "vm-3": [8, 10]}
    assert await innkeeper.discrepancies() == []


async def test_growth_of_many_counts_for_one_quota(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, DATA, DATA)
    ann = await as_user(innkeeper, "ann")
    for machine in machines:
        await ann.post("machines/", op="allocate", system_id=machine["system_id"])
    await innkeeper.post("quotas/", user="ann", storage=2 * 18 + 6)
    told = await dry_run(ann, "grow_disk", machines, disk="data", size=15)
    assert told[0].startswith("data of vm-0")
    assert "quota" in told[1]


@pytest.mark.slow
async def test_the_disk_of_each_is_removed_or_kept(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, DATA, DATA)
    assert await outcome(innkeeper, "remove_disk", machines[:1], disk="data") == ("succeeded", {"vm-0": "succeeded"})
    assert await outcome(innkeeper, "remove_disk", machines[1:], disk="sdb", keep="true") == (
        "succeeded", {"vm-1": "succeeded"}
    )  # fmt: skip
    assert await disks(innkeeper) == {"vm-0": [8], "vm-1": [8]}
    assert [(one["hostname"], one["size"]) for one in await innkeeper.get("kept-disks/")] == [("vm-1", 10 * GB)]


async def test_the_disk_of_each_moves(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, DATA, DATA, pools="default:100,fast:12")
    told = await dry_run(innkeeper, "move_disk", machines, disk="data", pool="fast")
    assert "fast" in told[0]
    assert "fast of sim has 2.0 GB left; 10.0 GB more asked." in told[1]
    assert (await outcome(innkeeper, "move_disk", machines, disk="data", pool="fast"))[1] == {
        "vm-0": "succeeded", "vm-1": "failed"
    }  # fmt: skip


@pytest.mark.slow
async def test_the_nic_of_each_is_changed_and_removed(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, DATA, DATA, virtual_functions="1x4")
    assert (await outcome(innkeeper, "add_interface", machines))[0] == "succeeded"
    told = await dry_run(innkeeper, "change_interface", machines, interface="eth1", interfaces="any:name=sim0")
    assert told[-1] == "2 machines are given another network."
    state, _ = await outcome(innkeeper, "change_interface", machines, interface="eth1", interfaces="any:name=sim0")
    assert state == "succeeded"
    assert (await outcome(innkeeper, "remove_interface", machines, interface="eth1"))[0] == "succeeded"
    assert set(map(tuple, (await nics(innkeeper)).values())) == {("eth0",)}
    told = await dry_run(innkeeper, "remove_interface", machines, interface="eth1")
    assert told[0] == "vm-0 stays as it is: vm-0 has no NIC eth1; it has eth0."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "missing"),
    [
        ("grow_disk", {"disk", "size"}),
        ("move_disk", {"disk", "pool"}),
        ("remove_disk", {"disk"}),
        ("change_interface", {"interface", "interfaces"}),
        ("remove_interface", {"interface"}),
    ],
)
async def test_each_needs_its_fields(innkeeper: Deployment, action: str, missing: set[str]) -> None:
    machines = await composed(innkeeper, DATA)
    error = await rejection(bulk(innkeeper, action, ids(machines)))
    assert isinstance(error, InvalidRequest)
    assert set(error.fields) == missing


@pytest.mark.slow
async def test_a_disk_is_named_by_its_label(innkeeper: Deployment) -> None:
    (machine,) = await composed(innkeeper, DATA)
    await innkeeper.post(f"machines/{machine['system_id']}/", op="grow_disk", disk="data", size=12)
    assert await disks(innkeeper) == {"vm-0": [8, 12]}


@pytest.mark.slow
async def test_many_vms_change_on_the_page(innkeeper: Deployment, client: WebClient) -> None:
    vms = ids(await composed(innkeeper, DATA, DATA))
    missing = await ask(client, vms, "grow", confirmed="yes", size="12")
    assert (missing.status, 'id="disk-error"' in missing.text) == (422, True)
    task = await done(innkeeper, client, vms, "grow", disk="data", size="12")
    text = await page(client, task)
    assert ("Grow a disk of 2 VMs" in text, "12 GB" in text) == (True, True)


@pytest.mark.slow
async def test_many_vms_lose_a_disk_once_their_number_is_typed(innkeeper: Deployment, client: WebClient) -> None:
    vms = ids(await composed(innkeeper, DATA, DATA))
    refused = await ask(client, vms, "remove_disk", confirmed="yes", disk="data", typed="3")
    shown = await ask(client, vms, "remove_disk", confirmed="yes", disk="data", plan=refused.hidden["plan"], typed="3")
    assert (shown.status, "Type 2 to confirm." in shown.text) == (422, True)
    task = await done(innkeeper, client, vms, "remove_disk", disk="data", typed="2")
    assert await disks(innkeeper) == {"vm-0": [8], "vm-1": [8]}
    assert "deleted" in await page(client, task)
