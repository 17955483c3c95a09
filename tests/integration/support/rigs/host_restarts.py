"""Restarts of simulated hosts, and what the region does afterwards."""

from __future__ import annotations

from functools import partial
from typing import Any

from regiond.machines.power.wanted_power.service import WantedPowers
from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import rows
from tests.integration.support.tables import sql
from tests.support.waiting import eventually

_STOPPED = "update guest set power = 'off'"
LATER = (
    "update vm_host set lost_at = lost_at - make_interval(mins => $1), "
    "state_since = state_since - make_interval(mins => $1)",
    "update machine set power_changed_at = power_changed_at - make_interval(mins => $1)",
    "update operation set finished_at = finished_at - make_interval(mins => $1), "
    "created_at = created_at - make_interval(mins => $1) where not is_open",
)


def path(machine: Any) -> str:
    return f"machines/{machine['system_id']}/"


async def composed(innkeeper: Deployment, *names: str, host: str = "sim", **fields: Any) -> list[Any]:
    """Machines that run on a host of their own."""
    made = await innkeeper.add_simulated(host, cores=32, memory_mib=65536)
    answers = [
        await innkeeper.compose(made["id"], hostname=name, cores=1, memory=1024, power_on="true", **fields)
        for name in names
    ]
    return [await innkeeper.get(path(machine)) for machine in answers]


async def never_starts(innkeeper: Deployment, machine: Any) -> None:
    await innkeeper.put(path(machine), autostart="never")
    (operation,) = await innkeeper.fetch("select id from operation where kind = 'set_autostart'")
    assert await innkeeper.ended(operation["id"]) == "succeeded"


async def lost(innkeeper: Deployment, machine: Any) -> None:
    """The region has noticed that the host of the machine is not reachable, as within `down`."""
    assert not await innkeeper.refreshed(machine["pod"]["id"])


async def back(innkeeper: Deployment, machine: Any) -> None:
    async def is_ready() -> bool:
        return bool((await innkeeper.get(f"vm-hosts/{machine['pod']['id']}/"))["state"] == "ready")

    await innkeeper.after_refreshes(is_ready)


async def restarted(innkeeper: Deployment, machine: Any, *, host: str = "sim", stops: bool = True) -> None:
    """The host was away, and its guests are off if the outage stopped them."""
    with innkeeper.simulated(host).down():
        await lost(innkeeper, machine)
        if stops:
            rows(innkeeper, _STOPPED, name=host)
    await back(innkeeper, machine)


async def later(innkeeper: Deployment, minutes: int = 3) -> None:
    """Moves what has happened to the past, then lets the region decide."""
    await passes(innkeeper, minutes)
    await decided(innkeeper)


async def passes(innkeeper: Deployment, minutes: int = 3) -> None:
    for statement in LATER:
        await sql(innkeeper, statement, minutes)


async def decided(innkeeper: Deployment) -> None:
    await powers_of(innkeeper).round()


def powers_of(innkeeper: Deployment) -> WantedPowers:
    powers = innkeeper.region.components.services.wanted_powers
    assert isinstance(powers, WantedPowers)
    return powers


async def starts(innkeeper: Deployment) -> list[str]:
    """The machines that operations without a user have started or start, in order."""
    found = await sql(
        innkeeper, "select hostname from operation where kind = 'power' and account_id is null order by id"
    )
    return [row["hostname"] for row in found]


async def runs(innkeeper: Deployment, machine: Any) -> None:
    await eventually(partial(_is_on, innkeeper, machine))


async def _is_on(innkeeper: Deployment, machine: Any) -> bool:
    return bool((await innkeeper.get(path(machine)))["power_state"] == "on")


async def listed(innkeeper: Deployment) -> list[Any]:
    """The machines that should run, and are on the list of what needs attention."""
    return [one for one in await innkeeper.get("attention/") if one["kind"] == "vm_should_run"]


async def names(innkeeper: Deployment) -> list[str]:
    return sorted(one["name"] for one in await listed(innkeeper))


async def wanted(innkeeper: Deployment, machine: Any) -> tuple[str, str, str | None]:
    """The power state that the machine should have, what set it, and who asked."""
    found = (await innkeeper.get(path(machine)))["wanted_power"]
    return found["state"], found["set_by"], found["user"]
