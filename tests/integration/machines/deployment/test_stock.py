"""Stock is allocated, what is in use is not: no stranger gets, changes or copies a machine that somebody uses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest

from common.errors import InnkeeperError
from common.values import GuestChange, GuestEvent, PowerState
from innkeeper.rpc import connect
from regiond.machines.service import Machines
from regiond.operations.engine import OWN_EVENTS_S
from tests.deployment.deployment import Deployment
from tests.integration.accounts.test_roles import client_folder
from tests.integration.support.images import add_image
from tests.integration.support.two_pools import NATIVE, Role, two_pools
from tests.integration.support.users import as_user
from tests.support.clock import advance
from tests.support.rejections import rejection
from tests.support.waiting import eventually

GIB = 1024**3
ISO = bytes(16 * 2048) + b"\x01CD001\x01" + bytes(2041 + 2048)


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def stock(innkeeper: Deployment, **fields: Any) -> Any:
    """A machine that the administrator composed as stock, as programs of MAAS compose."""
    hosts = await innkeeper.get("vm-hosts/")
    host_id = hosts[0]["id"] if hosts else (await innkeeper.add_simulated(cores=8, memory_mib=16384))["id"]
    machine = await innkeeper.compose(host_id, cores=1, memory=1024, **fields)
    return await innkeeper.get(path(machine))


async def used(innkeeper: Deployment, **fields: Any) -> Any:
    """One that the administrator started, and stopped again."""
    machine = await stock(innkeeper, **fields)
    await innkeeper.post(path(machine), op="power_on")
    await innkeeper.post(path(machine), op="power_off", stop_mode="hard")
    return await innkeeper.get(path(machine))


async def status(work: Awaitable[Any]) -> int:
    found: int = (await rejection(work)).details["status"]
    return found


async def events(innkeeper: Deployment, machine: Any) -> list[str]:
    answer = await innkeeper.api.send("GET", "events/", query=[("op", "query"), ("id", machine["system_id"])])
    return [one["description"] for one in answer.json()["events"] if one["kind"] == "machine_in_use"]


async def test_what_is_composed_by_the_api_is_stock_until_it_is_used(innkeeper: Deployment) -> None:
    machine = await stock(innkeeper, hostname="vm")
    assert (machine["status_name"], machine["owner"], machine["made_by"]) == ("Ready", None, "admin")
    assert machine["stock"] is True
    await innkeeper.post(path(machine), op="power_on")
    started = await innkeeper.get(path(machine))
    assert (started["status_name"], started["owner"], started["stock"]) == ("Ready", None, False)
    (event,) = await events(innkeeper, machine)
    assert (
        event
        == "vm is in use now, no longer stock, and belongs to admin, who made it, and to administrators: it is started"
    )
    await innkeeper.post(path(machine), op="power_cycle")
    assert len(await events(innkeeper, machine)) == 1, "only the first use ends it"


async def test_no_allocation_takes_a_machine_in_use(innkeeper: Deployment) -> None:
    machine = await used(innkeeper, hostname="vm")
    ann = await as_user(innkeeper, "ann")
    other = await ann.post("machines/", op="allocate", cpu_count=1, mem=1024)
    assert other["system_id"] != machine["system_id"], "another one is composed"
    for fields in ({"system_id": machine["system_id"]}, {"name": "vm"}):
        with pytest.raises(InnkeeperError, match=r"vm is in use, and not yours\. Ask admin, who made it,"):
            await ann.post("machines/", op="allocate", **fields)
    assert (await innkeeper.get(path(machine)))["owner"] is None
    unnamed = await innkeeper.post("machines/", op="allocate", cpu_count=1, mem=1024)
    assert unnamed["system_id"] != machine["system_id"], "not even by its maker, unless it is named"
    assert (await innkeeper.post("machines/", op="allocate", name="vm"))["owner"] == "admin"


async def test_a_deployment_takes_stock_and_nothing_in_use(innkeeper: Deployment) -> None:
    machine, free = await used(innkeeper), await stock(innkeeper)
    await add_image(innkeeper)
    ann = await as_user(innkeeper, "ann")
    assert await status(ann.post(path(machine), op="deploy", distro_series="custom/test")) == 403
    bulk = ann.post("machines/", op="bulk", action="deploy", machines=machine["system_id"], distro_series="custom/test")
    assert "in use" in str(await ended(innkeeper, await bulk))
    after = await innkeeper.get(path(machine))
    assert (after["owner"], after["status_name"], after["osystem"]) == (None, "Ready", "")
    deployed = await ann.post(path(free), op="deploy", distro_series="custom/test")
    assert deployed["owner"] == "ann"


async def ended(innkeeper: Deployment, operation: Any) -> Any:
    await innkeeper.ended(operation["id"])
    return await innkeeper.get(f"operations/{operation['id']}/")


async def test_an_operator_changes_nothing_of_what_it_could_allocate(innkeeper: Deployment) -> None:
    """The attack: the disk of an administrator's running VM was deleted by any operator of its pool."""
    running = await stock(innkeeper, storage="root:8,data:4")
    await innkeeper.post(path(running), op="power_on")
    ann = await as_user(innkeeper, "ann")
    for machine in (running, await stock(innkeeper, storage="root:8,data:4")):
        at, disk = path(machine), machine["blockdevice_set"][1]["id"]
        nic, node = machine["interface_set"][0]["id"], f"nodes/{machine['system_id']}/"
        for work in (
            ann.post(at, op="remove_disk", disk=disk),
            ann.post(at, op="add_disk", size=1),
            ann.post(at, op="grow_disk", disk=disk, size=20),
            ann.post(at, op="move_disk", disk=disk, pool="x"),
            ann.post(at, op="add_interface"),
            ann.post(at, op="change_interface", interface=nic, mac_address="52:54:00:00:00:77"),
            ann.post(at, op="remove_interface", interface=nic),
            ann.post(at, op="resize", cpu_count=2),
            ann.post(at, op="set_boot", order="disk"),
            ann.post(at, op="insert_iso", image="x"),
            ann.post(at, op="eject_iso"),
            ann.post(at, op="clone"),
            ann.post(at, op="export"),
            ann.post(at, op="power_on"),
            ann.post(at, op="lock"),
            ann.post(at, op="clear_default_gateways"),
            ann.get(at, op="console_log"),
            ann.delete(at),
            ann.delete(f"{node}blockdevices/{disk}/"),
            ann.post(f"{node}blockdevices/", size=GIB),
            ann.put(f"{node}blockdevices/{disk}/", size=30 * GIB),
            ann.post(f"{node}blockdevices/{disk}/", op="set_boot_disk"),
            ann.delete(f"{node}interfaces/{nic}/"),
            ann.put(f"{node}interfaces/{nic}/", name="eth7"),
            ann.post(f"{node}interfaces/", op="create_physical", mac_address="52:54:00:00:00:78"),
            ann.post(f"{node}interfaces/{nic}/", op="link_subnet", mode="LINK_UP"),
        ):  # fmt: skip
            assert await status(work) == 403
        bulk = ann.post("machines/", op="bulk", action="remove_disk", machines=machine["system_id"], disk="data")
        assert await status(bulk) == 403
        after = await innkeeper.get(at)
        assert after["blockdevice_set"] == machine["blockdevice_set"]
        assert after["interface_set"] == machine["interface_set"]


async def test_a_stranger_copies_nothing(innkeeper: Deployment) -> None:
    """The attack: an adopted production VM was cloned, and the copy allocated."""
    host = await innkeeper.add_simulated(guests=1, cores=8, memory_mib=16384)
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="adopt", all="true")
    (adopted,) = await innkeeper.get("machines/")
    ann = await as_user(innkeeper, "ann")
    for machine in (adopted, await used(innkeeper), await stock(innkeeper)):
        template = ann.post(f"vm-hosts/{host['id']}/", op="compose", template=machine["system_id"])
        assert await status(template) == 403
        assert await status(ann.post(path(machine), op="clone")) == 403


async def test_a_copy_belongs_to_who_made_it(innkeeper: Deployment) -> None:
    machine = await used(innkeeper)
    cloned = await innkeeper.post(path(machine), op="clone")
    clone = await innkeeper.get(path(cloned))
    assert (clone["status_name"], clone["owner"], clone["stock"]) == ("Allocated", "admin", False)
    host = machine["pod"]["id"]
    composed = await innkeeper.compose(host, template=machine["system_id"])
    assert (await innkeeper.get(path(composed)))["owner"] == "admin"
    as_stock = await innkeeper.compose(host, template=machine["system_id"], stock="true")
    assert (await innkeeper.get(path(as_stock)))["stock"] is True, "only if it is asked for"


async def test_the_first_console_ends_stock(innkeeper: Deployment) -> None:
    """Only a machine that its host starts by itself is stock and runs."""
    machine = await stock(innkeeper)
    await innkeeper.put(path(machine), autostart="always")
    innkeeper.simulated().set_power(machine["hostname"], PowerState.ON)

    async def runs() -> bool:
        await innkeeper.refreshed(machine["pod"]["id"])  # one that has begun before shows the state of before
        return bool((await innkeeper.get(path(machine)))["power_state"] == "on")

    await eventually(runs)
    assert (await innkeeper.get(path(machine)))["stock"] is True
    socket = await innkeeper.api.websocket(path(machine), op="console")
    await eventually(lambda: is_in_use(innkeeper, machine))
    socket.close()
    assert "its console was opened" in (await events(innkeeper, machine))[0]


async def is_in_use(innkeeper: Deployment, machine: Any) -> bool:
    return (await innkeeper.get(path(machine)))["stock"] is False


async def power_event(innkeeper: Deployment, machine: Any, power: PowerState) -> None:
    """The hypervisor reports a change that no operation made."""
    machines = innkeeper.region.components.services.machines
    assert isinstance(machines, Machines)
    async with innkeeper.connection() as db:
        await db.execute("update operation set finished_at = now() - interval '1 minute' where not is_open")
    change = GuestChange(event=GuestEvent.POWER, guest_name=machine["hostname"], power=power)
    await machines.guest_changed(machine["pod"]["id"], change)


async def test_a_change_by_the_maker_does_not_meet_an_allocation(innkeeper: Deployment) -> None:
    """Both begin while the machine is stock. The change waits for the allocation, and is refused."""
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)
    ann, ben = await as_user(innkeeper, "ann"), await as_user(innkeeper, "ben")
    composed = await ben.compose(host["id"], cores=1, memory=1024)
    machine = await ben.get(path(composed))
    async with innkeeper.connection() as db:
        transaction = db.transaction()
        await transaction.start()
        await db.execute("update machine set owner_id = (select id from account where username = 'ann')")
        changes = [
            asyncio.create_task(rejection(ben.post(path(machine), op="set_boot", order="disk"))),
            asyncio.create_task(rejection(ben.post(path(machine), op="power_on"))),
        ]
        await eventually(partial(waiting_for_locks, innkeeper, 2))
        await transaction.commit()
    known = ("has just changed", "You do not own", "Another operation")
    for refused in await asyncio.gather(*changes):
        assert any(text in refused.message for text in known), refused.message
    assert (await ann.get(path(machine)))["boot_order"] == machine["boot_order"]


async def waiting_for_locks(innkeeper: Deployment, count: int) -> bool:
    (row,) = await innkeeper.fetch("select count(*) as number from pg_stat_activity where wait_event_type = 'Lock'")
    return int(row["number"]) >= count


async def test_a_start_on_the_host_ends_stock(innkeeper: Deployment) -> None:
    by_event, by_refresh = await stock(innkeeper), await stock(innkeeper)
    await advance(OWN_EVENTS_S)
    await power_event(innkeeper, by_event, PowerState.ON)
    innkeeper.simulated().set_power(by_refresh["hostname"], PowerState.ON)
    await innkeeper.refreshed(by_refresh["pod"]["id"])
    for machine in (by_event, by_refresh):
        assert (await innkeeper.get(path(machine)))["stock"] is False
        (event,) = await events(innkeeper, machine)
        assert event.endswith("it was started by other means")


async def test_a_machine_is_composed_for_somebody(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8, memory_mib=16384)
    ann = await as_user(innkeeper, "ann")
    mine = await ann.compose(host["id"], cores=1, memory=1024, stock="false")
    shown = await ann.get(path(mine))
    assert (shown["status_name"], shown["owner"], shown["made_by"]) == ("Allocated", "ann", "ann")
    hers = await innkeeper.compose(host["id"], cores=1, memory=1024, owner="ann")
    assert [(one["owner"], one["made_by"]) for one in [await innkeeper.get(path(hers))]] == [("ann", "admin")]
    for fields, expected in (({"owner": "admin"}, 403), ({"owner": "ann", "stock": "true"}, 400)):
        assert await status(ann.compose(host["id"], cores=1, memory=1024, **fields)) == expected
    assert await status(innkeeper.compose(host["id"], cores=1, memory=1024, owner="nobody")) == 400


async def test_a_machine_for_another_user_is_where_that_user_operates(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    composed = await innkeeper.post("vm-hosts/", op="compose", cores=1, memory=1024, owner="olga")
    assert (await innkeeper.get(path(composed)))["pool"]["name"] == "native-pool"
    await innkeeper.post("quotas/", user="olga", machines=2)
    refused = await rejection(innkeeper.post("vm-hosts/", op="compose", cores=1, memory=1024, owner="olga"))
    assert "olga" in refused.message, "her quota counts"
    foreign = innkeeper.compose(pools.contents[NATIVE].host_id, cores=1, memory=1024, owner="emil")
    assert await status(foreign) >= 400


async def test_an_rpc_client_composes_for_itself(innkeeper: Deployment) -> None:
    pools = await two_pools(innkeeper)
    folder = await client_folder(pools, Role.OPERATOR, "olga")
    async with connect(f"127.0.0.1:{innkeeper.region.rpc_port}", folder=folder) as region:
        own = await region.wait((await region.compose(memory_mib=1024)).id)
        free = await region.wait((await region.compose(memory_mib=1024, stock=True)).id)
    owners = {one["system_id"]: (one["owner"], one["stock"]) for one in await innkeeper.get("machines/")}
    assert owners[own.system_id or ""] == ("olga", False)
    assert owners[free.system_id or ""] == (None, True)


async def test_a_release_gives_back_what_it_empties(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    ann = await as_user(innkeeper, "ann")
    for deploys, expected in ((True, (True, "admin")), (False, (False, "ann"))):
        machine = await stock(innkeeper)
        await ann.post("machines/", op="allocate", system_id=machine["system_id"])
        if deploys:
            await ann.post(path(machine), op="deploy", distro_series="custom/test")
            await ann.post(path(machine), op="abort")
        else:
            await ann.post(path(machine), op="power_on")
        plan = await ann.post(path(machine), op="release", dry_run="true")
        assert ("it is stock" in str(plan)) is deploys
        await ann.post(path(machine), op="release")
        after = await innkeeper.get(path(machine))
        assert (after["status_name"], after["owner"]) == ("Ready", None)
        assert (after["stock"], after["made_by"]) == expected
    await ann.post("machines/", op="allocate", system_id=machine["system_id"])
    await ann.post(path(machine), op="release", erase="true")
    assert (await innkeeper.get(path(machine)))["stock"] is True


async def test_a_released_machine_with_an_iso_image_is_no_stock(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "custom/installer", content=ISO, filetype="iso")
    machine = await stock(innkeeper)
    await innkeeper.post("machines/", op="allocate", system_id=machine["system_id"])
    await innkeeper.post(path(machine), op="insert_iso", image="custom/installer")
    plan = await innkeeper.post(path(machine), op="release", erase="true", dry_run="true")
    assert "only admin and administrators act on it" in str(plan)
    await innkeeper.post(path(machine), op="release", erase="true")
    assert (await innkeeper.get(path(machine)))["stock"] is False


async def test_marking_a_used_machine_fixed_leaves_it_to_its_owner(innkeeper: Deployment) -> None:
    ann = await as_user(innkeeper, "ann")
    for uses, expected in ((False, None), (True, "ann")):
        machine = await stock(innkeeper)
        await ann.post("machines/", op="allocate", system_id=machine["system_id"])
        if uses:
            await ann.post(path(machine), op="power_on")
            await ann.post(path(machine), op="power_off", stop_mode="hard")
        await ann.post(path(machine), op="mark_broken")
        fixed = await ann.post(path(machine), op="mark_fixed")
        assert fixed["owner"] == expected


async def test_a_machine_is_locked_in_every_state(innkeeper: Deployment) -> None:
    machine = await stock(innkeeper)
    await add_image(innkeeper)
    locked = await innkeeper.post(path(machine), op="lock")
    assert (locked["locked"], locked["stock"]) == (True, False)
    for work in (
        innkeeper.post("machines/", op="allocate", system_id=machine["system_id"]),
        innkeeper.post(path(machine), op="deploy", distro_series="custom/test"),
        innkeeper.post(path(machine), op="power_on"),
        innkeeper.delete(path(machine)),
    ):
        with pytest.raises(InnkeeperError, match="is locked"):
            await work
    assert (await innkeeper.post("machines/", op="allocate"))["system_id"] != machine["system_id"]
    await innkeeper.post(path(machine), op="unlock")
    allocated = await innkeeper.post("machines/", op="allocate", system_id=machine["system_id"])
    assert (await innkeeper.post(path(allocated), op="lock"))["locked"] is True
    with pytest.raises(InnkeeperError, match="is locked"):
        await innkeeper.post(path(allocated), op="deploy", distro_series="custom/test")


async def test_a_restored_machine_is_in_use(innkeeper: Deployment) -> None:
    machine = await stock(innkeeper)
    await innkeeper.delete(f"vm-hosts/{machine['pod']['id']}/")
    await innkeeper.add_simulated(cores=8, memory_mib=16384)
    (returned,) = await innkeeper.get("machines/")
    assert (returned["status_name"], returned["stock"], returned["made_by"]) == ("Ready", False, "admin")
