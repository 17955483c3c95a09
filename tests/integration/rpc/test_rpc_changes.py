"""RPC clients change disks, NICs and boot orders of machines."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import IdempotencyMismatch, InvalidRequest, NotAllowed, NotFound, OutOfCapacity, WrongState
from tests.deployment.deployment import Deployment
from tests.integration.audit.test_audit_api import trail
from tests.integration.machines.disks.test_disk_changes import composed, path, sizes
from tests.integration.machines.test_machine_lock import make_deployed
from tests.integration.rpc.test_rpc_misuse import client_of

GB = 10**9


async def names(innkeeper: Deployment, machine: Any) -> list[str]:
    return [nic["name"] for nic in (await innkeeper.get(path(machine)))["interface_set"]]


@pytest.mark.slow
async def test_a_client_adds_grows_and_removes_disks(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    vm = machine["system_id"]
    async with client_of(innkeeper) as region:
        await region.wait((await region.add_disk(vm, size_gb=5, tags=["data"])).id)
        await region.wait((await region.grow_disk(vm, "sdb", size_gb=7)).id)
        assert await sizes(innkeeper, machine) == [("sda", 8 * GB), ("sdb", 7 * GB)]
        with pytest.raises(InvalidRequest, match="can only grow"):
            await region.grow_disk(vm, "sdb", size_gb=6)
        with pytest.raises(OutOfCapacity, match="cannot give web the disk"):
            await region.add_disk(vm, size_gb=10**6)
        with pytest.raises(NotFound, match="web has no disk sdz; it has root"):
            await region.remove_disk(vm, "sdz", keep=False)
        with pytest.raises(WrongState, match="first disk"):
            await region.remove_disk(vm, "sda", keep=True)
        (disk,) = [one for one in (await innkeeper.get(path(machine)))["blockdevice_set"] if one["name"] == "sdb"]
        done = await region.wait((await region.remove_disk(vm, disk["id"], keep=True)).id)
        assert done.result["kept"] is True
    assert await sizes(innkeeper, machine) == [("sda", 8 * GB)]
    assert [one["size"] for one in await innkeeper.get("kept-disks/")] == [7 * GB]
    (entry,) = await trail(innkeeper, action="client.add_disk", result="ok")
    assert entry["object"] == f"machines/{vm}"
    assert {"size_bytes": str(5 * GB)}.items() <= entry["fields"].items()


async def test_a_repeated_request_with_its_key_adds_one_disk_or_nic(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    vm = machine["system_id"]
    async with client_of(innkeeper) as region:
        first = await region.wait((await region.add_disk(vm, size_gb=5, idempotency_key="d")).id)
        assert (await region.add_disk(vm, size_gb=5, idempotency_key="d")).id == first.id
        with pytest.raises(IdempotencyMismatch):
            await region.add_disk(vm, size_gb=6, idempotency_key="d")
        with pytest.raises(InvalidRequest, match="idempotency_key"):
            await region.add_interface(vm, idempotency_key="")
        nic = await region.wait((await region.add_interface(vm, idempotency_key="n")).id)
        assert (await region.add_interface(vm, idempotency_key="n")).id == nic.id
    assert len(await sizes(innkeeper, machine)) == 2
    assert await names(innkeeper, machine) == ["eth0", "eth1"]


@pytest.mark.slow
async def test_a_client_adds_changes_and_removes_nics(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    vm = machine["system_id"]
    async with client_of(innkeeper) as region:
        added = await region.wait((await region.add_interface(vm, name="lan", tags=["up"])).id)
        assert added.result["name"] == "lan"
        mac = "52:54:00:00:00:20"
        changed = await region.wait((await region.change_interface(vm, "lan", mac_address=mac)).id)
        assert changed.result == {"name": "lan", "mac_address": mac}
        with pytest.raises(InvalidRequest, match="Name the network"):
            await region.change_interface(vm, "lan")
        with pytest.raises(NotFound, match="interface of web"):
            await region.remove_interface(vm, "wan")
        await region.wait((await region.remove_interface(vm, "lan")).id)
    assert await names(innkeeper, machine) == ["eth0"]


async def test_a_client_sets_the_boot_order_of_unlocked_machines(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    vm = machine["system_id"]
    async with client_of(innkeeper) as region:
        await region.wait((await region.set_boot(vm, ["disk"])).id)
        await region.wait((await region.set_boot(vm, ["network"], once=True)).id)
        found = await innkeeper.get(path(machine))
        assert (found["boot_order"], found["boot_once"]) == (["disk", "network"], ["network"])
        with pytest.raises(InvalidRequest, match="floppy"):
            await region.set_boot(vm, ["floppy"])
        await make_deployed(innkeeper, machine)
        await innkeeper.post(path(machine), op="lock")
        with pytest.raises(NotAllowed, match="is locked"):
            await region.set_boot(vm, ["disk"])


async def test_a_client_composes_from_a_template(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    async with client_of(innkeeper) as region:
        like = await region.wait((await region.compose(template="web", hostname="like")).id)
        large = await region.wait((await region.compose(template=machine["system_id"], cores=3, storage="root:9")).id)
        with pytest.raises(NotFound, match="no machine 'nothing' to copy"):
            await region.compose(template="nothing")
    found = [await innkeeper.get(f"machines/{one.result['system_id']}/") for one in (like, large)]
    assert [(one["cpu_count"], one["memory"]) for one in found] == [(1, 1024), (3, 1024)]
    assert await sizes(innkeeper, found[1]) == [("sda", 9 * GB)]
