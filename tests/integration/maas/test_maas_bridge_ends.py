"""Registrations in a MAAS end: here, there, with the machine or with its host."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.maas_bridge import (
    DISK_FIRST,
    NETWORK_FIRST,
    begun_registration,
    bridged,
    composed,
    is_,
    maas,
    maas_watch,
    path,
    power_of,
    registered,
    values,
)
from tests.maas_api.bridge_server import RecordedMaas
from tests.maas_api.webhook_driver import PowerError
from tests.support.rejections import rejected_status, rejection
from tests.support.waiting import eventually

__all__ = ["maas"]


@pytest.mark.slow
async def test_the_end_of_a_registration_deletes_the_record(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    assert await rejected_status(innkeeper.delete("maas-servers/metal/")) == 409
    driver = maas.driver(record)
    plan = await innkeeper.post(path(machine), op="unregister_from_maas", dry_run="true")
    assert plan["effects"] == ["web goes on running, and boots from disk, then network again, from its next start on."]
    ended = await innkeeper.post(path(machine), op="unregister_from_maas")
    assert (ended["maas_server"], ended["maas_system_id"], ended["power_state"]) == (None, None, "off")
    assert ended["boot_order"] == DISK_FIRST
    assert maas.machines.all == {}
    with pytest.raises(PowerError, match="410"):
        await asyncio.to_thread(driver.on)
    assert {status for _, _, status in driver.sent} == {410}
    await innkeeper.delete("maas-servers/metal/")


@pytest.mark.slow
async def test_an_order_that_was_chosen_meanwhile_stays(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    await innkeeper.post(path(machine), op="register_in_maas", server="metal", commission="false")
    await innkeeper.post(path(machine), op="set_boot", order="disk")
    end = partial(innkeeper.post, path(machine), op="unregister_from_maas")
    assert (await end(dry_run="true"))["effects"] == ["web goes on running."]
    assert (await end())["boot_order"] == DISK_FIRST


@pytest.mark.slow
async def test_a_registration_that_does_not_end_keeps_its_order(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    record.locked = True
    begun = await innkeeper.begin(path(machine), op="unregister_from_maas")
    assert await innkeeper.ended(begun) == "failed"
    after = await innkeeper.get(path(machine))
    assert (after["maas_system_id"], after["boot_order"]) == (record.system_id, NETWORK_FIRST)
    restored = "select count(*) > 1 from operation_log where step = 'restore_boot_order' and message = 'started'"
    assert await values(innkeeper, restored) == [True]  # forth and back


async def test_a_deleted_machine_is_deleted_in_the_maas(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, _ = await registered(innkeeper, maas)
    await innkeeper.delete(path(machine))
    await eventually(lambda: not maas.machines.all)
    ended = "select count(*) from operation where kind = 'unregister_from_maas' and state = 'succeeded'"
    await eventually(lambda: is_(innkeeper, ended, 1))
    assert (await innkeeper.get("maas-servers/metal/"))["machines"] == 0


@pytest.mark.slow
async def test_what_the_maas_keeps_is_found_and_deleted_later(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    record.locked = True
    await innkeeper.delete(path(machine))
    failed = "select count(*) from operation where kind = 'unregister_from_maas' and state = 'failed'"
    await eventually(lambda: is_(innkeeper, failed, 1))
    with pytest.raises(PowerError, match="410"):
        await asyncio.to_thread(maas.driver(record).query)
    (found,) = await innkeeper.get("discrepancies/")
    assert (found["kind"], found["repair_policy"]) == ("maas_record_left", "approval")
    assert record.system_id in found["found"]
    record.locked = False
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    await eventually(lambda: not maas.machines.all)


@pytest.mark.slow
async def test_a_record_that_the_maas_lost_is_found(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    watch = maas_watch(innkeeper)
    await watch.look(every_s=0)
    assert await innkeeper.get("discrepancies/") == []
    del maas.machines.all[record.system_id]
    before = len(maas.requests)
    await watch.look(every_s=0)
    assert maas.requests[before:] == [f"GET machines/?id={record.system_id}"]
    (found,) = await innkeeper.get("discrepancies/")
    assert (found["kind"], found["system_id"]) == ("maas_record_missing", machine["system_id"])
    assert "register-in-maas web server=metal" in found["remedy"]
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    await eventually(lambda: is_(innkeeper, "select count(*) from maas_registration", 0))
    after = await innkeeper.get(path(machine))
    assert (after["maas_server"], after["power_state"], after["boot_order"]) == (None, "off", DISK_FIRST)
    again = await innkeeper.post(path(machine), op="register_in_maas", server="metal", commission="false")
    assert again["maas_system_id"] != record.system_id


@pytest.mark.slow
async def test_a_maas_is_asked_for_a_few_of_our_machines_at_a_time(innkeeper: Deployment, maas: RecordedMaas) -> None:
    await registered(innkeeper, maas)
    await innkeeper.fetch(
        "insert into maas_registration (server_id, system_id, hostname, mac_addresses, maas_system_id, power_id,"
        " token_hash) select server_id, 'x' || n, 'x' || n, '{}', 'x' || n, 'x' || n, '' from maas_registration,"
        " generate_series(1, 120) n"
    )
    maas.requests.clear()
    await maas_watch(innkeeper).look(every_s=0)
    assert [one.count("id=") for one in maas.requests] == [20, 20, 20, 20, 20, 20, 1]
    present = "select count(*) from maas_registration where missing_since is null"
    assert await values(innkeeper, present) == [1]


@pytest.mark.slow
async def test_a_maas_that_does_not_answer_says_nothing_of_records(innkeeper: Deployment, maas: RecordedMaas) -> None:
    await registered(innkeeper, maas)
    maas.is_down = True
    await maas_watch(innkeeper).look(every_s=0)
    assert await innkeeper.get("discrepancies/") == []
    assert "503" in (await innkeeper.get("maas-servers/metal/"))["problem"]


@pytest.mark.slow
async def test_a_machine_that_returns_with_its_host_is_registered_again(
    innkeeper: Deployment, maas: RecordedMaas
) -> None:
    machine, record = await registered(innkeeper, maas)
    host = machine["pod"]["id"]
    await innkeeper.delete(f"vm-hosts/{host}/")
    (found,) = await innkeeper.get("discrepancies/")
    assert found["kind"] == "maas_record_left"
    with pytest.raises(PowerError, match="410"):
        await asyncio.to_thread(maas.driver(record).query)
    await innkeeper.add_simulated()
    after = await innkeeper.get(path(machine))
    assert (after["maas_server"], after["maas_system_id"]) == ("metal", record.system_id)
    assert await innkeeper.get("discrepancies/") == []
    await asyncio.to_thread(maas.driver(record).on)
    assert await power_of(innkeeper, machine) == "on"


@pytest.mark.slow
async def test_a_machine_that_is_adopted_again_is_registered_again(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    sharing = await innkeeper.add_simulated(host_name="two", shared=1)
    await innkeeper.delete(f"vm-hosts/{machine['pod']['id']}/")
    await innkeeper.post(f"vm-hosts/{sharing['id']}/", op="refresh")
    await innkeeper.post(f"vm-hosts/{sharing['id']}/", op="adopt", guests="web")
    after = await innkeeper.get(path(machine))
    assert (after["maas_server"], after["maas_system_id"]) == ("metal", record.system_id)


@pytest.mark.slow
async def test_a_forgotten_machine_is_registered_anew(innkeeper: Deployment, maas: RecordedMaas) -> None:
    """It is a new machine when it is adopted again; its record of before is deleted first."""
    machine, record = await registered(innkeeper, maas)
    host = f"vm-hosts/{machine['pod']['id']}/"
    await innkeeper.post(path(machine), op="forget")
    (found,) = await innkeeper.get("discrepancies/")
    assert found["kind"] == "maas_record_left"
    with pytest.raises(PowerError, match="410"):
        await asyncio.to_thread(maas.driver(record).query)
    await innkeeper.post(host, op="adopt", guests="web")
    (adopted,) = await innkeeper.get("machines/")
    assert adopted["maas_server"] is None
    register = partial(innkeeper.post, path(adopted), op="register_in_maas", server="metal", deployed="true")
    assert record.system_id in (await rejection(register())).message
    (found,) = await innkeeper.get("discrepancies/")
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    await eventually(lambda: not maas.machines.all)
    await eventually(lambda: is_(innkeeper, "select count(*) from maas_registration", 0))
    again = await register()
    assert list(maas.machines.all) == [again["maas_system_id"]]


@pytest.mark.slow
async def test_a_record_that_is_made_after_the_undo_is_found(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    await undone_without_answer(innkeeper, maas, machine)
    watch = maas_watch(innkeeper)
    await watch.look(every_s=0)
    assert maas.machines.all == {}
    maas.carry_out()
    (record,) = maas.machines.all.values()
    await watch.look(every_s=0)
    (found,) = await innkeeper.get("discrepancies/")
    assert (found["kind"], record.system_id in found["found"]) == ("maas_record_left", True)
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    await eventually(lambda: not maas.machines.all)
    await eventually(lambda: is_(innkeeper, "select count(*) from maas_registration", 0))


@pytest.mark.slow
async def test_a_record_that_is_never_made_is_forgotten(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    await undone_without_answer(innkeeper, maas, machine)
    watch = maas_watch(innkeeper)
    await watch.look(every_s=0)
    assert await values(innkeeper, "select count(*) from maas_registration") == [1]
    await innkeeper.fetch("update maas_registration set asked_at = asked_at - interval '1 hour'")
    await watch.look(every_s=0)
    assert await values(innkeeper, "select count(*) from maas_registration") == [0]
    assert await innkeeper.get("discrepancies/") == []


@pytest.mark.slow
async def test_what_may_still_be_made_is_reported_once_that_is_over(innkeeper: Deployment, maas: RecordedMaas) -> None:
    """A MAAS that is down tells nothing: then it is reported when no request can be carried out any more."""
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    await undone_without_answer(innkeeper, maas, machine)
    assert await values(innkeeper, "select count(*) from maas_registration where machine_id is null") == [1]
    assert await innkeeper.get("discrepancies/") == []
    maas.is_down = True
    await innkeeper.fetch("update maas_registration set asked_at = asked_at - interval '11 minutes'")
    await maas_watch(innkeeper).look(every_s=0)
    (found,) = await innkeeper.get("discrepancies/")
    assert (found["kind"], "a machine with its MAC addresses" in found["found"]) == ("maas_record_left", True)


@pytest.mark.slow
async def test_a_record_that_is_made_after_the_machine_is_deleted_is_found(
    innkeeper: Deployment, maas: RecordedMaas
) -> None:
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    await undone_without_answer(innkeeper, maas, machine)
    await innkeeper.delete(path(machine))
    ended = "select count(*) from operation where kind = 'unregister_from_maas' and state = 'succeeded'"
    await eventually(lambda: is_(innkeeper, ended, 1))
    said = "select message from event where kind = 'machine_unregistered'"
    assert "has nothing of it yet, and is asked again later" in (await values(innkeeper, said))[0]
    maas.carry_out()
    (record,) = maas.machines.all.values()
    await maas_watch(innkeeper).look(every_s=0)
    (found,) = await innkeeper.get("discrepancies/")
    assert (found["kind"], record.system_id in found["found"]) == ("maas_record_left", True)
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    await eventually(lambda: is_(innkeeper, "select count(*) from maas_registration", 0))
    assert maas.machines.all == {}


async def undone_without_answer(innkeeper: Deployment, maas: RecordedMaas, machine: Any) -> None:
    maas.postpones = True
    begun = await begun_registration(innkeeper, machine)
    await eventually(lambda: maas.postponed)
    await innkeeper.post(f"operations/{begun}/", op="cancel")
    assert await innkeeper.ended(begun) == "cancelled"
    maas.postpones = False


@pytest.mark.slow
async def test_a_record_that_is_made_late_is_that_of_the_next_attempt(
    innkeeper: Deployment, maas: RecordedMaas
) -> None:
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    maas.postpones = True
    begun = await begun_registration(innkeeper, machine)
    await eventually(lambda: maas.postponed)
    maas.postpones = False
    maas.carry_out()
    assert await innkeeper.ended(begun) == "succeeded"
    assert maas.machines.created == 1


@pytest.mark.slow
async def test_what_maas_refuses_leaves_nothing(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, _ = await registered(innkeeper, maas)
    other = await innkeeper.compose(machine["pod"]["id"], hostname="db")
    await innkeeper.fetch("update machine set hostname = 'web' || hostname")
    (record,) = maas.machines.all.values()
    record.hostname = "webdb"
    refused = await rejection(innkeeper.post(path(other), op="register_in_maas", server="metal", commission="false"))
    assert "already exists" in refused.message
    assert await innkeeper.get("discrepancies/") == []
    assert await values(innkeeper, "select count(*) from maas_registration") == [1]


async def test_a_record_of_another_machine_is_not_deleted(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    record.mac_addresses = ("52:54:00:00:00:99",)
    record.power["power_query_uri"] = "http://elsewhere/"
    ended = await innkeeper.post(path(machine), op="unregister_from_maas")
    assert ended["maas_server"] is None
    assert list(maas.machines.all) == [record.system_id]
    said = "select message from event where kind = 'machine_unregistered'"
    assert "had no record of it any more" in (await values(innkeeper, said))[0]
