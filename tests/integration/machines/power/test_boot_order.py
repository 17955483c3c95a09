"""What a machine boots from: set in the region, changed on the host, and made for one start only."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from attrs import evolve

from common.boot import BootDevice
from common.values import Guest, PowerState
from regiond.hosts.guest_ownership import record_guest
from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_boot_disk import messages
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.images import add_image
from tests.integration.support.users import as_user
from tests.support.rejections import rejected_status, rejection
from tests.support.waiting import eventually

ON_HOST = "select coalesce(devices, ''), coalesce(pending, ''), coalesce(once, '') from boot_order"
DISK_FIRST, NETWORK_FIRST = ["disk", "network"], ["network", "disk"]


async def composed(innkeeper: Deployment, **fields: Any) -> Any:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web", **fields)
    return await innkeeper.get(path(machine))


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def set_boot(innkeeper: Deployment, machine: Any, order: str, **fields: Any) -> Any:
    return await innkeeper.post(path(machine), op="set_boot", order=order, **fields)


async def shown(innkeeper: Deployment, machine: Any) -> tuple[Any, Any, Any]:
    found = await innkeeper.get(path(machine))
    return found["boot_order"], found["pending_boot_order"], found["boot_once"]


async def power(innkeeper: Deployment, machine: Any, action: str) -> None:
    await innkeeper.post(path(machine), op=f"power_{action}")


async def test_a_machine_that_is_off_boots_so_at_once(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], [])
    answer = await set_boot(innkeeper, machine, "disk")
    assert (answer["boot_order"], answer["pending_boot_order"]) == (DISK_FIRST, [])
    assert rows(innkeeper, ON_HOST) == [("disk,network", "", "")]
    assert await messages(innkeeper, "boot_order_set") == ["web on sim boots from disk, then network"]
    await set_boot(innkeeper, machine, "network,disk")
    await refresh(innkeeper, machine["pod"])
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], [])


@pytest.mark.slow
async def test_a_running_machine_gets_its_order_at_the_next_start(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await set_boot(innkeeper, machine, "disk")
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, DISK_FIRST, [])
    await refresh(innkeeper, machine["pod"])
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, DISK_FIRST, [])
    await power(innkeeper, machine, "cycle")
    assert await shown(innkeeper, machine) == (DISK_FIRST, [], [])
    assert rows(innkeeper, ON_HOST) == [("disk,network", "", "")]
    await refresh(innkeeper, machine["pod"])
    assert await shown(innkeeper, machine) == (DISK_FIRST, [], [])


@pytest.mark.slow
async def test_a_pending_order_can_be_taken_back(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await set_boot(innkeeper, machine, "disk")
    await set_boot(innkeeper, machine, "network")
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], [])


@pytest.mark.slow
@pytest.mark.parametrize("action", ["on", "cycle"])
async def test_only_the_next_start_is_in_the_order_for_it(innkeeper: Deployment, action: str) -> None:
    machine = await composed(innkeeper, power_on="true" if action == "cycle" else "false")
    answer = await set_boot(innkeeper, machine, "disk", once="true")
    assert (answer["boot_order"], answer["boot_once"]) == (NETWORK_FIRST, ["disk"])
    assert rows(innkeeper, ON_HOST) == []
    await power(innkeeper, machine, action)
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], [])
    assert [once for _, _, once in rows(innkeeper, ON_HOST)] == ["disk"]
    assert await messages(innkeeper, "machine_booted_once") == ["web on sim was started from disk first"]
    await power(innkeeper, machine, "cycle")
    assert [once for _, _, once in rows(innkeeper, ON_HOST)] == [""]


@pytest.mark.slow
async def test_a_machine_that_keeps_running_is_still_to_be_started_so(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await set_boot(innkeeper, machine, "disk", once="true")
    await power(innkeeper, machine, "on")
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], ["disk"])
    await power(innkeeper, machine, "off")
    await power(innkeeper, machine, "on")
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], [])


@pytest.mark.slow
async def test_the_order_of_all_starts_cancels_that_for_one(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await set_boot(innkeeper, machine, "disk", once="true")
    plan = await set_boot(innkeeper, machine, "network", once="true", dry_run="true")
    assert plan["effects"][1] == "Its next start is like the others: not from disk first."
    await set_boot(innkeeper, machine, "network", once="true")
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], [])


async def test_a_start_that_no_operation_recorded_is_found_by_a_refresh(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await set_boot(innkeeper, machine, "disk", once="true")
    operation_id = (await innkeeper.get("operations/?limit=1"))[0]["id"]
    rows(innkeeper, "insert into boot_order select guest_id, null, null, 'disk', ? from guest", str(operation_id))
    await refresh(innkeeper, machine["pod"])
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], [])
    assert len(await messages(innkeeper, "machine_booted_once")) == 1


async def test_a_dry_run_changes_nothing(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    plan = await set_boot(innkeeper, machine, "disk", dry_run="true")
    assert (plan["order"], plan["once"], plan["takes_effect"]) == (["disk"], False, "now")
    assert plan["effects"] == ["web boots from disk first, from its next start on."]
    plan = await set_boot(innkeeper, machine, "disk", once="true", dry_run="true")
    assert plan["takes_effect"] == "next_start"
    assert plan["effects"] == [
        "web boots from disk first when Innkeeper next starts it, and only then. Later starts are from network, then "
        "disk, as before."
    ]
    assert (await set_boot(innkeeper, machine, "network", dry_run="true"))["takes_effect"] == "unchanged"
    await power(innkeeper, machine, "on")
    assert (await set_boot(innkeeper, machine, "disk", dry_run="true"))["takes_effect"] == "now_if_possible"
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], [])
    assert "set_boot" not in [one["kind"] for one in await innkeeper.get("operations/")]


@pytest.mark.slow
async def test_a_deployment_replaces_what_was_chosen(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    machine = await composed(innkeeper)
    await set_boot(innkeeper, machine, "network")
    await set_boot(innkeeper, machine, "disk", once="true")
    await innkeeper.post("machines/", op="allocate", system_id=machine["system_id"])
    assert await innkeeper.ended(await innkeeper.begin(path(machine), op="deploy")) == "succeeded"
    assert await shown(innkeeper, machine) == (DISK_FIRST, [], [])
    await set_boot(innkeeper, machine, "network", once="true")
    assert await innkeeper.ended(await innkeeper.begin(path(machine), op="release")) == "succeeded"
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], [])


@pytest.mark.parametrize("order", ["", "cdrom", "disk,floppy"])
async def test_other_orders_are_refused(innkeeper: Deployment, order: str) -> None:
    machine = await composed(innkeeper)
    assert await rejected_status(set_boot(innkeeper, machine, order)) == 400


@pytest.mark.slow
async def test_a_host_that_refuses_leaves_the_order(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    rows(innkeeper, "delete from nic")
    error = await rejection(set_boot(innkeeper, machine, "network"))
    assert error.details["status"] == 409
    assert "web has no NIC that can boot" in str(error)
    rows(innkeeper, "delete from guest")
    assert await rejected_status(set_boot(innkeeper, machine, "disk")) == 404


async def test_only_who_may_use_a_machine_sets_what_it_boots_from(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    ann, ben = await as_user(innkeeper, "ann"), await as_user(innkeeper, "ben")
    assert await rejected_status(set_boot(ben, machine, "network")) == 403  # he may only allocate it
    await set_boot(innkeeper, machine, "disk")
    await ann.post("machines/", op="allocate", name="web")
    assert await rejected_status(set_boot(ben, machine, "network")) == 403
    await set_boot(ann, machine, "network", once="true")
    async with innkeeper.connection() as db:
        await db.execute("update machine set locked = true")
    assert "is locked" in (await rejection(set_boot(ann, machine, "network"))).message
    assert await shown(innkeeper, machine) == (DISK_FIRST, [], ["network"])


async def test_a_cancelled_change_is_undone_on_the_host(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    with innkeeper.held("set boot order"):
        operation = await innkeeper.begin(path(machine), op="set_boot", order="disk")
        await eventually(innkeeper.simulated().is_holding)
        await innkeeper.cancel(operation)
    assert await innkeeper.ended(operation) == "cancelled"
    assert [order for order, _, _ in rows(innkeeper, ON_HOST)] in (["network,disk"], [])
    await refresh(innkeeper, machine["pod"])
    assert await shown(innkeeper, machine) == (NETWORK_FIRST, [], [])


async def test_an_order_that_a_running_guest_does_not_report_stays(innkeeper: Deployment) -> None:
    """Operations record the guest as they find it. libvirt shows the next start of a guest only while it is off."""
    machine = await composed(innkeeper)
    await set_boot(innkeeper, machine, "disk")
    ((name, guest_id, machine_id, host_id),) = await innkeeper.fetch(
        "select g.name, g.guest_key, m.id, m.host_id from guest g join machine m on m.id = g.machine_id"
    )
    running = Guest(name=name, guest_id=guest_id, power=PowerState.ON, cores=1, memory_mib=2048)
    for reported, expected in ((None, DISK_FIRST), ((BootDevice.NETWORK, BootDevice.DISK), NETWORK_FIRST)):
        found = evolve(running, boot_order=reported)
        await innkeeper.region.components.database.in_transaction(
            partial(record_guest, host_id=host_id, guest=found, machine_id=machine_id, power=PowerState.ON)
        )
        assert (await shown(innkeeper, machine))[0] == expected
