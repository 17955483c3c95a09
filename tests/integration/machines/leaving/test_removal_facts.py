"""Deletions name what goes along and what stays, and begin only if the host permits them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.removal_facts import RemovalFacts
from common.serialization import to_dict
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.integration.machines.compose.test_deletion_dry_runs import names, plan_of, refused_alike
from tests.integration.machines.deployment.test_release_options import deployed
from tests.integration.machines.disks.test_disk_changes import events
from tests.integration.support.adoption import adopt, guests, refresh, rows
from tests.integration.support.users import own
from tests.support.rejections import rejection
from tests.support.waiting import settle

SETTING = "It has the setting keep. To end that: unset keep."


@pytest.fixture
def host(innkeeper: Deployment) -> Any:
    async def ready() -> Any:
        return await innkeeper.add_simulated(guests=2, cores=8)

    return settle(ready())


async def machine_with(innkeeper: Deployment, host: Any, facts: RemovalFacts) -> Any:
    """Returns an adopted machine whose guest has these facts since the last refresh."""
    await adopt(innkeeper, host, guests="foreign-0001")
    await found_with(innkeeper, host, facts)
    (machine,) = await innkeeper.get("machines/")
    return machine


async def found_with(innkeeper: Deployment, host: Any, facts: RemovalFacts) -> None:
    await set_facts(innkeeper, "foreign-0001", facts, refreshed=False)
    await refresh(innkeeper, host)


async def set_facts(innkeeper: Deployment, guest: str, facts: RemovalFacts, *, refreshed: bool = True) -> None:
    statement = "insert into removal select guest_id, ? from guest where name = ?"
    rows(innkeeper, statement, json.dumps(to_dict(facts)), guest)
    if refreshed:
        (host,) = await innkeeper.get("vm-hosts/")
        await refresh(innkeeper, host)


async def test_a_deletion_names_snapshots_and_saved_memory(innkeeper: Deployment, host: Any) -> None:
    facts = RemovalFacts(snapshots=("before", "after"), saved_memory=True)
    machine = await machine_with(innkeeper, host, facts)
    plan = await plan_of(innkeeper, "DELETE", f"machines/{machine['system_id']}/")
    assert "Snapshots that are deleted with their VM (2): foreign-0001/before, foreign-0001/after." in plan["effects"]
    assert "Saved memory that is deleted with its VM (1): foreign-0001." in plan["effects"]


async def test_a_host_removal_names_snapshots(innkeeper: Deployment, host: Any) -> None:
    await machine_with(innkeeper, host, RemovalFacts(snapshots=("before",)))
    path = f"vm-hosts/{host['id']}/"
    plan = await plan_of(innkeeper, "DELETE", path, decompose="true", destroy_adopted="true")
    assert "Snapshots that are deleted with their VM (1): foreign-0001/before." in plan["effects"]
    kept = await plan_of(innkeeper, "DELETE", path)
    assert not any("Snapshots" in effect for effect in kept["effects"])


async def test_a_disk_that_another_vm_has_stays(innkeeper: Deployment, host: Any) -> None:
    machine = await machine_with(innkeeper, host, RemovalFacts(shared_volumes=("default/foreign-0001",)))
    plan = await plan_of(innkeeper, "DELETE", f"machines/{machine['system_id']}/")
    assert [guest["volumes"] for guest in plan["deleted"]] == [[]]
    assert "Disks that stay, because another VM or image needs them (1): default/foreign-0001." in plan["effects"]


async def test_images_of_snapshots_stay_and_the_event_says_so(innkeeper: Deployment, host: Any) -> None:
    facts = RemovalFacts(layers=("/pool/foreign-0001.before",), shared_volumes=("default/foreign-0001",))
    machine = await machine_with(innkeeper, host, facts)
    path = f"machines/{machine['system_id']}/"
    plan = await plan_of(innkeeper, "DELETE", path)
    stays = "Images on the host that stay, as external snapshots leave them (1): /pool/foreign-0001.before."
    assert stays in plan["effects"]
    await innkeeper.delete(path)
    (message,) = await events(innkeeper, "machine_deleted")
    assert message.endswith("; these disks stay there: default/foreign-0001, /pool/foreign-0001.before")


async def test_a_protected_vm_is_not_touched(innkeeper: Deployment, host: Any) -> None:
    machine = await machine_with(innkeeper, host, RemovalFacts(protection=SETTING))
    before = guests(innkeeper)
    message = await refused_alike(innkeeper, "DELETE", f"machines/{machine['system_id']}/")
    assert SETTING in message
    removal = innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true", destroy_adopted="true")
    assert (await rejection(removal)).message.endswith("No virtual machine was deleted.")
    assert guests(innkeeper) == before


async def test_a_protection_since_the_refresh_is_found(innkeeper: Deployment, host: Any) -> None:
    machine = await machine_with(innkeeper, host, RemovalFacts())
    before = guests(innkeeper)
    rows(innkeeper, "update removal set facts = ?", json.dumps(to_dict(RemovalFacts(protection=SETTING))))
    error = await rejection(innkeeper.delete(f"machines/{machine['system_id']}/"))
    assert SETTING in error.message
    assert guests(innkeeper) == before


async def test_a_vm_that_its_host_deletes_is_not_adopted(innkeeper: Deployment, host: Any) -> None:
    await found_with(innkeeper, host, RemovalFacts(deleted_when_off=True, permanence="keep it"))
    error = await rejection(adopt(innkeeper, host, guests="foreign-0001"))
    assert "its host deletes it, with its disks, as soon as it is powered off. Make it permanent first: keep it" in str(
        error.details
    )
    assert names(await plan_of(innkeeper, "DELETE", f"vm-hosts/{host['id']}/"), "kept") == [
        "foreign-0001",
        "foreign-0002",
    ]


async def test_a_release_names_what_ends_with_the_disk(innkeeper: Deployment) -> None:
    path = f"machines/{await deployed(innkeeper)}/"
    facts = RemovalFacts(snapshots=("before",), snapshots_end_with_root_disk=True, saved_memory=True)
    await set_facts(innkeeper, "vm", facts)
    ends = [
        "Snapshots that are deleted with the content of the root disk (1): vm/before.",
        "Saved memory that ends with the content of the root disk (1): vm.",
    ]
    released = await plan_of(innkeeper, "POST", path, "release")
    rebuilt = await plan_of(innkeeper, "POST", path, "rebuild")
    assert [effect for effect in released["effects"] if effect in ends] == ends
    assert [effect for effect in rebuilt["effects"] if effect in ends] == ends


async def test_a_root_disk_that_the_host_protects_stays(innkeeper: Deployment) -> None:
    path = f"machines/{await deployed(innkeeper)}/"
    await set_facts(innkeeper, "vm", RemovalFacts(root_disk_protection=SETTING))
    assert SETTING in await refused_alike(innkeeper, "POST", path, "release")
    assert SETTING in await refused_alike(innkeeper, "POST", path, "rebuild")
    assert innkeeper.simulated().written_disks_of("vm") == [True, True]
    assert (await innkeeper.get(path))["power_state"] == "on"


async def test_disks_are_not_erased_before_a_deletion_that_fails(innkeeper: Deployment) -> None:
    system_id = await deployed(innkeeper)
    await own(innkeeper, system_id, "admin", by_allocate=True)
    await set_facts(innkeeper, "vm", RemovalFacts(protection=SETTING), refreshed=False)
    await innkeeper.post(f"machines/{system_id}/", op="release", headers=ASYNC, erase="true", secure_erase="true")
    (operation,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "delete"]
    assert await innkeeper.ended(operation["id"]) == "failed"
    assert innkeeper.simulated().written_disks_of("vm") == [True, True]


async def test_a_dry_run_asks_the_host_and_a_protection_that_ended_is_none(innkeeper: Deployment, host: Any) -> None:
    """Without a refresh in between."""
    machine = await machine_with(innkeeper, host, RemovalFacts())
    path, change = f"machines/{machine['system_id']}/", "update removal set facts = ?"
    rows(innkeeper, change, json.dumps(to_dict(RemovalFacts(snapshots=("new",)))))
    plan = await plan_of(innkeeper, "DELETE", path)
    assert "Snapshots that are deleted with their VM (1): foreign-0001/new." in plan["effects"]
    rows(innkeeper, change, json.dumps(to_dict(RemovalFacts(protection=SETTING))))
    assert SETTING in await refused_alike(innkeeper, "DELETE", path)
    rows(innkeeper, change, json.dumps(to_dict(RemovalFacts())))
    await innkeeper.delete(path)
    assert await innkeeper.get("machines/") == []


async def test_a_plan_of_a_host_that_does_not_answer_is_that_of_its_refresh(innkeeper: Deployment, host: Any) -> None:
    machine = await machine_with(innkeeper, host, RemovalFacts(snapshots=("old",)))
    with innkeeper.simulated().down():
        plan = await plan_of(innkeeper, "DELETE", f"machines/{machine['system_id']}/")
    assert "Snapshots that are deleted with their VM (1): foreign-0001/old." in plan["effects"]
