"""Machines that are registered in a MAAS without VM hosts: it commissions them and switches them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import guests
from tests.integration.support.rigs.maas_bridge import (
    NETWORK_FIRST,
    begun_registration,
    bridged,
    composed,
    maas,
    path,
    power_of,
    registered,
    values,
)
from tests.maas_api.bridge_server import KEY, RecordedMaas
from tests.maas_api.machines import MaasMachine
from tests.maas_api.webhook_driver import PowerError, WebhookDriver
from tests.support.rejections import rejected_status, rejection
from tests.support.waiting import eventually

__all__ = ["maas"]


async def test_a_server_is_asked_before_it_is_stored(innkeeper: Deployment, maas: RecordedMaas) -> None:
    added = await bridged(innkeeper, maas)
    assert (added["version"], added["username"], added["machines"], added["problem"]) == ("4.0.0", "admin", 0, "")
    assert "key" not in added
    wrong = partial(innkeeper.post, "maas-servers/", name="other", url=maas.url)
    assert "does not accept the API key" in (await rejection(wrong(key="a:b:c"))).message
    maas.is_admin = False
    assert await rejected_status(wrong(key=KEY)) == 400
    maas.is_down = True
    assert await rejected_status(wrong(key=KEY)) == 503
    assert [one["name"] for one in await innkeeper.get("maas-servers/")] == ["metal"]
    change = partial(innkeeper.put, "maas-servers/metal/")
    assert "sent to no other address" in str((await rejection(change(url="http://127.0.0.1:1/MAAS"))).details["fields"])
    assert (await change(power_url="http://10.0.0.9:5240"))["power_url"] == "http://10.0.0.9:5240"


@pytest.mark.slow
async def test_a_composed_machine_is_commissioned_by_the_maas(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    answer = await innkeeper.post(path(machine), op="register_in_maas", server="metal")
    (record,) = maas.machines.all.values()
    assert (answer["maas_server"], answer["maas_system_id"]) == ("metal", record.system_id)
    assert record.hostname == "web"
    assert list(record.mac_addresses) == [nic["mac_address"] for nic in machine["interface_set"]]
    await eventually(lambda: maas.is_idle)
    assert maas.problems == []
    assert await power_of(innkeeper, machine) == "on"
    assert answer["boot_order"] == NETWORK_FIRST


@pytest.mark.slow
async def test_the_driver_switches_a_machine_on_and_off(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    driver = maas.driver(record)
    assert await asyncio.to_thread(driver.query, system_id=record.system_id) == "off"
    await asyncio.to_thread(driver.on)
    assert await power_of(innkeeper, machine) == "on"
    await asyncio.to_thread(driver.on)  # asked again, the host finds nothing to do
    await asyncio.to_thread(driver.cycle)
    await asyncio.to_thread(driver.off)
    assert await asyncio.to_thread(driver.query) == "off"
    assert {status for _, _, status in driver.sent} == {200}
    driver.query_uri += "/"
    assert await asyncio.to_thread(driver.query) == "off"
    actions = "select request ->> 'action' from operation where kind = 'power' order by id"
    assert await values(innkeeper, actions) == ["on", "on", "off", "on", "off"]
    asked = await values(innkeeper, "select distinct username from event where kind = 'maas_power'")
    assert asked == ["MAAS server metal"]
    trail = "select action from audit_entry where username = 'MAAS server metal' and action is not null order by id"
    assert await values(innkeeper, trail) == [f"MaasPower.{one}" for one in ("on", "on", "off", "on", "off")]


@pytest.mark.slow
async def test_a_record_of_power_that_is_old_does_not_count(innkeeper: Deployment, maas: RecordedMaas) -> None:
    _, record = await registered(innkeeper, maas)
    await innkeeper.fetch("update machine set power_state = 'on'")
    await asyncio.to_thread(maas.driver(record).on)
    assert [power for _, _, power, *_ in guests(innkeeper)] == ["on"]


@pytest.mark.slow
async def test_requests_for_the_same_join_one_operation(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    maas.pause = lambda _: None
    driver = maas.driver(record)
    with innkeeper.held("power"):
        await innkeeper.begin(path(machine), op="power_on")
        for uri in (driver.on_uri, driver.on_uri):
            assert (await asyncio.to_thread(driver.send, "POST", uri))[0] == 200
        status, _, reason = await asyncio.to_thread(driver.send, "POST", driver.off_uri)
    assert (status, "Another operation" in reason) == (409, True)
    assert await values(innkeeper, "select count(*) from operation where kind = 'power'") == [1]


async def test_only_the_secret_of_the_machine_counts(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    driver: WebhookDriver = maas.driver(record)
    for token in ("wrong", KEY, ""):
        driver.token = token
        with pytest.raises(PowerError, match="401"):
            await asyncio.to_thread(driver.query)
    for _ in range(10):
        assert (await asyncio.to_thread(driver.send, "POST", driver.on_uri))[0] == 401
    recorded = await innkeeper.fetch(
        "select action, object, result from audit_entry where action like 'MaasPower.%' order by id"
    )
    assert [tuple(row) for row in recorded[:1]] == [("MaasPower.query", path(machine).rstrip("/"), "rejected")]
    assert len(recorded) < 13, "one of an address each second"
    secret = record.power["power_token"]
    assert secret not in str(await values(innkeeper, "select r::text from maas_registration r"))
    assert KEY not in str(await values(innkeeper, "select s::text from maas_server s"))


@pytest.mark.slow
async def test_a_machine_that_runs_is_registered_as_deployed(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper, power_on="true")
    await bridged(innkeeper, maas)
    register = partial(innkeeper.post, path(machine), op="register_in_maas", server="metal")
    assert "deployed=true" in (await rejection(register())).message
    plan = await register(deployed="true", dry_run="true")
    assert "as it runs" in plan["effects"][1]
    assert maas.machines.all == {}
    # A root disk that is not replaced refuses deployments and their release, but a registration replaces nothing.
    await innkeeper.fetch('update guest set removal = \'{"root_disk_protection": "It is kept."}\'')
    answer = await register(deployed="true")
    (record,) = maas.machines.all.values()
    assert record.status == 6
    assert answer["power_state"] == "on"
    assert await rejected_status(register(deployed="true")) == 409


@pytest.mark.slow
async def test_a_machine_with_secure_boot_is_refused(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    await innkeeper.fetch("update guest set secure_boot = true")
    register = partial(innkeeper.post, path(machine), op="register_in_maas", server="metal")
    for request in (register(), register(deployed="true"), register(dry_run="true")):
        refused = await rejection(request)
        assert "has Secure Boot on" in refused.message
        assert f"innkeeper vm-host refresh {machine['pod']['name']}" in refused.message
    assert maas.machines.all == {}
    await innkeeper.fetch("update guest set secure_boot = false")
    assert (await register(commission="false"))["maas_server"] == "metal"


async def test_a_lost_answer_makes_no_second_machine(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    maas.loses_answers = True
    begun = await begun_registration(innkeeper, machine)
    await eventually(lambda: maas.machines.created == 1)
    assert await innkeeper.ended(begun) == "succeeded"
    assert maas.machines.created == 1
    (record,) = maas.machines.all.values()
    assert (await innkeeper.get(path(machine)))["maas_system_id"] == record.system_id
    assert await asyncio.to_thread(maas.driver(record).query) == "off"


@pytest.mark.slow
async def test_a_cancelled_registration_leaves_no_record(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper)
    await innkeeper.post(path(machine), op="set_boot", order="disk")
    await bridged(innkeeper, maas)
    maas.is_down = True
    begun = await begun_registration(innkeeper, machine)
    await eventually(lambda: len([one for one in maas.requests if one.startswith("GET machines/")]) > 1)
    await innkeeper.post(f"operations/{begun}/", op="cancel")
    maas.is_down = False
    assert await innkeeper.ended(begun) == "cancelled"
    assert maas.machines.all == {}
    after = await innkeeper.get(path(machine))
    assert (after["maas_server"], after["boot_order"]) == (None, ["disk", "network"])


@pytest.mark.slow
async def test_an_address_that_maas_knows_is_refused(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    enlisted = MaasMachine(
        system_id="abcdef", hostname="enlisted", architecture="amd64/generic", power={}, status=0,
        mac_addresses=(machine["interface_set"][0]["mac_address"],),
    )  # fmt: skip
    maas.machines.all["abcdef"] = enlisted
    refused = await rejection(innkeeper.post(path(machine), op="register_in_maas", server="metal"))
    assert "enlisted (abcdef)" in refused.message
    assert list(maas.machines.all) == ["abcdef"]


async def test_a_locked_machine_is_refused_with_the_reason(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    await innkeeper.fetch("update machine set locked = true")
    with pytest.raises(PowerError, match=r"409 .*locked"):
        await asyncio.to_thread(maas.driver(record).on)
    assert await power_of(innkeeper, machine) == "off"


async def test_a_composed_machine_is_registered_and_stays_off(innkeeper: Deployment, maas: RecordedMaas) -> None:
    host = await innkeeper.add_simulated()
    await bridged(innkeeper, maas)
    maas.starts_machines = False
    compose = partial(innkeeper.compose, host["id"], hostname="web")
    unknown = await rejection(compose(register_in_maas="metall"))
    assert "metal" in str(unknown.details["fields"]["register_in_maas"])
    for wrong in ("power_on", "secure_boot"):
        assert await rejected_status(compose(register_in_maas="metal", **{wrong: "true"})) == 400
    machine = await compose(register_in_maas="metal")

    async def is_registered() -> Any:
        found = await innkeeper.get(path(machine))
        return found if found["maas_system_id"] else None

    found = await eventually(is_registered)
    record = maas.machines.find(found["maas_system_id"])
    assert (found["maas_server"], found["power_state"], found["boot_order"]) == ("metal", "off", NETWORK_FIRST)
    assert (record.hostname, record.status) == ("web", 1)
