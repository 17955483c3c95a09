"""Force removal of a dead host: nothing on it is touched, its machines are lost, and nothing resurrects them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from common.errors import InnkeeperError
from regiond.hosts.operation_intents import open_removal
from regiond.hosts.removal_model import HostRemoval
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import adopt, guests, volumes
from tests.integration.support.tables import count, is_count, rows
from tests.support.clock import in_no_time
from tests.support.rejections import invalid_fields
from tests.support.waiting import eventually, settle

SMALL: dict[str, Any] = {"cores": 1, "memory": 1024}
LEDGER = ("machine", "machine_disk", "machine_nic", "ip_address", "claim", "guest", "server", "vm_host", "tombstone")


@pytest.fixture
def host(innkeeper: Deployment) -> Any:
    """Has a machine that Innkeeper created, `web`; an adopted one, foreign-0001; and a foreign VM, foreign-0002."""

    async def prepared() -> Any:
        host = await innkeeper.add_simulated(guests=2, cores=8)
        await innkeeper.compose(host["id"], hostname="web", **SMALL)
        await adopt(innkeeper, host, guests="foreign-0001")
        return host

    return settle(prepared())


@pytest.fixture
def dead(innkeeper: Deployment, host: Any) -> Iterator[Any]:
    with innkeeper.simulated().down():
        yield host


def path(host: Any) -> str:
    return f"vm-hosts/{host['id']}/"


async def force(innkeeper: Deployment, host: Any) -> Any:
    """The answer of the removal."""
    answer = await innkeeper.delete(path(host), force="true")
    assert answer.status == 200
    return answer.json()


async def begin_force(innkeeper: Deployment, host: Any) -> int:
    return await begin_removal(innkeeper, host, "force")


async def begin_removal(innkeeper: Deployment, host: Any, option: str) -> int:
    answer = await innkeeper.send("DELETE", path(host), query=[(option, "true")], headers=ASYNC)
    return int(answer.json()["id"])


async def is_gone(innkeeper: Deployment) -> bool:
    """Whether nothing of the machines and hosts is left in the ledger, and no operation is open."""
    left = [await count(innkeeper, table) for table in LEDGER]
    return not any(left) and await count(innkeeper, "operation where is_open") == 0


async def mac_of(innkeeper: Deployment, hostname: str) -> str:
    (machine,) = [one for one in await innkeeper.get("machines/") if one["hostname"] == hostname]
    mac: str = machine["interface_set"][0]["mac_address"]
    return mac


async def returned(innkeeper: Deployment) -> Any:
    """Adds the host again."""
    return await innkeeper.add_simulated(guests=2, cores=8)


async def test_a_dead_host_is_removed_and_its_machines_are_named(innkeeper: Deployment, dead: Any) -> None:
    before = guests(innkeeper), volumes(innkeeper)
    answer = await force(innkeeper, dead)
    assert [text.split(" (")[0] for text in answer["lost"]] == ["web", "foreign-0001"]
    assert [text.split(" (")[0] for text in answer["kept"]] == ["foreign-0002"]
    assert await is_gone(innkeeper)
    assert (guests(innkeeper), volumes(innkeeper)) == before
    recorded = await innkeeper.region.components.services.events.list()
    (removed,) = [event.message for event in recorded if event.kind == "host_removed"]
    assert removed == "sim was removed by force; 2 machines are lost: web, foreign-0001"
    events = [event for event in recorded if event.kind == "machine_lost"]
    assert {(event.message.split(" ")[0], event.username) for event in events} == {
        ("web", "admin"), ("foreign-0001", "admin"),
    }  # fmt: skip
    assert {one["hostname"] for one in await innkeeper.get("machines/", op="detached") if one["lost"]} == {
        "web", "foreign-0001",
    }  # fmt: skip


async def test_a_dry_run_names_the_machines_that_would_be_lost(innkeeper: Deployment, dead: Any) -> None:
    plan = (await innkeeper.delete(path(dead), force="true", dry_run="true")).json()
    assert ([one["name"] for one in plan["lost"]], plan["deleted"]) == (["web", "foreign-0001"], [])
    assert [one["name"] for one in plan["kept"]] == ["foreign-0002"]
    assert await is_count(innkeeper, "machine", 2)
    assert await count(innkeeper, "operation where kind = 'remove_host'") == 0


@pytest.mark.parametrize("options", [{}, {"dry_run": "true"}], ids=["removal", "dry_run"])
async def test_a_host_that_answers_is_not_removed_by_force(
    innkeeper: Deployment, host: Any, options: dict[str, str]
) -> None:
    with pytest.raises(
        InnkeeperError, match="sim answers, and force is only for hosts that are lost for good"
    ) as error:
        await innkeeper.delete(path(host), force="true", **options)
    assert error.value.details["status"] == 409
    assert (await innkeeper.get(path(host)))["state"] == "ready"
    assert await is_count(innkeeper, "machine", 2)


async def test_without_a_rack_nobody_knows_that_a_host_is_dead(innkeeper: Deployment, host: Any) -> None:
    await innkeeper.stop_rack()
    with pytest.raises(
        InnkeeperError, match="No rack could check that sim does not answer, which its removal by force requires"
    ):
        await innkeeper.delete(path(host), force="true")
    assert await is_count(innkeeper, "machine", 2)


@pytest.mark.parametrize("options", [{}, {"dry_run": "true"}], ids=["removal", "dry_run"])
async def test_machines_of_a_dead_host_are_not_deleted_without_force(
    innkeeper: Deployment, dead: Any, options: dict[str, str]
) -> None:
    assert not await innkeeper.refreshed(dead["id"])
    with pytest.raises(InnkeeperError, match="force=true") as error:
        await innkeeper.delete(path(dead), decompose="true", **options)
    assert "does not answer" in error.value.message
    assert (await innkeeper.get(path(dead)))["state"] == "unreachable"


async def test_force_and_decompose_exclude_each_other(innkeeper: Deployment, dead: Any) -> None:
    fields = await invalid_fields(innkeeper.delete(path(dead), force="true", decompose="true"))
    assert list(fields) == ["force"]


@pytest.mark.slow
async def test_a_returned_host_shows_guests_that_can_be_adopted(innkeeper: Deployment, host: Any) -> None:
    mac = await mac_of(innkeeper, "web")
    with innkeeper.simulated().down():
        await force(innkeeper, host)
    before = guests(innkeeper), volumes(innkeeper)
    other = await innkeeper.add_simulated("other")
    await innkeeper.compose(other["id"], hostname="web", **SMALL)  # the name is free
    again = await returned(innkeeper)
    assert [one["hostname"] for one in await innkeeper.get("machines/")] == ["web"]
    foreign = await innkeeper.get(f"vm-hosts/{again['id']}/", op="guests")
    assert {(one["name"], one["kind"]) for one in foreign} == {
        (name, "foreign VM") for name in ("web", "foreign-0001", "foreign-0002")
    }
    assert (guests(innkeeper), volumes(innkeeper)) == before
    await innkeeper.post(f"vm-hosts/{again['id']}/", op="adopt", guests="foreign-0001")
    (web,) = [one for one in await innkeeper.get("virtual-machines/") if one["identifier"] == "web" and
              one["host_name"] == "sim"]  # fmt: skip
    await innkeeper.post(f"virtual-machines/{web['id']}", op="adopt", hostname="web-2")
    assert await mac_of(innkeeper, "web-2") == mac
    assert await innkeeper.get("machines/", op="detached") == []


async def test_the_reconciler_never_removes_a_returned_guest(innkeeper: Deployment, host: Any) -> None:
    with innkeeper.simulated().down():
        await force(innkeeper, host)
    again = await returned(innkeeper)
    before = guests(innkeeper), volumes(innkeeper)
    for _ in range(3):
        await innkeeper.region.components.services.reconciler.sweep()
        assert await innkeeper.refreshed(again["id"])
    assert (guests(innkeeper), volumes(innkeeper)) == before
    found = {(one["kind"], one["name"]) for one in await innkeeper.get("discrepancies/")}
    assert found == {("unknown_guest", "web"), ("unknown_guest", "foreign-0001")}


async def test_a_compose_in_flight_is_ended_and_stays_ended(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held():
        operation = await innkeeper.begin_compose(host["id"], hostname="late", **SMALL)
        await innkeeper.wait_for_state(operation, "running")
        removal = await in_no_time(begin_force(innkeeper, host))
        assert await in_no_time(innkeeper.ended(removal)) == "succeeded"
        ended = await innkeeper.get(f"operations/{operation}/")
        assert (ended["state"], ended["error"]["code"]) == ("failed", "host_unreachable")
        assert "removed by force" in ended["error"]["message"]
        assert await is_gone(innkeeper)
    assert (await innkeeper.get(f"operations/{operation}/"))["state"] == "failed"
    assert await is_gone(innkeeper)
    (lost,) = await innkeeper.get("machines/", op="detached")
    assert (lost["hostname"], lost["lost"]) == ("late", True)


@pytest.mark.parametrize("how", ["power_on", "delete", "remove"])
async def test_operations_that_wait_for_the_host_are_ended(innkeeper: Deployment, host: Any, how: str) -> None:
    web = next(one for one in await innkeeper.get("machines/") if one["hostname"] == "web")
    with innkeeper.simulated().down():
        if how == "power_on":
            waiting = await innkeeper.begin(f"machines/{web['system_id']}/", op="power_on")
        elif how == "delete":
            waiting = await innkeeper.begin(f"machines/{web['system_id']}/", method="DELETE")
        else:
            waiting = await begin_removal(innkeeper, host, "decompose")
        await innkeeper.wait_for_state(waiting, "waiting")
        await force(innkeeper, host)
        assert await innkeeper.ended(waiting) == "failed"
        assert await is_gone(innkeeper)
    again = await returned(innkeeper)
    assert len(await innkeeper.get(f"vm-hosts/{again['id']}/", op="guests")) == 3
    assert "web" in innkeeper.simulated_guests()


async def test_a_compose_that_is_being_undone_is_ended(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    with innkeeper.held("create volume"):
        operation = await innkeeper.begin_compose(host["id"], hostname="late", **SMALL)
        await innkeeper.wait_for_state(operation, "running")
        await eventually(innkeeper.simulated().is_holding)  # before that, nothing would have to be undone
        with innkeeper.simulated().down():
            await innkeeper.post(f"operations/{operation}/", op="cancel")
            await force(innkeeper, host)  # answers after 8 s at the latest, ended or not
            await eventually(lambda: is_gone(innkeeper))
    assert await innkeeper.ended(operation) == "failed"
    assert await innkeeper.get("machines/") == []


async def test_two_removals_by_force_are_one(innkeeper: Deployment, dead: Any) -> None:
    first, second = await asyncio.gather(*(begin_force(innkeeper, dead) for _ in range(2)))
    assert first == second
    assert await innkeeper.ended(first) == "succeeded"
    assert await is_gone(innkeeper)


@pytest.mark.slow
async def test_a_host_that_returns_in_time_is_kept(innkeeper: Deployment, host: Any) -> None:
    with innkeeper.simulated().down():
        services = innkeeper.region.components.services
        host_view = await services.hosts.read(host["id"], caller=None)
        async with innkeeper.region.components.database.transaction() as db:
            removal = await open_removal(db, innkeeper.admin, host_view, HostRemoval(force=True))
            await db.execute("update operation set not_before = now() + interval '1 hour' where id = $1", removal)
    assert await innkeeper.refreshed(host["id"])
    async with innkeeper.region.components.database.transaction() as db:
        await db.execute("update operation set not_before = now() where id = $1", removal)
    assert await innkeeper.ended(removal) == "failed"
    assert (await innkeeper.get(f"operations/{removal}/"))["error"]["code"] == "wrong_state"
    await innkeeper.after_refreshes(lambda: is_count(innkeeper, "vm_host where state = 'ready'", 1))
    assert await is_count(innkeeper, "machine", 2)
    await innkeeper.compose(host["id"], hostname="next", **SMALL)


async def test_a_sibling_host_keeps_its_machines_and_claims(innkeeper: Deployment, host: Any) -> None:
    address = "simulated:sim?cores=8&memory_mib=12288&guests=2&fault_seed=1&shared=1"
    sibling = await innkeeper.add_host(type="simulated", power_address=address, name="sibling")
    await innkeeper.compose(sibling, hostname="other", **SMALL)
    claimed = await rows(innkeeper, "select cores_claimed, memory_mib_claimed from server")
    with innkeeper.simulated().down():
        await force(innkeeper, host)
        assert [one["hostname"] for one in await innkeeper.get("machines/")] == ["other"]
        assert await rows(innkeeper, "select cores_claimed, memory_mib_claimed from server") == claimed
    assert await eventually(lambda: innkeeper.refreshed(sibling))
    assert [one["hostname"] for one in await innkeeper.get("machines/")] == ["other"]
    assert await rows(innkeeper, "select cores_claimed, memory_mib_claimed from server") == claimed


async def test_a_cancelled_removal_by_force_changes_nothing(innkeeper: Deployment, dead: Any) -> None:
    hosts = innkeeper.region.components.services.hosts
    view = await hosts.read(dead["id"], caller=None)
    async with innkeeper.region.components.database.transaction() as db:
        removal = await open_removal(db, innkeeper.admin, view, HostRemoval(force=True))
        await db.execute("update operation set cancel_requested = true where id = $1", removal)
    assert await innkeeper.ended(removal) == "cancelled"
    assert await is_count(innkeeper, "machine", 2)
    assert await is_count(innkeeper, "vm_host where state = 'unreachable'", 1)
    assert await count(innkeeper, "detached_machine") == 0
