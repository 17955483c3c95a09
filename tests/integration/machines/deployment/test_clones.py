"""Machines that are like another one, with copies of its disks, which stays as it is."""

from __future__ import annotations

import asyncio
import json
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest

from rackd.drivers.simulated.fault_injection import Call
from tests.deployment.deployment import Deployment
from tests.integration.machines.deployment.test_deployments import reaches
from tests.integration.machines.deployment.test_rebuild import deployed
from tests.integration.machines.disks.test_disk_changes import GB, events, path
from tests.integration.machines.disks.test_disk_moves import claimed, write
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.users import as_user
from tests.support.rejections import outcomes, rejection
from tests.support.waiting import eventually


async def composed(innkeeper: Deployment, name: str = "web", *, pools: str = "local:100,nvme:50", **fields: Any) -> Any:
    if "sim" not in innkeeper.hosts:
        await innkeeper.add_simulated(cores=16, memory_mib=32768, pools=pools)
    asked = {"cores": 2, "memory": 3072, "storage": "root:8,data:5(pool:nvme)", **fields}
    return await innkeeper.compose(innkeeper.hosts["sim"], hostname=name, **asked)


async def clone(innkeeper: Deployment, machine: Any, hostname: str = "copy", **fields: Any) -> Any:
    made = await innkeeper.post(path(machine), op="clone", hostname=hostname, **fields)
    return made if fields.get("dry_run") == "true" else await innkeeper.get(path(made))


def written(innkeeper: Deployment) -> int:
    return len(rows(innkeeper, "select 1 from written"))


@pytest.mark.slow
async def test_a_clone_is_like_its_source(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    await innkeeper.post("tags/", name="gold")
    await innkeeper.post("tags/gold/", op="update_nodes", add=source["system_id"])
    write(innkeeper)
    before = await innkeeper.get(path(source))
    made = await clone(innkeeper, source)
    assert (made["hostname"], made["status_name"], made["owner"], made["power_state"]) == (
        "copy",
        "Allocated",
        "admin",
        "off",
    )
    assert (made["cpu_count"], made["memory"]) == (2, 3072)
    assert [(one["size"] // GB, one["storage_pool_name"]) for one in made["blockdevice_set"]] == [
        (8, "local"),
        (5, "nvme"),
    ]
    assert "gold" in made["tag_names"]
    assert written(innkeeper) == 4
    macs = {one["mac_address"] for machine in (before, made) for one in machine["interface_set"]}
    assert len(macs) == 2
    assert made["hardware_uuid"] != before["hardware_uuid"]
    assert await claimed(innkeeper, made) == {"local": 8, "nvme": 5}
    assert await innkeeper.get(path(source)) == before
    for _ in range(2):
        assert await innkeeper.discrepancies() == []
        await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert "copy was composed on sim with copies of the disks of web" in await events(innkeeper, "machine_composed")


async def test_a_clone_of_an_owned_machine_belongs_to_the_caller(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    await innkeeper.post("machines/", op="allocate", name="web")
    made = await clone(innkeeper, source)
    assert (made["status_name"], made["owner"]) == ("Allocated", "admin")
    await innkeeper.post(path(made), op="release")
    assert (await innkeeper.get(path(made)))["status_name"] == "Ready"


@pytest.mark.slow
async def test_a_clone_of_a_deployed_machine_is_deployed_and_off(innkeeper: Deployment) -> None:
    source = await deployed(innkeeper)
    await innkeeper.post(path(source), op="power_off")
    before = innkeeper.simulated().user_data_of("vm")
    made = await clone(innkeeper, source)
    assert (made["status_name"], made["owner"], made["power_state"]) == ("Deployed", "admin", "off")
    assert (made["osystem"], made["distro_series"]) == ("ubuntu", "noble")
    (meta_data, user_data, network) = rows(
        innkeeper, "select meta_data, user_data, network_config from deployment join guest using (guest_id)"
        " where name = 'copy'",
    )[0]  # fmt: skip
    about = json.loads(meta_data)
    assert about["instance-id"] == f"{made['hardware_uuid']}-copy"
    assert about["local-hostname"].startswith("copy.")
    parts = [part.get_content() for part in message_from_bytes(user_data, policy=default).iter_attachments()]
    assert "phone_home" not in str(parts)
    assert "innkeeper-machine-id" in str(parts)
    (ethernet,) = json.loads(network)["ethernets"].values()
    assert ethernet["match"]["macaddress"] == made["interface_set"][0]["mac_address"]
    assert ethernet["dhcp-identifier"] == "mac"
    assert innkeeper.simulated().user_data_of("vm") == before
    await innkeeper.post(path(made), op="power_on")
    await innkeeper.post(path(made), op="release")
    await reaches(innkeeper, made["system_id"], "Ready")
    assert (await innkeeper.get(path(source)))["status_name"] == "Deployed"


@pytest.mark.parametrize("call", ["find source of clone", "copy content of guest", "define guest"])
async def test_nothing_acts_on_the_source_while_it_is_copied(innkeeper: Deployment, call: Call) -> None:
    source = await composed(innkeeper)
    write(innkeeper)
    with innkeeper.simulated().hold(call):
        cloning = asyncio.create_task(clone(innkeeper, source))
        await eventually(lambda: innkeeper.simulated().is_holding())
        (held,) = await innkeeper.fetch("select id from operation where is_open")
        assert (
            await outcomes(
                [
                    innkeeper.post(path(source), op="power_on"),
                    innkeeper.post(path(source), op="add_disk", size=1),
                    innkeeper.delete(path(source)),
                ]
            )
            == [_being_copied(held["id"])] * 3
        )
        assert await innkeeper.fetch("select id from operation where is_open") == [held]
        assert (await innkeeper.get(path(source)))["status_name"] == "Ready"
    made = await cloning
    assert written(innkeeper) == 4
    await innkeeper.post(path(source), op="power_on")
    await innkeeper.delete(path(source))
    assert written(innkeeper) == 2
    assert (await innkeeper.get(path(made)))["status_name"] == "Allocated"


def _being_copied(operation: int) -> str:
    return (
        f"409: The disks of web are being copied to a new machine (operation {operation}). Try again when that has "
        f"ended, or cancel it: innkeeper operation cancel {operation}"
    )


async def test_several_machines_copy_one_source_at_once(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    write(innkeeper)
    found = await outcomes([clone(innkeeper, source, f"copy-{number}") for number in range(4)])
    assert found == ["done"] * 4
    assert written(innkeeper) == 10
    assert await innkeeper.discrepancies() == []


async def test_a_running_source_says_what_would_help(innkeeper: Deployment) -> None:
    source = await composed(innkeeper, power_on="true")
    for dry_run in ("true", "false"):
        error = await rejection(clone(innkeeper, source, dry_run=dry_run))
        assert error.details["status"] == 409
        assert str(error) == (
            "web is on: its disks are copied while its system cannot write to them. Shut it down first: "
            f"innkeeper machine power-off {source['system_id']}"
        )


async def test_a_dry_run_of_a_clone_changes_nothing(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    before = await innkeeper.fetch("select count(*) from operation")
    plan = await clone(innkeeper, source, dry_run="true")
    assert plan["chosen"] == "sim"
    assert [disk["storage_pool"] for disk in plan["disks"]] == ["local", "nvme"]
    assert await innkeeper.fetch("select count(*) from operation") == before
    assert len(await innkeeper.get("machines/")) == 1


async def test_clones_are_never_more_than_the_host_has(innkeeper: Deployment) -> None:
    source = await composed(innkeeper, pools="local:100,nvme:16")
    found = await outcomes([clone(innkeeper, source, f"copy-{number}") for number in range(4)])
    assert sorted(one.partition(":")[0] for one in found) == ["503", "503", "done", "done"]
    (pool,) = await innkeeper.fetch("select claimed_bytes from storage_pool where name = 'nvme'")
    assert pool["claimed_bytes"] == 15 * GB


async def test_a_clone_counts_for_the_quota(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    await innkeeper.post("quotas/", pool="default", storage=20)
    error = await rejection(clone(innkeeper, source))
    assert "quota" in str(error)
    assert len(await innkeeper.get("machines/")) == 1


async def test_another_storage_pool_takes_all_disks(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    made = await clone(innkeeper, source, storage_pool="nvme")
    assert {one["storage_pool_name"] for one in made["blockdevice_set"]} == {"nvme"}
    assert await claimed(innkeeper, made) == {"nvme": 13}
    (refused,) = await outcomes([clone(innkeeper, source, "other", storage_pool="none")])
    assert "needs the storage pool none, the host has local, nvme" in refused


async def test_only_who_may_change_a_machine_clones_it(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    await innkeeper.post("machines/", op="allocate", name="web")
    user = await as_user(innkeeper, "alice")
    (refused,) = await outcomes([clone(user, source)])
    assert refused == "403: You do not own web."
    await innkeeper.post(path(source), op="release")
    (refused,) = await outcomes([clone(user, source)])
    assert refused.startswith("403: web is stock")
    assert (await clone(innkeeper, source))["status_name"] == "Allocated"


@pytest.mark.slow
async def test_a_locked_machine_can_be_cloned_and_its_clone_is_not_locked(innkeeper: Deployment) -> None:
    source = await deployed(innkeeper)
    await innkeeper.post(path(source), op="power_off")
    await innkeeper.post(path(source), op="lock")
    made = await clone(innkeeper, source)
    assert (made["status_name"], made["locked"]) == ("Deployed", False)


async def test_a_static_address_is_given_anew(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    nic = (await innkeeper.get(path(source)))["interface_set"][0]
    (subnet, *_) = [one for one in await innkeeper.get("subnets/") if one["vlan"]["id"] == nic["vlan"]["id"]]
    await innkeeper.post(
        f"nodes/{source['system_id']}/interfaces/{nic['id']}/", op="link_subnet", mode="STATIC", subnet=subnet["id"],
        force="true",
    )  # fmt: skip
    (own,) = (await innkeeper.get(path(source)))["ip_addresses"]
    first, second = await clone(innkeeper, source), await clone(innkeeper, source, "copy-2")
    found = {own, *first["ip_addresses"], *second["ip_addresses"]}
    assert len(found) == 3
    assert [one["interface_set"][0]["links"][0]["mode"] for one in (first, second)] == ["static", "static"]


async def test_a_virtual_function_is_claimed_anew_or_refused(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=16, memory_mib=32768, virtual_functions="1x2")
    source = await composed(innkeeper, pools="", storage="8", interfaces="eth0:type=physical")
    made = await clone(innkeeper, source)
    (nics,) = await innkeeper.fetch("select array_agg(distinct kind) as kinds from machine_nic")
    assert nics["kinds"] == ["sriov"]
    (refused,) = await outcomes([clone(innkeeper, source, "third")])
    assert "needs 1 virtual function for eth0" in refused
    await innkeeper.delete(path(made))
    await clone(innkeeper, source, "third")


@pytest.mark.parametrize(
    "call",
    [
        "copy content of guest",
        "define guest",
        pytest.param("set boot order", marks=pytest.mark.slow),  # a short call: the refresh waits until it is given up
    ],
)
async def test_a_cancelled_clone_leaves_nothing(innkeeper: Deployment, call: Call) -> None:
    source = await composed(innkeeper)
    write(innkeeper)
    before = rows(innkeeper, "select pool, name from volume order by 1, 2")
    with innkeeper.simulated().hold(call):
        cloning = asyncio.create_task(clone(innkeeper, source))
        await eventually(lambda: innkeeper.simulated().is_holding())
        (operation,) = await innkeeper.fetch("select id from operation where is_open")
        await innkeeper.cancel(operation["id"])
    await asyncio.gather(cloning, return_exceptions=True)
    await innkeeper.ended(operation["id"])
    assert rows(innkeeper, "select pool, name from volume order by 1, 2") == before
    assert written(innkeeper) == 2
    assert await innkeeper.discrepancies() == []
    await innkeeper.post(path(source), op="power_on")


@pytest.mark.slow
async def test_a_source_that_was_started_meanwhile_is_copied_again(innkeeper: Deployment) -> None:
    """Started on its host, beside Innkeeper: the copies may lack what it has written."""
    source = await composed(innkeeper)
    write(innkeeper)
    with innkeeper.simulated().hold("copy content of guest"):
        cloning = asyncio.create_task(clone(innkeeper, source))
        await eventually(lambda: innkeeper.simulated().is_holding())
        (guest_id,) = rows(innkeeper, "select guest_id from guest where name = 'web'")[0]
        rows(
            innkeeper,
            f"insert into change (event, guest_name, guest_id) values ('power', 'web', '{guest_id}')",  # noqa: S608
        )
    await cloning
    (attempts,) = await innkeeper.fetch("select attempt from operation order by id desc limit 1")
    assert attempts["attempt"] == 2
    assert written(innkeeper) == 4


@pytest.mark.parametrize(
    "call",
    [
        "copy content of guest",
        "define guest",
        pytest.param("set boot order", marks=pytest.mark.slow),  # a short call: the refresh waits until it is given up
    ],
)
async def test_no_refresh_and_no_repair_removes_a_copy_meanwhile(innkeeper: Deployment, call: Call) -> None:
    source = await composed(innkeeper)
    write(innkeeper)
    with innkeeper.simulated().hold(call):
        cloning = asyncio.create_task(clone(innkeeper, source))
        await eventually(lambda: innkeeper.simulated().is_holding())
        before = rows(innkeeper, "select pool, name from volume order by 1, 2")
        await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
        for _ in range(2):
            await innkeeper.region.components.services.reconciler.sweep()
        assert await innkeeper.discrepancies() == []
        assert rows(innkeeper, "select pool, name from volume order by 1, 2") == before
    await cloning
    assert written(innkeeper) == 4


async def test_nics_and_boot_disk_of_a_clone_are_marked_as_those_of_its_source(innkeeper: Deployment) -> None:
    source = await composed(innkeeper)
    (nic,) = (await innkeeper.get(path(source)))["interface_set"]
    await innkeeper.post(f"nodes/{source['system_id']}/interfaces/{nic['id']}/", op="add_tag", tag="uplink")
    await innkeeper.send("POST", f"nodes/{source['system_id']}/blockdevices/sdb/", op="set_boot_disk")
    made = await clone(innkeeper, source)
    assert made["interface_set"][0]["tags"] == ["uplink"]
    assert made["boot_disk"]["name"] == "sdb"
    await refresh(innkeeper, {"id": innkeeper.hosts["sim"]})
    assert (await innkeeper.get(path(made)))["boot_disk"]["name"] == "sdb"
