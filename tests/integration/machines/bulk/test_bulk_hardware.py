"""`machines/?op=bulk` with disks, NICs and boot orders: the same for many; a refusal stops no other."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InvalidRequest
from tests.deployment.deployment import Deployment
from tests.integration.machines.bulk.test_bulk import bulk, children, ids
from tests.integration.machines.bulk.test_bulk_resize import act, composed
from tests.integration.machines.test_machine_lock import make_deployed
from tests.integration.support.adoption import rows
from tests.integration.support.users import as_user
from tests.support.rejections import rejection

GB = 10**9


async def dry_run(innkeeper: Any, action: str, machines: list[Any], **fields: Any) -> list[str]:
    plan = await innkeeper.post("machines/", op="bulk", action=action, machines=ids(machines), dry_run="true", **fields)
    assert (plan["deleted"], plan["kept"]) == ([], [])
    effects: list[str] = plan["effects"]
    return effects


async def disks(innkeeper: Deployment) -> dict[str, list[float]]:
    """Sizes in GB, by hostname."""
    return {
        one["hostname"]: [disk["size"] / GB for disk in one["blockdevice_set"]]
        for one in await innkeeper.get("machines/")
    }


async def nics(innkeeper: Deployment) -> dict[str, list[str]]:
    return {one["hostname"]: [nic["name"] for nic in one["interface_set"]] for one in await innkeeper.get("machines/")}


async def locked(innkeeper: Deployment, machine: Any) -> None:
    await make_deployed(innkeeper, machine)
    await act(innkeeper, machine, "lock")


@pytest.mark.slow
async def test_each_machine_gets_a_disk_while_there_is_space(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384, storage_gb=60)
    machines = [
        await innkeeper.compose(host["id"], cores=1, memory=1024, hostname=f"vm-{index}", storage="root:8")
        for index in range(4)
    ]
    await locked(innkeeper, machines[1])
    told = await dry_run(innkeeper, "add_disk", machines, size=12, tags="data")
    assert told[0] == (
        "vm-0 gets an empty disk of 12.0 GB in the storage pool default of sim, now. Its space is claimed at once."
    )
    assert told[1].startswith("vm-1 stays as it is: vm-1 is locked")
    assert told[2].startswith("vm-2 gets an empty disk")
    assert told[3].startswith("vm-3 stays as it is: sim cannot give vm-3 the disk: it needs a disk of 12")
    assert told[3].endswith("The machines before it take the rest.")
    assert told[4:] == ["2 machines are given a disk."]
    assert [len(found) for found in (await disks(innkeeper)).values()] == [1, 1, 1, 1]
    operation_id = await bulk(innkeeper, "add_disk", ids(machines), size=12, tags="data", at_once=1)
    assert await innkeeper.ended(operation_id) == "failed"
    assert await children(innkeeper, operation_id) == {
        "vm-0": "succeeded", "vm-1": "failed", "vm-2": "succeeded", "vm-3": "failed"
    }  # fmt: skip
    error = (await innkeeper.get(f"operations/{operation_id}/"))["error"]["message"]
    assert error.startswith("2 of 4 machines were not given a disk. vm-1: vm-1 is locked")
    assert await disks(innkeeper) == {"vm-0": [8, 12], "vm-1": [8], "vm-2": [8, 12], "vm-3": [8]}
    assert await innkeeper.discrepancies() == []


async def test_disks_of_many_machines_count_for_one_quota(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 3)
    ann = await as_user(innkeeper, "ann")
    for machine in machines:
        await ann.post("machines/", op="allocate", system_id=machine["system_id"])
    await innkeeper.post("quotas/", user="ann", storage=3 * 8 + 10)
    told = await dry_run(ann, "add_disk", machines, size=8)
    assert told[0].startswith("vm-0 gets an empty disk of 8.0 GB")
    assert "quota of user ann" in told[1]
    assert "quota of user ann" in told[2]
    assert told[3] == "1 machine is given a disk."
    operation_id = await bulk(ann, "add_disk", ids(machines), size=8, at_once=1)
    assert await innkeeper.ended(operation_id) == "failed"
    assert list((await children(innkeeper, operation_id)).values()).count("succeeded") == 1


@pytest.mark.slow
async def test_many_machines_boot_so_always_or_once(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 3)
    await act(innkeeper, machines[1], "power_on")
    await innkeeper.post(f"machines/{machines[2]['system_id']}/", op="set_boot", order="disk")
    told = await dry_run(innkeeper, "set_boot", machines, order="disk,network")
    assert told[0] == "vm-0 boots from disk, then network first, from its next start on."
    assert told[1].startswith("vm-1 is not disturbed")
    assert told[2:] == ["vm-2 boots from disk, then network first already.", "2 machines are given the boot order."]
    assert await innkeeper.ended(await bulk(innkeeper, "set_boot", ids(machines), order="disk,network")) == "succeeded"
    found = {
        one["hostname"]: one["pending_boot_order"] or one["boot_order"] for one in await innkeeper.get("machines/")
    }
    assert set(map(tuple, found.values())) == {("disk", "network")}
    once = await bulk(innkeeper, "set_boot", ids(machines), order="network", once="true")
    assert await innkeeper.ended(once) == "succeeded"
    assert [one["boot_once"] for one in await innkeeper.get("machines/")] == [["network"]] * 3
    assert rows(innkeeper, "select distinct devices from boot_order where pending is null") == [("disk,network",)]
    lost = await dry_run(innkeeper, "set_boot", machines[:1], order="iso")
    assert lost[0].startswith("vm-0 stays as it is: ")
    assert lost[1] == "0 machines are given the boot order."


@pytest.mark.slow
async def test_many_machines_get_a_nic(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 3)
    await innkeeper.post(f"machines/{machines[2]['system_id']}/", op="add_interface", name="lan")
    await locked(innkeeper, machines[1])
    told = await dry_run(innkeeper, "add_interface", machines)
    assert told[0].startswith("vm-0 gets the NIC eth1 on ")
    assert told[1].startswith("vm-1 stays as it is: vm-1 is locked")
    assert told[2].startswith("vm-2 gets the NIC eth1 on ")
    assert told[3] == "2 machines are given a NIC."
    operation_id = await bulk(innkeeper, "add_interface", ids(machines))
    assert await innkeeper.ended(operation_id) == "failed"
    assert await nics(innkeeper) == {"vm-0": ["eth0", "eth1"], "vm-1": ["eth0"], "vm-2": ["eth0", "lan", "eth1"]}
    named = await dry_run(innkeeper, "add_interface", [machines[0], machines[2]], interfaces="lan:name=default")
    assert named[0].startswith("vm-0 gets the NIC lan on default of sim")
    assert named[1].startswith("vm-2 stays as it is: ")
    assert await innkeeper.discrepancies() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "fields", "field", "message"),
    [
        ("add_disk", {}, "size", "This field is required."),
        ("add_disk", {"size": "0"}, "size", "0.001"),
        ("add_disk", {"size": "5", "tags": "a b"}, "tags", "is not a tag"),
        ("set_boot", {}, "order", "Name what to boot from"),
        ("set_boot", {"order": "floppy"}, "order", "floppy"),
        ("add_interface", {"interfaces": "eth1:ip=10.0.0.7"}, "interfaces", "A static address is for one machine"),
        ("add_interface", {"interfaces": "a:name=x;b:name=y"}, "interfaces", "one NIC at a time"),
        ("add_interface", {"interfaces": "eth1:space=nowhere"}, "interfaces", "nowhere"),
        ("add_interface", {"size": "5"}, "size", "This is for the action add_disk or grow_disk."),
        ("resize", {"cores": "2", "once": "true"}, "once", "This is for the action set_boot."),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
async def test_a_change_that_no_machine_can_have(
    innkeeper: Deployment, action: str, fields: dict[str, Any], field: str, message: str, *, dry: bool
) -> None:
    machines = await composed(innkeeper, 1)
    asked: dict[str, Any] = {**fields, "dry_run": "true"} if dry else fields
    error = await rejection(innkeeper.post("machines/", op="bulk", action=action, machines=ids(machines), **asked))
    assert isinstance(error, InvalidRequest)
    assert (list(error.fields), message in str(error.fields)) == ([field], True)


async def test_an_operator_changes_own_machines_only(innkeeper: Deployment) -> None:
    machines = await composed(innkeeper, 3)
    ann, bob = await as_user(innkeeper, "ann"), await as_user(innkeeper, "bob")
    await ann.post("machines/", op="allocate", system_id=machines[0]["system_id"])
    await bob.post("machines/", op="allocate", system_id=machines[2]["system_id"])
    for action, fields in (("add_disk", {"size": 1}), ("set_boot", {"order": "disk"}), ("add_interface", {})):
        for refused in (bulk(ann, action, ids(machines), **fields), dry_run(ann, action, machines, **fields)):
            error = await rejection(refused)
            assert (error.details["status"], error.message.startswith("Not allowed on vm-1, vm-2. ")) == (403, True)
        assert await innkeeper.ended(await bulk(ann, action, ids(machines[:1]), **fields)) == "succeeded"
