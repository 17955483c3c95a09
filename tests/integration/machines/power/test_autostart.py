"""What becomes of machines when their host starts: a setting of the machine, the host or the installation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from regiond.events.model import Level
from regiond.reconciler.model import DiscrepancyKind
from regiond.reconciler.service import Reconciler
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.support.adoption import adopt, refresh, rows
from tests.integration.support.discrepancies import Sweeper, kinds, kinds_after_refresh
from tests.postgresql.database import execute
from tests.support.rejections import invalid_fields
from tests.support.waiting import eventually

_STARTED = "select name from guest join autostart using (guest_id) order by name"


def started(innkeeper: Deployment) -> list[str]:
    """The guests that the hypervisor starts with its host."""
    return [name for (name,) in rows(innkeeper, _STARTED)]


async def composed(innkeeper: Deployment, **fields: Any) -> Any:
    host = await innkeeper.add_simulated(guests=1)
    machine = await innkeeper.compose(host["id"], hostname="web", cores=1, memory=1024, **fields)
    return await innkeeper.get(path(machine))


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def becomes(innkeeper: Deployment, names: list[str]) -> None:
    async def are_started() -> bool:
        return started(innkeeper) == names

    await eventually(are_started)


async def swept(innkeeper: Deployment) -> list[str]:
    """What the reconciler finds, after a refresh of the host."""
    (host,) = await innkeeper.get("vm-hosts/")
    return await kinds_after_refresh(innkeeper, host)


async def repaired(innkeeper: Deployment) -> None:
    sweeper = Sweeper(innkeeper)
    assert (await sweeper.sweep(), await sweeper.sweep()) == ([], ["wrong_autostart"])


@pytest.mark.slow
async def test_a_machine_starts_with_its_host_if_it_ran(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    assert (machine["autostart"], machine["autostart_in_effect"]) == ("default", "last-state")
    assert started(innkeeper) == []
    await innkeeper.post(path(machine), op="power_on")
    assert started(innkeeper) == ["web"]
    await innkeeper.post(path(machine), op="power_off", stop_mode="hard")
    assert started(innkeeper) == []


async def test_a_compose_that_powers_on_counts_as_running(innkeeper: Deployment) -> None:
    await composed(innkeeper, power_on="true")
    assert started(innkeeper) == ["web"]


@pytest.mark.slow
async def test_a_release_clears_what_its_power_set(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, power_on="true")
    await innkeeper.post("machines/", op="allocate", name="web")
    await innkeeper.post(path(machine), op="release")
    assert started(innkeeper) == []


@pytest.mark.slow
async def test_the_setting_of_a_machine_is_set_on_its_host(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    changed = await innkeeper.put(path(machine), autostart="always")
    assert (changed["autostart"], changed["autostart_in_effect"]) == ("always", "always")
    await becomes(innkeeper, ["web"])
    assert "set_autostart" in [one["kind"] for one in await innkeeper.get("operations/")]
    await innkeeper.put(path(machine), autostart="never")
    await becomes(innkeeper, [])
    await innkeeper.post(path(machine), op="power_on")
    assert started(innkeeper) == []
    await innkeeper.put(path(machine), autostart="default")
    await becomes(innkeeper, ["web"])
    assert [*await invalid_fields(innkeeper.put(path(machine), autostart="sometimes"))] == ["autostart"]


@pytest.mark.slow
async def test_the_setting_of_a_host_is_that_of_its_machines(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    host = await innkeeper.put(f"vm-hosts/{machine['pod']['id']}/", autostart="always")
    assert host["autostart"] == "always"
    assert (await innkeeper.get(path(machine)))["autostart_in_effect"] == "always"
    assert await swept(innkeeper) == ["wrong_autostart"]
    await repaired(innkeeper)
    await becomes(innkeeper, ["web"])
    assert await swept(innkeeper) == []
    await innkeeper.compose(host["id"], hostname="db", cores=1, memory=1024)
    assert started(innkeeper) == ["db", "web"]
    host = await innkeeper.put(f"vm-hosts/{machine['pod']['id']}/", autostart="default")
    assert host["autostart"] == "default"


async def test_the_setting_of_the_installation_is_that_of_its_hosts(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await execute(innkeeper.region.components.database, "update installation set autostart = 'never'")
    assert (await innkeeper.get(path(machine)))["autostart_in_effect"] == "never"
    await innkeeper.post(path(machine), op="power_on")
    assert started(innkeeper) == []


async def test_the_installation_follows_the_settings_of_the_region(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, autostart="never") as innkeeper:
        await innkeeper.start_rack()
        machine = await composed(innkeeper)
        assert (machine["autostart"], machine["autostart_in_effect"]) == ("default", "never")


async def test_what_was_started_elsewhere_is_set_by_an_operation(innkeeper: Deployment) -> None:
    await composed(innkeeper)
    rows(innkeeper, "update guest set power = 'on' where name = 'web'")
    assert await swept(innkeeper) == ["wrong_autostart"]
    assert started(innkeeper) == [], "refreshes only read"
    await repaired(innkeeper)
    await becomes(innkeeper, ["web"])
    assert "set_autostart" in [one["kind"] for one in await innkeeper.get("operations/")]


async def test_each_sweep_opens_some_operations_at_hosts(innkeeper: Deployment) -> None:
    """A changed setting of a host makes all its guests differ at once."""
    host, _ = await innkeeper.add_simulated(), await innkeeper.add_simulated("far")
    for name in ("a", "b"):
        await innkeeper.compose(host["id"], hostname=name, cores=1, memory=1024)
    database = innkeeper.region.components.database
    rows(innkeeper, "insert into autostart select guest_id from guest")
    await refresh(innkeeper, host)
    await execute(database, "update server set cores_claimed = cores_claimed + 1")
    totals = await kinds(innkeeper)
    assert totals == ["wrong_total"] * 2
    await execute(database, "update machine set power_changed_at = now() - interval '61 minutes'")
    assert await kinds(innkeeper) == ["wrong_autostart"] * 2 + totals
    sweeper = Reconciler(database, every_s=0.0, max_at_host=1)
    assert await sweeper.sweep() == ()
    done = [one.discrepancy for one in await sweeper.sweep()]
    autostarts = [one.name for one in done if one.kind is DiscrepancyKind.WRONG_AUTOSTART]
    assert (autostarts, len(done)) == (["a"], 1 + len(totals)), "what needs no host is repaired at once"
    await becomes(innkeeper, ["b"])
    await refresh(innkeeper, host)
    assert [one.discrepancy.name for one in await sweeper.sweep()] == ["b"]
    await becomes(innkeeper, [])
    events = await innkeeper.region.components.services.events.list()
    levels = {event.level for event in events if event.details.get("kind") == "wrong_autostart"}
    assert levels == {Level.INFO}
    assert Level.WARNING in {event.level for event in events if event.kind == "discrepancy_found"}


async def test_a_guest_that_just_stopped_starts_again_for_an_hour(innkeeper: Deployment) -> None:
    """Its host may be shutting down."""
    await composed(innkeeper, power_on="true")
    rows(innkeeper, "update guest set power = 'off' where name = 'web'")
    assert await swept(innkeeper) == []
    old = "update machine set power_changed_at = now() - interval '61 minutes'"
    await execute(innkeeper.region.components.database, old)
    assert await swept(innkeeper) == ["wrong_autostart"]
    await repaired(innkeeper)
    await becomes(innkeeper, [])


@pytest.mark.slow
async def test_the_hour_begins_when_its_host_is_reachable_again(innkeeper: Deployment) -> None:
    """Its host was down for longer, and could not start the guest yet."""
    machine = await composed(innkeeper, power_on="true")
    host_id = machine["pod"]["id"]
    rows(innkeeper, "update guest set power = 'off' where name = 'web'")
    assert await swept(innkeeper) == []
    database = innkeeper.region.components.database
    with innkeeper.simulated().down():
        assert not await innkeeper.refreshed(host_id)
        await execute(database, "update machine set power_changed_at = now() - interval '61 minutes'")
        assert await kinds(innkeeper) == []
    await innkeeper.after_refreshes(partial(is_ready, innkeeper, host_id))
    assert await kinds(innkeeper) == []
    await execute(database, "update event set at = at - interval '61 minutes' where kind = 'host_back'")
    assert await kinds(innkeeper) == ["wrong_autostart"]


async def is_ready(innkeeper: Deployment, host_id: int) -> bool:
    return bool((await innkeeper.get(f"vm-hosts/{host_id}/"))["state"] == "ready")


@pytest.mark.parametrize("autostart", [True, False])
async def test_autostart_of_an_adopted_guest_stays_as_it_is(innkeeper: Deployment, autostart: bool) -> None:
    host = await innkeeper.add_simulated(guests=1)
    if autostart:
        rows(innkeeper, "insert into autostart select guest_id from guest")
    before = started(innkeeper)
    (adopted,) = await adopt(innkeeper, host, all="true")
    machine = await innkeeper.get(path(adopted))
    assert (machine["autostart"], machine["autostart_in_effect"]) == ("default", None)
    for op in ("power_off", "power_on", "power_off"):
        await innkeeper.post(path(adopted), op=op)
    await innkeeper.put(f"vm-hosts/{host['id']}/", autostart="always" if not autostart else "never")
    assert await swept(innkeeper) == []
    assert started(innkeeper) == before
    await innkeeper.put(path(adopted), autostart="never" if autostart else "always")
    await becomes(innkeeper, [] if autostart else ["foreign-0001"])


async def test_the_setting_returns_with_a_host(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    await innkeeper.put(path(machine), autostart="never")
    await eventually(lambda: no_open_operation(innkeeper))
    await innkeeper.delete(f"vm-hosts/{machine['pod']['id']}/")
    await innkeeper.add_simulated(guests=1)
    assert (await innkeeper.get(path(machine)))["autostart"] == "never"


async def no_open_operation(innkeeper: Deployment) -> bool:
    return all(one["state"] == "succeeded" for one in await innkeeper.get("operations/"))
