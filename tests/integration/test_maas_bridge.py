"""Machines that are registered in a MAAS without VM hosts: it commissions them, switches them, and forgets them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.maas_api.bridge_server import KEY, RecordedMaas, serving
from tests.maas_api.machines import MaasMachine
from tests.maas_api.webhook_driver import PowerError, WebhookDriver
from tests.rejections import rejected_status, rejection
from tests.waiting import eventually

NETWORK_FIRST, DISK_FIRST = ["network", "disk"], ["disk", "network"]
_POWER_OPEN = "select count(*) from operation where is_open and kind = 'power'"


@pytest.fixture
def maas() -> Iterator[RecordedMaas]:
    with serving(RecordedMaas()) as running:
        yield running


async def values(innkeeper: Deployment, statement: str) -> list[Any]:
    """The first column of each row."""
    return [row[0] for row in await innkeeper.fetch(statement)]


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


def pause_of(innkeeper: Deployment) -> Any:
    """The driver's wait: until nothing changes the power of a machine."""
    loop = asyncio.get_running_loop()

    async def is_at_rest() -> bool:
        return await values(innkeeper, _POWER_OPEN) == [0]

    def pause(_: float) -> None:
        asyncio.run_coroutine_threadsafe(eventually(is_at_rest), loop).result()

    return pause


async def bridged(innkeeper: Deployment, maas: RecordedMaas, **fields: Any) -> Any:
    """Adds the MAAS as `metal`."""
    maas.pause = pause_of(innkeeper)
    power_url = innkeeper.region.api_url.partition("/MAAS")[0]
    return await innkeeper.post("maas-servers/", name="metal", url=maas.url, key=KEY, power_url=power_url, **fields)


async def composed(innkeeper: Deployment, **fields: Any) -> Any:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web", **fields)
    return await innkeeper.get(path(machine))


async def registered(innkeeper: Deployment, maas: RecordedMaas, **fields: Any) -> tuple[Any, MaasMachine]:
    """A machine that is registered and was not commissioned, here and in the MAAS."""
    machine = await composed(innkeeper)
    await innkeeper.post(path(machine), op="set_boot", order="disk")
    await bridged(innkeeper, maas)
    answer = await innkeeper.post(
        path(machine), op="register_in_maas", server="metal", **{"commission": "false", **fields}
    )
    assert answer["boot_order"] == NETWORK_FIRST
    return answer, maas.machines.find(answer["maas_system_id"])


async def begun_registration(innkeeper: Deployment, machine: Any) -> int:
    return await innkeeper.begin(path(machine), op="register_in_maas", server="metal", commission="false")


async def power_of(innkeeper: Deployment, machine: Any) -> str:
    return str((await innkeeper.get(path(machine)))["power_state"])


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


async def test_the_driver_switches_a_machine_on_and_off(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    driver = maas.driver(record)
    assert await asyncio.to_thread(driver.query, system_id=record.system_id) == "off"
    await asyncio.to_thread(driver.on)
    assert await power_of(innkeeper, machine) == "on"
    await asyncio.to_thread(driver.on)  # asked again, nothing is done
    await asyncio.to_thread(driver.cycle)
    await asyncio.to_thread(driver.off)
    assert await asyncio.to_thread(driver.query) == "off"
    assert {status for _, _, status in driver.sent} == {200}
    driver.query_uri += "/"
    assert await asyncio.to_thread(driver.query) == "off"
    actions = "select request ->> 'action' from operation where kind = 'power' order by id"
    assert await values(innkeeper, actions) == ["on", "off", "on", "off"]
    asked = await values(innkeeper, "select distinct username from event where kind = 'maas_power'")
    assert asked == ["MAAS server metal"]
    trail = "select action from audit_entry where username = 'MAAS server metal' and action is not null order by id"
    assert await values(innkeeper, trail) == ["MaasPower.on", "MaasPower.off", "MaasPower.on", "MaasPower.off"]


async def test_only_the_secret_of_the_machine_counts(innkeeper: Deployment, maas: RecordedMaas) -> None:
    _, record = await registered(innkeeper, maas)
    driver: WebhookDriver = maas.driver(record)
    for token in ("wrong", KEY, ""):
        driver.token = token
        with pytest.raises(PowerError, match="401"):
            await asyncio.to_thread(driver.query)
    secret = record.power["power_token"]
    assert secret not in str(await values(innkeeper, "select r::text from maas_registration r"))
    assert KEY not in str(await values(innkeeper, "select s::text from maas_server s"))


async def test_a_machine_that_runs_is_registered_as_deployed(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper, power_on="true")
    await bridged(innkeeper, maas)
    register = partial(innkeeper.post, path(machine), op="register_in_maas", server="metal")
    assert "deployed=true" in (await rejection(register())).message
    plan = await register(deployed="true", dry_run="true")
    assert "as it runs" in plan["effects"][1]
    assert maas.machines.all == {}
    answer = await register(deployed="true")
    (record,) = maas.machines.all.values()
    assert record.status == 6
    assert answer["power_state"] == "on"
    assert await rejected_status(register(deployed="true")) == 409


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


async def test_an_order_that_was_chosen_meanwhile_stays(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine = await composed(innkeeper)
    await bridged(innkeeper, maas)
    await innkeeper.post(path(machine), op="register_in_maas", server="metal", commission="false")
    await innkeeper.post(path(machine), op="set_boot", order="disk")
    end = partial(innkeeper.post, path(machine), op="unregister_from_maas")
    assert (await end(dry_run="true"))["effects"] == ["web goes on running."]
    assert (await end())["boot_order"] == DISK_FIRST


async def test_a_registration_that_does_not_end_keeps_its_order(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    record.locked = True
    begun = await innkeeper.begin(path(machine), op="unregister_from_maas")
    assert await innkeeper.ended(begun) == "failed"
    after = await innkeeper.get(path(machine))
    assert (after["maas_system_id"], after["boot_order"]) == (record.system_id, NETWORK_FIRST)
    steps = await values(innkeeper, f"select step from operation_log where operation_id = {begun} order by id")
    assert [one for one in steps if one == "restore_boot_order"] != []


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


async def test_a_deleted_machine_is_deleted_in_the_maas(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, _ = await registered(innkeeper, maas)
    await innkeeper.delete(path(machine))
    await eventually(lambda: not maas.machines.all)
    ended = "select count(*) from operation where kind = 'unregister_from_maas' and state = 'succeeded'"
    await eventually(lambda: is_(innkeeper, ended, 1))
    assert (await innkeeper.get("maas-servers/metal/"))["machines"] == 0


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


async def test_a_record_that_the_maas_lost_is_found(innkeeper: Deployment, maas: RecordedMaas) -> None:
    machine, record = await registered(innkeeper, maas)
    watch = innkeeper.region.components.maas_watch
    await watch.look(every_s=0)
    assert await innkeeper.get("discrepancies/") == []
    del maas.machines.all[record.system_id]
    before = len(maas.requests)
    await watch.look(every_s=0)
    assert maas.requests[before:] == ["GET machines/"]
    (found,) = await innkeeper.get("discrepancies/")
    assert (found["kind"], found["system_id"]) == ("maas_record_missing", machine["system_id"])
    assert "register-in-maas web server=metal" in found["remedy"]
    await innkeeper.post(f"discrepancies/{found['id']}/", op="approve", etag=found["etag"])
    await eventually(lambda: is_(innkeeper, "select count(*) from maas_registration", 0))
    after = await innkeeper.get(path(machine))
    assert (after["maas_server"], after["power_state"], after["boot_order"]) == (None, "off", DISK_FIRST)
    again = await innkeeper.post(path(machine), op="register_in_maas", server="metal", commission="false")
    assert again["maas_system_id"] != record.system_id


async def test_a_maas_that_does_not_answer_says_nothing_of_records(innkeeper: Deployment, maas: RecordedMaas) -> None:
    await registered(innkeeper, maas)
    maas.is_down = True
    await innkeeper.region.components.maas_watch.look(every_s=0)
    assert await innkeeper.get("discrepancies/") == []
    assert "503" in (await innkeeper.get("maas-servers/metal/"))["problem"]


async def is_(innkeeper: Deployment, statement: str, expected: Any) -> bool:
    return await values(innkeeper, statement) == [expected]
