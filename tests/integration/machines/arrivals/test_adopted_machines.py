"""Adopted machines are Deployed as found: they have an owner, are not allocated, and their release is confirmed."""

from __future__ import annotations

from typing import Any

from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import ASYNC, adopt, guests, kinds_of_events, reached, refresh, rows
from tests.integration.support.images import add_image
from tests.integration.support.tables import rows as sql
from tests.integration.support.users import as_user
from tests.support.rejections import invalid_fields, rejected_status, rejection

CONFIRMED: Any = {"release_adopted": "true"}


async def adopted_machine(innkeeper: Deployment, **fields: Any) -> Any:
    """A running guest, `foreign-0001`, that was adopted."""
    host = await innkeeper.add_simulated(guests=2)
    (adopted,) = await adopt(innkeeper, host, guests="foreign-0001", **fields)
    return await innkeeper.get(f"machines/{adopted['system_id']}/")


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def standing(innkeeper: Deployment, machine: Any) -> tuple[str, str | None, str]:
    found = await innkeeper.get(path(machine))
    return found["status_name"], found["owner"], found["power_state"]


async def test_an_adopted_machine_is_deployed_and_its_adopters(innkeeper: Deployment) -> None:
    machine = await adopted_machine(innkeeper)
    assert (machine["status_name"], machine["owner"], machine["power_state"]) == ("Deployed", "admin", "on")
    assert machine["netboot"] is False
    messages = [event.message for event in await innkeeper.region.components.services.events.list()]
    assert any("was adopted as foreign-0001 and belongs to admin" in message for message in messages)


async def test_an_allocation_does_not_get_an_adopted_machine(innkeeper: Deployment) -> None:
    machine = await adopted_machine(innkeeper)
    ann = await as_user(innkeeper, "ann")
    assert await rejected_status(ann.post("machines/", op="allocate", system_id=machine["system_id"])) == 409
    other = await ann.post("machines/", op="allocate", cpu_count=1, mem=1024)
    assert other["system_id"] != machine["system_id"]
    assert await standing(innkeeper, machine) == ("Deployed", "admin", "on")


async def test_a_released_adopted_machine_is_of_administrators(innkeeper: Deployment) -> None:
    machine = await adopted_machine(innkeeper)
    await innkeeper.post(path(machine), op="release", **CONFIRMED)
    assert await standing(innkeeper, machine) == ("Ready", None, "off")
    ann = await as_user(innkeeper, "ann")
    other = await ann.post("machines/", op="allocate", cpu_count=1, mem=1024)
    assert other["system_id"] != machine["system_id"]
    refused = await rejection(ann.post("machines/", op="allocate", system_id=machine["system_id"]))
    assert "is in use, and not yours. Ask an administrator" in refused.message
    named = await innkeeper.post("machines/", op="allocate", system_id=machine["system_id"])
    assert (named["status_name"], named["owner"]) == ("Allocated", "admin")
    await innkeeper.post(path(machine), op="release")
    assert (await innkeeper.get(path(machine)))["stock"] is False
    assert await standing(innkeeper, machine) == ("Ready", None, "off")


async def test_a_release_that_is_not_confirmed_stops_nothing(innkeeper: Deployment) -> None:
    machine = await adopted_machine(innkeeper)
    before = guests(innkeeper)
    for refused in (
        innkeeper.post(path(machine), op="release"),
        innkeeper.post(path(machine), op="release", force="true"),
        innkeeper.post("machines/", op="release", machines=machine["system_id"]),
    ):
        error = await rejection(refused)
        assert error.details["status"] == 409
        assert "release_adopted=true" in error.message
        assert f"machine forget {machine['system_id']}" in error.message
    bulk = await innkeeper.post("machines/", op="bulk", action="release", machines=machine["system_id"])
    assert await innkeeper.ended(bulk["id"]) == "failed"
    assert guests(innkeeper) == before
    assert await standing(innkeeper, machine) == ("Deployed", "admin", "on")


async def test_the_dry_run_of_a_release_says_what_is_stopped(innkeeper: Deployment) -> None:
    machine = await adopted_machine(innkeeper)
    plan = await innkeeper.post(path(machine), op="release", dry_run="true")
    assert (plan["confirm"], plan["confirmed_with"], plan["deleted"]) == ("name", ["release_adopted"], [])
    assert "It is running: its release shuts foreign-0001 down" in plan["effects"][0]
    assert await standing(innkeeper, machine) == ("Deployed", "admin", "on")
    bulk: Any = {"op": "bulk", "action": "release", "machines": machine["system_id"], "dry_run": "true"}
    assert "foreign-0001 stays as it is" in (await innkeeper.post("machines/", **bulk))["effects"][0]


async def test_a_confirmed_release_lets_the_guest_shut_down(innkeeper: Deployment) -> None:
    machine = await adopted_machine(innkeeper)
    await innkeeper.post(path(machine), op="release", **CONFIRMED)
    (operation,) = [one for one in await innkeeper.get("operations/") if one["kind"] == "release"]
    steps = [line["step"] for line in (await innkeeper.get(f"operations/{operation['id']}/"))["log"]]
    assert "shut_down" in steps
    assert "empty_disks" not in " ".join(map(str, steps))


async def test_an_adoption_can_name_the_owner(innkeeper: Deployment) -> None:
    ann = await as_user(innkeeper, "ann")
    machine = await adopted_machine(innkeeper, owner="ann")
    assert machine["owner"] == "ann"
    assert (await ann.post(path(machine), op="power_off"))["status_name"] == "Deployed"
    (host,) = await innkeeper.get("vm-hosts/")
    (second,) = await adopt(innkeeper, host, all="true", owner="ann")
    assert (await ann.get(path(second)))["owner"] == "ann"


async def test_an_owner_must_exist_and_operate_the_pool(innkeeper: Deployment) -> None:
    await as_user(innkeeper, "ann")
    host = await innkeeper.add_simulated(guests=1)
    await innkeeper.post("resourcepools/", name="lab")
    host = await innkeeper.put(f"vm-hosts/{host['id']}/", pool="lab")
    (message,) = (await invalid_fields(adopt(innkeeper, host, all="true", owner="nobody")))["owner"]
    assert message.startswith("There is no active user 'nobody'")
    (message,) = (await invalid_fields(adopt(innkeeper, host, all="true", owner="ann")))["owner"]
    assert "user=ann role=operator" in message
    assert await innkeeper.get("machines/") == []


async def test_adopted_machines_count_for_the_quota_of_their_owner(innkeeper: Deployment) -> None:
    await as_user(innkeeper, "ann")
    host = await innkeeper.add_simulated(guests=2)
    await innkeeper.post("quotas/", user="ann", machines=1)
    error = await rejection(adopt(innkeeper, host, all="true", owner="ann"))
    assert error.message.startswith("quota of user ann: 1 machine, 0 used, 2 asked")
    await adopt(innkeeper, host, guests="foreign-0001", owner="ann")


async def test_a_second_adoption_changes_the_owner_until_a_release(innkeeper: Deployment) -> None:
    await as_user(innkeeper, "ann")
    machine = await adopted_machine(innkeeper)
    (host,) = await innkeeper.get("vm-hosts/")
    await adopt(innkeeper, host, guests="foreign-0001")
    assert (await innkeeper.get(path(machine)))["owner"] == "admin"
    await adopt(innkeeper, host, guests="foreign-0001", owner="ann")
    assert await standing(innkeeper, machine) == ("Deployed", "ann", "on")
    assert "owner_changed" in await kinds_of_events(innkeeper)
    await innkeeper.post(path(machine), op="release", **CONFIRMED)
    fields = await invalid_fields(adopt(innkeeper, host, guests="foreign-0001", owner="ann"))
    assert "get theirs by allocation" in fields["owner"][0]


async def test_a_second_adoption_changes_the_owner_while_the_first_runs(innkeeper: Deployment) -> None:
    ann = await as_user(innkeeper, "ann")
    host = await innkeeper.add_simulated(guests=1)
    with innkeeper.held("add marker"):
        operation = await adopt(innkeeper, host, guests="foreign-0001", headers=ASYNC)
        await reached(innkeeper, operation, "write_marker")
        quota = await innkeeper.post("quotas/", user="ann", machines=0)
        error = await rejection(adopt(innkeeper, host, guests="foreign-0001", owner="ann"))
        assert error.message.startswith("quota of user ann")
        await innkeeper.put(f"quotas/{quota['id']}/", machines=1)
        second = await adopt(innkeeper, host, guests="foreign-0001", owner="ann", headers=ASYNC)
        assert second["id"] == operation["id"]
    await reached(innkeeper, operation, "succeeded")
    assert (await ann.get(path(operation)))["owner"] == "ann"
    assert "owner_changed" in await kinds_of_events(innkeeper)


async def test_an_adopted_machine_that_is_locked_or_being_released_is_not_given(innkeeper: Deployment) -> None:
    await as_user(innkeeper, "ann")
    machine = await adopted_machine(innkeeper)
    (host,) = await innkeeper.get("vm-hosts/")
    await innkeeper.post(path(machine), op="lock")
    changes: tuple[dict[str, Any], ...] = ({"owner": "ann"}, {"hostname": "other"})
    for change in changes:
        assert (await rejection(adopt(innkeeper, host, guests="foreign-0001", **change))).details["status"] == 403
    await innkeeper.post(path(machine), op="unlock")
    with innkeeper.held("power"):
        operation = await innkeeper.begin(path(machine), op="release", **CONFIRMED)
        error = await rejection(adopt(innkeeper, host, guests="foreign-0001", owner="ann"))
        assert (error.details["status"], f"(operation {operation})" in error.message) == (409, True)
    assert (await innkeeper.get(path(machine)))["owner"] != "ann"


async def test_a_stopped_guest_is_deployed_too(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    rows(innkeeper, "update guest set power = 'off'")
    await refresh(innkeeper, host)
    (adopted,) = await adopt(innkeeper, host, all="true")
    assert await standing(innkeeper, adopted) == ("Deployed", "admin", "off")
    error = await rejection(innkeeper.post(path(adopted), op="release"))
    assert error.details["status"] == 409


async def goes_and_returns(innkeeper: Deployment, machine: Any) -> None:
    """The guest loses its marker, so that the machine is missing, and gets it back."""
    (host,) = await innkeeper.get("vm-hosts/")
    rows(innkeeper, "update guest set name = 'elsewhere', machine_id = null where name = 'foreign-0001'")
    await refresh(innkeeper, host)
    assert (await innkeeper.get(path(machine)))["status_name"] == "Missing"
    rows(innkeeper, "update guest set machine_id = ? where name = 'elsewhere'", machine["hardware_uuid"])
    await refresh(innkeeper, host)


async def test_nothing_writes_over_the_root_disk_of_an_adopted_machine(innkeeper: Deployment) -> None:
    """Also without owner, which an aborted rebuild would leave as allocated."""
    machine = await adopted_machine(innkeeper)
    before = guests(innkeeper)
    without_image = await rejection(innkeeper.post(path(machine), op="rebuild"))
    assert "no root disk that Innkeeper created" in without_image.message  # not that there is no image yet
    await add_image(innkeeper, "ubuntu/noble")
    for owner in ("admin", None):
        if owner is None:
            await sql(innkeeper, "update machine set owner_id = null")
        for dry_run in ("false", "true"):
            refused = await rejection(
                innkeeper.post(path(machine), op="rebuild", distro_series="ubuntu/noble", dry_run=dry_run)
            )
            assert refused.details["status"] == 409
            assert "no root disk that Innkeeper created" in refused.message
        assert await standing(innkeeper, machine) == ("Deployed", owner, "on")
    assert guests(innkeeper) == before


async def test_an_adopted_machine_is_deployed_again_after_all(innkeeper: Deployment) -> None:
    """After it was missing, marked broken, or its host was removed."""
    machine = await adopted_machine(innkeeper)
    (host,) = await innkeeper.get("vm-hosts/")
    await goes_and_returns(innkeeper, machine)
    assert (await innkeeper.get(path(machine)))["status_name"] == "Deployed"
    await innkeeper.post(path(machine), op="mark_broken")
    assert (await innkeeper.post(path(machine), op="mark_fixed"))["status_name"] == "Deployed"
    await innkeeper.delete(f"vm-hosts/{host['id']}/")
    await innkeeper.add_simulated(guests=2)
    assert await standing(innkeeper, machine) == ("Deployed", "admin", "on")
    assert (await rejection(innkeeper.post(path(machine), op="release"))).details["status"] == 409


async def test_a_machine_without_known_owner_is_for_administrators(innkeeper: Deployment) -> None:
    machine = await adopted_machine(innkeeper)
    await sql(innkeeper, "update machine set owner_id = null")
    ann = await as_user(innkeeper, "ann")
    await goes_and_returns(innkeeper, machine)
    assert await standing(innkeeper, machine) == ("Deployed", None, "on")
    await innkeeper.post(path(machine), op="mark_broken")
    assert (await innkeeper.post(path(machine), op="mark_fixed"))["status_name"] == "Deployed"
    for op in ("release", "power_off"):
        assert await rejected_status(ann.post(path(machine), op=op, **CONFIRMED if op == "release" else {})) == 403
    assert await rejected_status(ann.post("machines/", op="allocate", system_id=machine["system_id"])) == 409
    (host,) = await innkeeper.get("vm-hosts/")
    await adopt(innkeeper, host, guests="elsewhere", owner="ann")
    assert await standing(innkeeper, machine) == ("Deployed", "ann", "on")
