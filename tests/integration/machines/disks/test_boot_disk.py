"""The disk from which a machine boots first: chosen in the region, set on the host, or changed there by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import adopt, refresh, rows
from tests.integration.support.images import add_image
from tests.support.rejections import rejected_status, rejection

BOOTS = "select coalesce((select volume from boot_disk), '') from guest"


async def composed(innkeeper: Deployment, **fields: Any) -> Any:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web", storage="root:8,data:5", **fields)
    return await innkeeper.get(path(machine))


def path(machine: Any, disk: str = "") -> str:
    return f"machines/{machine['system_id']}/" if not disk else f"nodes/{machine['system_id']}/blockdevices/{disk}/"


async def choose(innkeeper: Deployment, machine: Any, disk: str) -> str:
    """Returns the answer."""
    return (await innkeeper.send("POST", path(machine, disk), op="set_boot_disk")).body.decode()


async def shown(innkeeper: Deployment, machine: Any) -> str:
    """The name of the boot disk in the machine's JSON."""
    return str((await innkeeper.get(path(machine)))["boot_disk"]["name"])


def on_host(innkeeper: Deployment) -> str:
    """The end of the name of the volume that was chosen on the host; empty: none was."""
    ((volume,),) = rows(innkeeper, BOOTS)
    return str(volume).rpartition("-")[2]


async def kinds(innkeeper: Deployment) -> list[str]:
    return [one["kind"] for one in await innkeeper.get("operations/")]


async def messages(innkeeper: Deployment, kind: str) -> list[str]:
    return [event.message for event in await innkeeper.region.components.services.events.list() if event.kind == kind]


@pytest.mark.slow
async def test_the_chosen_disk_is_set_on_the_host_and_shown(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    assert (machine["boot_disk"]["name"], on_host(innkeeper)) == ("sda", "")
    assert await choose(innkeeper, machine, "sdb") == "OK"
    assert (await shown(innkeeper, machine), on_host(innkeeper)) == ("sdb", "1")
    assert await messages(innkeeper, "boot_disk_set") == ["web boots from data on sim"]
    assert await choose(innkeeper, machine, "sda") == "OK"
    assert (await shown(innkeeper, machine), on_host(innkeeper)) == ("sda", "0")


async def test_the_present_boot_disk_needs_no_operation(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    assert await choose(innkeeper, machine, "sda") == "OK"
    assert "set_boot_disk" not in await kinds(innkeeper)


@pytest.mark.slow
async def test_a_running_machine_boots_from_it_at_its_next_start(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    assert await choose(innkeeper, machine, "sdb") == "OK: web boots from sdb at its next start."
    assert (await shown(innkeeper, machine), on_host(innkeeper)) == ("sdb", "1")
    assert await messages(innkeeper, "boot_disk_set") == ["web boots from data on sim at its next start"]
    assert (await innkeeper.get(path(machine)))["power_state"] == "on"


@pytest.mark.slow
async def test_a_boot_disk_changed_on_the_host_is_shown_and_reported(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    rows(innkeeper, "insert into boot_disk select guest_id, pool, volume from disk where position = 1")
    for _ in range(2):
        await refresh(innkeeper, machine["pod"])
        assert await shown(innkeeper, machine) == "sdb"
    assert await messages(innkeeper, "machine_boot_disk_changed") == [
        "web: its boot disk was changed on sim: it boots from vdb"
    ]
    assert await choose(innkeeper, machine, "sda") == "OK"
    await refresh(innkeeper, machine["pod"])
    assert (await shown(innkeeper, machine), on_host(innkeeper)) == ("sda", "0")


async def test_a_boot_disk_that_the_host_refuses_is_not_shown(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    rows(innkeeper, "delete from disk where position = 1")
    error = await rejection(choose(innkeeper, machine, "sdb"))
    assert (error.details["status"], "has no disk" in error.message) == (404, True)
    assert await shown(innkeeper, machine) == "sda"
    assert "boot disk as before" in str(await innkeeper.get("operations/"))


async def test_an_adopted_guest_has_its_own_boot_disk(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(guests=1)
    rows(innkeeper, "insert into volume values ('default', 'extra', 5000000000, null, null)")
    rows(innkeeper, "insert into disk select guest_id, 1, 'default', 'extra', 'x1' from guest")
    rows(innkeeper, "insert into boot_disk select guest_id, 'default', 'extra' from guest")
    await refresh(innkeeper, host)
    (adopted,) = await adopt(innkeeper, host, all="true")
    assert await shown(innkeeper, adopted) == "sdb"
    await choose(innkeeper, adopted, "sda")
    await refresh(innkeeper, host)
    assert await shown(innkeeper, adopted) == "sda"
    assert await messages(innkeeper, "machine_boot_disk_changed") == []


@pytest.mark.slow
async def test_deployment_and_release_boot_the_first_disk_again(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    machine = await composed(innkeeper)
    await choose(innkeeper, machine, "sdb")
    await innkeeper.post("machines/", op="allocate", name="web")
    assert await innkeeper.ended(await innkeeper.begin(path(machine), op="deploy")) == "succeeded"
    assert (await shown(innkeeper, machine), on_host(innkeeper)) == ("sda", "")
    await choose(innkeeper, machine, "sdb")
    assert await shown(innkeeper, machine) == "sdb"
    await innkeeper.post(path(machine), op="release")
    assert (await shown(innkeeper, machine), on_host(innkeeper)) == ("sda", "")
    await refresh(innkeeper, machine["pod"])
    assert await messages(innkeeper, "machine_boot_disk_changed") == []


async def test_a_busy_or_locked_machine_keeps_its_boot_disk(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    with innkeeper.held("power"):
        operation = await innkeeper.begin(path(machine), op="power_on")
        assert await rejected_status(choose(innkeeper, machine, "sdb")) == 409
    assert await innkeeper.ended(operation) == "succeeded"
    await innkeeper.post("machines/", op="allocate", name="web")
    assert await rejected_status(choose(innkeeper, machine, "sdz")) == 404
    assert await shown(innkeeper, machine) == "sda"


@pytest.mark.slow
async def test_a_choice_is_shown_before_it_is_made_on_the_host(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    with innkeeper.held("set boot disk"):
        operation = await innkeeper.begin(path(machine, "sdb"), op="set_boot_disk")
        assert (await shown(innkeeper, machine), on_host(innkeeper)) == ("sdb", "")
    assert await innkeeper.ended(operation) == "succeeded"
    assert (await shown(innkeeper, machine), on_host(innkeeper)) == ("sdb", "1")
