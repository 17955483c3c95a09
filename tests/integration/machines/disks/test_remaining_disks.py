"""Disks that stay when their machine is deleted: plan, operation, event and kept disks agree."""

from __future__ import annotations

import json
from typing import Any

from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_changed_disks import events
from tests.integration.support.adoption import adopt, volumes
from tests.integration.support.tables import sql

KEPT = "Disks that Innkeeper did not create with their VM stay on sim with their content, as kept disks: default/"


async def adopted(innkeeper: Deployment) -> tuple[Any, str, str]:
    """Returns a host, and the path and the volume of an adopted machine there."""
    host = await innkeeper.add_simulated(guests=1, cores=8)
    ((_, volume, _),) = volumes(innkeeper)
    await adopt(innkeeper, host, guests="foreign-0001")
    (machine,) = await innkeeper.get("machines/")
    return host, f"machines/{machine['system_id']}/", volume


async def result_of_deletion(innkeeper: Deployment) -> Any:
    (deletion,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "delete"]
    return deletion["result"]


async def test_the_disk_of_an_adopted_machine_is_kept_as_planned(innkeeper: Deployment) -> None:
    _, path, volume = await adopted(innkeeper)
    plan = (await innkeeper.delete(path, dry_run="true")).json()
    assert plan["deleted"][0]["volumes"] == []
    assert plan["effects"][1:] == [f"{KEPT}{volume}."]
    await innkeeper.delete(path)
    assert [name for _, name, _ in volumes(innkeeper)] == [volume]
    (kept,) = await innkeeper.get("kept-disks/")
    assert (kept["volume"], kept["hostname"], kept["owner"]) == (volume, "foreign-0001", "admin")
    assert (await result_of_deletion(innkeeper))["disks_that_stay"] == [f"default/{volume}"]
    assert (await events(innkeeper, "machine_deleted"))[0].endswith(f"; these disks stay there: default/{volume}")


async def test_a_kept_disk_of_an_adopted_machine_is_deleted_by_request(innkeeper: Deployment) -> None:
    _, path, _ = await adopted(innkeeper)
    await innkeeper.delete(path)
    (kept,) = await innkeeper.get("kept-disks/")
    await innkeeper.delete(f"kept-disks/{kept['id']}/")
    assert (volumes(innkeeper), await innkeeper.get("kept-disks/")) == ([], [])


async def test_a_forgotten_machine_is_shown_with_its_disks(innkeeper: Deployment) -> None:
    _, path, volume = await adopted(innkeeper)
    plan = await innkeeper.post(path, op="forget", dry_run="true")
    assert [one["name"] for one in plan["kept"][0]["volumes"]] == [volume]


async def test_a_disk_outside_the_storage_pools_is_named(innkeeper: Deployment) -> None:
    _, path, volume = await adopted(innkeeper)
    (guest,) = await sql(innkeeper, "select id, disks::text as disks from guest")
    listed = [*json.loads(guest["disks"]), {"device": "vdx", "size_bytes": 5, "pool_id": None, "volume": None}]
    await sql(innkeeper, "update guest set disks = $2::text::jsonb where id = $1", guest["id"], json.dumps(listed))
    plan = (await innkeeper.delete(path, dry_run="true")).json()
    assert plan["effects"][1:] == [
        "Foreign disks stay on sim as they are, and Innkeeper no longer shows them: vdx (in no storage pool).",
        f"{KEPT}{volume}.",
    ]
    await innkeeper.delete(path)
    assert (await result_of_deletion(innkeeper))["disks_that_stay"] == [f"default/{volume}", "vdx (in no storage pool)"]


async def test_the_removal_of_a_host_says_which_disks_stay(innkeeper: Deployment) -> None:
    host, _, volume = await adopted(innkeeper)
    plan = (
        await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true", destroy_adopted="true", dry_run="true")
    ).json()
    assert (plan["deleted"][0]["volumes"], plan["effects"]) == ([], [f"{KEPT}{volume}."])


async def test_a_release_that_deletes_says_which_disks_stay(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated()
    machine = await innkeeper.post("machines/", op="allocate", storage="root:8,data:5")
    path = f"machines/{machine['system_id']}/"
    await innkeeper.post(path, op="remove_disk", disk="sdb", keep="true")
    other = await innkeeper.post("machines/", op="allocate")
    (kept,) = await innkeeper.get("kept-disks/")
    await innkeeper.post(f"machines/{other['system_id']}/", op="attach_disk", kept_disk=kept["id"])
    plan = await innkeeper.post(f"machines/{other['system_id']}/", op="release", dry_run="true")
    assert f"{KEPT}{kept['volume']}." in plan["effects"]
    assert kept["volume"] not in [one["name"] for one in plan["deleted"][0]["volumes"]]
