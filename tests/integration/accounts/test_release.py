"""Release, owner data, and marking machines broken or fixed, in a whole deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest, NotAllowed, NotFound
from common.values import PowerAction
from regiond.accounts.grants import with_grants
from regiond.machines.core import lifecycle_store
from regiond.reconciler.model import DiscrepancyKind
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.integration.networks.test_nic_links import ready
from tests.integration.support.tables import is_count, lock_waiters, sql
from tests.integration.support.users import as_user, own
from tests.support.rejections import invalid_fields, rejected_status
from tests.support.waiting import eventually


async def machine(innkeeper: Deployment, system_id: str) -> Any:
    return await innkeeper.get(f"machines/{system_id}/")


async def test_release_powers_off_and_clears_the_owner(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    system_id = (await innkeeper.compose(host["id"], power_on="true"))["system_id"]
    ann = await as_user(innkeeper, "ann")
    await own(innkeeper, system_id, "ann")
    path = f"machines/{system_id}/"
    reported = await ann.post(path, op="set_owner_data", color="red", size="5")
    assert reported["owner_data"] == {"color": "red", "size": "5"}
    assert (await ann.post(path, op="set_owner_data", color="", shape="round"))["owner_data"] == {
        "size": "5", "shape": "round",
    }  # fmt: skip
    assert [one["system_id"] for one in await ann.get("machines/", op="list_allocated")] == [system_id]
    assert await innkeeper.get("machines/", op="list_allocated") == []
    released = await ann.post(path, op="release", comment="done")
    assert (released["status_name"], released["power_state"], released["owner"]) == ("Ready", "off", None)
    assert (released["owner_data"], released["agent_name"]) == ({}, "")
    assert innkeeper.simulated_guests() == [released["hostname"]]
    again = await ann.post(path, op="release")
    assert again["status_name"] == "Ready"


@pytest.mark.parametrize(
    ("more", "found"), [({"big": "x" * 33_000}, "2 and 33011"), ({f"k{n}": "v" for n in range(128)}, "129 and ")]
)
async def test_owner_data_has_a_size(innkeeper: Deployment, more: dict[str, str], found: str) -> None:
    host = await innkeeper.add_simulated()
    system_id = (await innkeeper.compose(host["id"]))["system_id"]
    await own(innkeeper, system_id, "admin")
    await innkeeper.post(f"machines/{system_id}/", op="set_owner_data", color="red")
    with pytest.raises(InnkeeperError, match=f"at most 128 keys and 32768 bytes; with these it would have {found}"):
        await innkeeper.send("POST", f"machines/{system_id}/", op="set_owner_data", fields=more)
    assert (await innkeeper.get(f"machines/{system_id}/"))["owner_data"] == {"color": "red"}


async def test_release_deletes_a_machine_that_allocation_composed(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    system_id = (await innkeeper.compose(host["id"], power_on="true"))["system_id"]
    await own(innkeeper, system_id, "admin", by_allocate=True)
    with innkeeper.held("remove guest"):
        assert await innkeeper.post("machines/", op="release", machines=system_id) == [system_id]
        assert (await machine(innkeeper, system_id))["status_name"] == "Releasing"
    await eventually(lambda: is_count(innkeeper, "machine", 0))
    assert innkeeper.simulated_guests() == []


async def test_only_owners_and_admins_release_and_only_in_some_states(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    mine, free = [(await innkeeper.compose(host["id"], memory=1024))["system_id"] for _ in range(2)]
    await own(innkeeper, mine, "admin")
    ann = await as_user(innkeeper, "ann")
    assert await rejected_status(ann.post(f"machines/{mine}/", op="release")) == 403
    assert await rejected_status(ann.post("machines/", op="release", machines=mine)) == 403
    assert await rejected_status(innkeeper.post("machines/", op="release", machines="abcdef")) == 400
    assert await ann.post("machines/", op="release", machines=free) == []
    with pytest.raises(InnkeeperError, match="You do not own"):
        await ann.post(f"machines/{mine}/", op="set_owner_data", a="b")
    await innkeeper.post(f"machines/{mine}/", op="power_on")
    with innkeeper.held("power"):
        assert await innkeeper.post("machines/", op="release", machines=mine) == [mine]
        assert await rejected_status(innkeeper.post("machines/", op="release", machines=mine)) == 409
        waiting = asyncio.create_task(innkeeper.post(f"machines/{mine}/", op="release"))
        repeated = await innkeeper.post(f"machines/{mine}/", op="release", headers=ASYNC)
        releases = [one["id"] for one in await innkeeper.get("operations/") if one["kind"] == "release"]
        assert releases == [repeated["id"]], "a repeat waits for the open release"
        await eventually(lambda: repeated["id"] in innkeeper.region.components.services.operations.awaited)
    released = await waiting
    assert (released["status_name"], released["power_state"]) == ("Ready", "off")


@pytest.mark.slow
async def test_a_fixed_machine_that_was_allocated_is_ready(innkeeper: Deployment) -> None:
    nic = await ready(innkeeper)
    path = f"machines/{nic.system_id}/"
    (composed,) = (await innkeeper.get(nic.path))["links"]
    await innkeeper.post("machines/", op="allocate", system_id=nic.system_id, agent_name="juju")
    await innkeeper.post(path, op="set_owner_data", color="red")
    await nic.link("STATIC", ip_address="10.1.0.9")
    await innkeeper.post("devices/", mac_addresses="52:54:00:aa:00:01", parent="web")
    assert (await innkeeper.post(path, op="mark_broken"))["owner"] == "admin"
    fixed = await innkeeper.post(path, op="mark_fixed")
    assert (fixed["status_name"], fixed["owner"], fixed["owner_data"]) == ("Ready", None, {})
    assert (await innkeeper.get(nic.path))["links"] == [composed]
    assert await innkeeper.get("devices/") == []
    assert await innkeeper.discrepancies() == []


async def test_a_fixed_machine_that_runs_keeps_its_owner(innkeeper: Deployment) -> None:
    path = f"machines/{(await ready(innkeeper)).system_id}/"
    await innkeeper.post("machines/", op="allocate")
    await innkeeper.post(path, op="power_on")
    await innkeeper.post(path, op="mark_broken")
    fixed = await innkeeper.post(path, op="mark_fixed")
    assert (fixed["status_name"], fixed["owner"]) == ("Allocated", "admin")


async def test_a_fixed_machine_that_is_about_to_start_keeps_its_owner(innkeeper: Deployment) -> None:
    path = f"machines/{(await ready(innkeeper)).system_id}/"
    await innkeeper.post("machines/", op="allocate")
    await innkeeper.post(path, op="mark_broken")
    with innkeeper.held("power"):
        operation = await innkeeper.begin(path, op="power_on")
        fixed = await innkeeper.post(path, op="mark_fixed")
        assert (fixed["status_name"], fixed["owner"], fixed["power_state"]) == ("Allocated", "admin", "off")
    assert await innkeeper.ended(operation) == "succeeded"


async def test_a_fixed_machine_on_an_unreachable_host_keeps_its_owner(innkeeper: Deployment) -> None:
    path = f"machines/{(await ready(innkeeper)).system_id}/"
    await innkeeper.post("machines/", op="allocate")
    await innkeeper.post(path, op="mark_broken")
    await sql(innkeeper, "update vm_host set state = 'unreachable'")
    fixed = await innkeeper.post(path, op="mark_fixed")
    assert (fixed["status_name"], fixed["owner"]) == ("Allocated", "admin")


async def test_a_fixed_machine_reports_an_address_that_is_lost(innkeeper: Deployment) -> None:
    nic = await ready(innkeeper)
    before = (await nic.link("AUTO"))["links"][0]["ip_address"]
    await innkeeper.post("machines/", op="allocate")
    await nic.link("STATIC", ip_address="10.1.0.9", force="true")
    await sql(innkeeper, "delete from ip_address where address = $1", before)
    await ready(innkeeper, "other", interfaces=f"eth0:ip={before}")
    await innkeeper.post(f"machines/{nic.system_id}/", op="mark_broken")
    assert (await innkeeper.post(f"machines/{nic.system_id}/", op="mark_fixed"))["status_name"] == "Ready"
    (event,) = await sql(innkeeper, "select message, system_id from event where kind = 'addresses_not_restored'")
    assert (f"eth0 uses DHCP now: {before} has" in event["message"], event["system_id"]) == (True, nic.system_id)


async def test_a_former_owner_does_not_start_a_machine_just_freed(innkeeper: Deployment) -> None:
    system_id = (await ready(innkeeper)).system_id
    ann = await as_user(innkeeper, "ann")
    await own(innkeeper, system_id, "ann")
    database = innkeeper.region.components.database
    async with database.transaction() as db:
        await lifecycle_store.lock(db, [system_id])
        starting = asyncio.ensure_future(rejected_status(ann.post(f"machines/{system_id}/", op="power_on")))
        await eventually(lambda: lock_waiters(database))
        await db.execute("update machine set state = 'ready', owner_id = null")
    assert await starting == 403, "the request is read anew, and ann owns it no more"
    assert (await machine(innkeeper, system_id))["power_state"] == "off"


@pytest.mark.parametrize("freed_by", ["mark_fixed", "commission"])
async def test_a_freed_machine_is_not_destroyed_by_its_next_release(innkeeper: Deployment, freed_by: str) -> None:
    nic = await ready(innkeeper)
    path = f"machines/{nic.system_id}/"
    await own(innkeeper, nic.system_id, "admin", by_allocate=True)
    if freed_by == "mark_fixed":
        await innkeeper.post(path, op="mark_broken")
    else:
        await sql(innkeeper, "update machine set state = 'failed'")
    await innkeeper.post(path, op=freed_by)
    assert (await machine(innkeeper, nic.system_id))["status_name"] == "Ready"
    await innkeeper.post("machines/", op="allocate")
    assert (await innkeeper.post(path, op="release"))["status_name"] == "Ready"
    assert innkeeper.simulated_guests() == ["web"]


async def test_a_release_without_machines_releases_none(innkeeper: Deployment) -> None:
    await ready(innkeeper)
    assert await innkeeper.post("machines/", op="release") == []
    assert list(await invalid_fields(innkeeper.post("machines/", op="release", machine="web"))) == ["machine"]


async def test_broken_machines_retain_their_owner(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    system_id = (await innkeeper.compose(host["id"]))["system_id"]
    path = f"machines/{system_id}/"
    await own(innkeeper, system_id, "admin")
    broken = await innkeeper.post(path, op="mark_broken", comment="disk failed")
    assert (broken["status_name"], broken["status_message"], broken["owner"]) == (
        "Broken", "disk failed", "admin",
    )  # fmt: skip
    released = await innkeeper.post(path, op="release")
    assert (released["status_name"], released["owner"]) == ("Broken", None)
    fixed = await innkeeper.post(path, op="mark_fixed")
    assert (fixed["status_name"], fixed["status_message"]) == ("Ready", "")
    with pytest.raises(InnkeeperError, match="A machine that is Ready cannot be marked fixed") as rejected:
        await innkeeper.post(path, op="mark_fixed")
    assert rejected.value.details["status"] == 409


@pytest.mark.parametrize(("broken", "after", "fixed"), [("", "Missing", None), ("mark_broken", "Broken", "New")])
async def test_release_records_that_the_guest_is_missing(
    innkeeper: Deployment, broken: str, after: str, fixed: str | None
) -> None:
    host = await innkeeper.add_simulated()
    system_id = (await innkeeper.compose(host["id"], hostname="web"))["system_id"]
    path = f"machines/{system_id}/"
    await own(innkeeper, system_id, "admin")
    if broken:
        await innkeeper.post(path, op=broken)
    innkeeper.simulated().remove("web")
    assert (await innkeeper.post(path, op="release"))["status_name"] == after
    kinds = [one.kind for one in await innkeeper.discrepancies()]
    assert kinds == ([DiscrepancyKind.MACHINE_MISSING])
    if fixed:
        assert (await innkeeper.post(path, op="mark_fixed"))["status_name"] == fixed
    else:
        events = await innkeeper.api.send("GET", "events/", query=[("op", "query"), ("id", system_id)])
        missing = [one for one in events.json()["events"] if one["kind"] == "machine_missing"]
        assert [(one["description"], one["username"]) for one in missing] == [
            ("web: its guest is missing on sim", "admin")
        ]


@pytest.mark.slow
async def test_a_machine_is_updated_by_field(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.compose(host["id"], hostname="taken", memory=1024)
    system_id = (await innkeeper.compose(host["id"], hostname="before", memory=1024))["system_id"]
    await innkeeper.post("zones/", name="east")
    await innkeeper.post("resourcepools/", name="web")
    path = f"machines/{system_id}/"
    changed = await innkeeper.put(path, hostname="after", zone="east", pool="web", description="new", power_user="x")
    reported = (changed["hostname"], changed["zone"]["name"], changed["pool"]["name"], changed["description"])
    assert reported == ("after", "east", "web", "new")
    assert (await innkeeper.put(path, hostname="after", zone="east"))["pool"]["name"] == "web"
    for fields in ({"hostname": "taken"}, {"zone": "nowhere"}, {"pool": "nowhere"}, {"hostname": "-x-"}):
        assert [*await invalid_fields(innkeeper.put(path, **fields))] == list(fields)
    with pytest.raises(InvalidRequest, match="machines in it"):
        await innkeeper.delete("resourcepool/web/")
    await innkeeper.post(path, op="power_on")  # the guest, which retains its first name, is still found
    assert innkeeper.simulated_guests() == ["before", "taken"]
    with pytest.raises(NotFound):
        await innkeeper.put("machines/abcdef/", hostname="x")


async def test_an_owner_deletes_only_what_was_composed_for_them(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    system_id = (await innkeeper.compose(host["id"], memory=1024))["system_id"]
    await as_user(innkeeper, "ann")
    services = innkeeper.region.components.services
    async with innkeeper.connection() as db:
        ann = await with_grants(db, await services.accounts.user("ann"))
    await own(innkeeper, system_id, "ann")
    with pytest.raises(NotAllowed, match="release it instead"):
        await services.machines.start_delete(ann, system_id)  # as an RPC client requests it
    await own(innkeeper, system_id, "ann", by_allocate=True)
    operation = await services.machines.start_delete(ann, system_id)
    assert (await services.operations.wait(operation.id, timeout_s=240)).state == "succeeded"


async def test_owner_data_is_restored_with_the_host(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    mine, free = [(await innkeeper.compose(host["id"], memory=1024))["system_id"] for _ in range(2)]
    await own(innkeeper, mine, "admin", by_allocate=True)
    await innkeeper.post(f"machines/{mine}/", op="set_owner_data", color="red")
    assert (await innkeeper.delete(f"vm-hosts/{host['id']}/")).status == 204
    assert await innkeeper.get("machines/") == []
    await innkeeper.add_simulated()
    back = {one["system_id"]: one for one in await innkeeper.get("machines/")}
    assert {system_id: one["status_name"] for system_id, one in back.items()} == {mine: "Allocated", free: "Ready"}
    assert (back[mine]["owner"], back[mine]["owner_data"]) == ("admin", {"color": "red"})
    await innkeeper.post(f"machines/{mine}/", op="release")
    assert len(innkeeper.simulated_guests()) == 1


async def test_a_repeat_with_the_key_returns_the_operation_of_a_deleted_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    deleted, released = [(await innkeeper.compose(host["id"], memory=1024))["system_id"] for _ in range(2)]
    await own(innkeeper, released, "admin", by_allocate=True)

    async def delete(headers: dict[str, str]) -> Any:
        return (await innkeeper.api.send("DELETE", f"machines/{deleted}/", headers=headers)).json()

    async def release(headers: dict[str, str]) -> Any:
        return await innkeeper.post(f"machines/{released}/", op="release", headers=headers)

    for request, key in ((delete, "a"), (release, "b")):
        first = await request(ASYNC | {"Idempotency-Key": key})
        await innkeeper.wait_for_state(first["id"], "succeeded")
        again = await request(ASYNC | {"Idempotency-Key": key})
        assert (again["id"], again["state"]) == (first["id"], "succeeded")
        with pytest.raises(NotFound):
            await request(ASYNC | {"Idempotency-Key": "another"})
        with pytest.raises(NotFound):
            await request({})


OPEN_OPERATION = """
    insert into operation (kind, machine_id, max_failures, not_before)
    values ('power', $1, 1, now() + interval '1 hour') returning id
"""


@pytest.mark.parametrize("action", ["release", "delete", "forget", "power"])
async def test_a_request_waits_for_an_operation_that_is_just_ending(innkeeper: Deployment, action: str) -> None:
    host = await innkeeper.add_simulated()
    system_id = (await innkeeper.compose(host["id"]))["system_id"]
    await own(innkeeper, system_id, "admin")
    components, admin = innkeeper.region.components, innkeeper.admin
    services = components.services
    starts: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "release": lambda: services.releases.start(admin, system_id),
        "delete": lambda: services.machines.start_delete(admin, system_id),
        "forget": lambda: services.adoption.start_forget(admin, system_id),
        "power": lambda: services.machines.start_power(admin, system_id, PowerAction.ON),
    }
    machine_id = (await services.machines.read(system_id, caller=None)).id
    async with components.database.connection() as db:
        before = await db.fetchval(OPEN_OPERATION, machine_id)
    async with components.database.transaction() as db:
        await db.execute("update operation set state = 'succeeded' where id = $1", before)
        starting = asyncio.ensure_future(starts[action]())
        await eventually(lambda: lock_waiters(components.database))
        await lifecycle_store.lock(db, [system_id])  # as the end of an operation does
    operation = await starting
    assert operation is not None
    assert (await components.services.operations.wait(operation.id, timeout_s=240)).state == "succeeded"
