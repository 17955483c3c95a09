"""A recorded MAAS at a region in which machines are registered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from regiond.maas.bridge.watch import MaasWatch
from tests.deployment.deployment import Deployment
from tests.maas_api.bridge_server import KEY, RecordedMaas, serving
from tests.maas_api.machines import MaasMachine
from tests.support.waiting import eventually

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


async def composed(innkeeper: Deployment, *, delay_ms: int = 0, **fields: Any) -> Any:
    host = await innkeeper.add_simulated(delay_ms=delay_ms)
    machine = await innkeeper.compose(host["id"], hostname="web", **fields)
    return await innkeeper.get(path(machine))


async def registered(
    innkeeper: Deployment, maas: RecordedMaas, *, delay_ms: int = 0, **fields: Any
) -> tuple[Any, MaasMachine]:
    """A machine that is registered and was not commissioned, here and in the MAAS."""
    machine = await composed(innkeeper, delay_ms=delay_ms)
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


async def is_(innkeeper: Deployment, statement: str, expected: Any) -> bool:
    return await values(innkeeper, statement) == [expected]


def maas_watch(innkeeper: Deployment) -> MaasWatch:
    """The task that compares registrations with the MAAS servers."""
    return next(one for one in innkeeper.region.components.of_extensions if isinstance(one, MaasWatch))
