"""Two readings of a watched MAAS at the same time: what the one that began later says counts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from attrs import define, evolve, field

from common.errors import InnkeeperError
from regiond.hosts.model import HostView
from regiond.hosts.service import Hosts
from regiond.maas.parallel.watch import Comparisons
from regiond.maas.services import MaasServices
from tests.deployment.deployment import Deployment
from tests.doubles.signatures import in_place_of
from tests.integration.support.rigs.maas_parallel import maas, url, watched
from tests.integration.support.tables import sql
from tests.maas_api.messages import JSON, Answer
from tests.maas_api.simulated_site import machine, name_of
from tests.maas_api.state import Maas
from tests.maas_site.hosts import NORTH

__all__ = ["maas", "url"]
pytestmark = pytest.mark.slow  # each begins with an import of two hosts

LAST = "maas/"  # what a reading asks last: the machines are read before


@define
class HeldHosts:
    """Hosts that a comparison has read, and waits for `go` before it continues."""

    hosts: Hosts
    has_read: asyncio.Event = field(factory=asyncio.Event)
    go: asyncio.Event = field(factory=asyncio.Event)

    async def read_all(self, ids: Sequence[int]) -> tuple[HostView, ...]:
        found = await self.hosts.read_all(ids)
        self.has_read.set()
        await self.go.wait()
        return tuple(found)


@define
class SlowReading:
    """A reading that has all but its last answer, from `started` on until `finish`."""

    comparisons: Comparisons
    maas: Maas
    import_id: int
    _go: threading.Event = field(factory=threading.Event)
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        asked = threading.Event()

        def hold(_: Maas) -> None:
            asked.set()
            self._go.wait()

        self.maas.before[LAST] = [hold]
        self._task = asyncio.create_task(self.comparisons.read_again(self.import_id))
        await asyncio.to_thread(asked.wait)

    async def finish(self) -> None:
        assert self._task is not None
        self._go.set()
        await self._task


async def cores_told(innkeeper: Deployment, begun: Any) -> list[str]:
    """What MAAS has for the cores of VMs, where that differs."""
    found = await innkeeper.get(f"maas-imports/{begun['id']}/", op="differences")
    return [one["in_maas"] for one in found["differences"] if one["kind"] == "cores"]


async def read_at(innkeeper: Deployment, begun: Any) -> datetime:
    (row,) = await sql(innkeeper, "select read_at from maas_import where id = $1", begun["id"])
    found: datetime = row["read_at"]
    return found


async def database_time(innkeeper: Deployment) -> datetime:
    (row,) = await sql(innkeeper, "select clock_timestamp() as now")
    found: datetime = row["now"]
    return found


async def test_a_slow_reading_does_not_replace_a_later_one(innkeeper: Deployment, maas: Maas, url: str) -> None:
    begun = await watched(innkeeper, maas, url)
    comparisons = innkeeper.region.components.services.of(MaasServices).maas_comparisons
    slow = SlowReading(comparisons, maas, begun["id"])
    machine(maas, NORTH, 0)["cpu_count"] = 4
    await slow.start()
    machine(maas, NORTH, 0)["cpu_count"] = 5
    await comparisons.read_again(begun["id"])
    newest = await read_at(innkeeper, begun)
    await slow.finish()
    assert await cores_told(innkeeper, begun) == ["5"]
    assert await read_at(innkeeper, begun) == newest
    inventory = await comparisons.imports.inventories.read(begun["id"])
    assert [one.cores for one in inventory.machines if one.hostname == name_of(NORTH, 0)] == [5]


async def test_a_reading_is_as_old_as_its_begin(innkeeper: Deployment, maas: Maas, url: str) -> None:
    begun = await watched(innkeeper, maas, url)
    slow = SlowReading(innkeeper.region.components.services.of(MaasServices).maas_comparisons, maas, begun["id"])
    await slow.start()
    asked = await database_time(innkeeper)
    await slow.finish()
    assert await read_at(innkeeper, begun) < asked


async def test_a_reading_of_before_the_clock_was_set_back_is_replaced(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    begun = await watched(innkeeper, maas, url)
    await sql(innkeeper, "update maas_import set read_at = now() + interval '1 hour'")
    await innkeeper.region.components.services.of(MaasServices).maas_comparisons.read_again(begun["id"])
    assert await read_at(innkeeper, begun) < await database_time(innkeeper)


async def test_a_slow_failure_does_not_hide_a_later_success(innkeeper: Deployment, maas: Maas, url: str) -> None:
    begun = await watched(innkeeper, maas, url)
    comparisons = innkeeper.region.components.services.of(MaasServices).maas_comparisons
    slow = SlowReading(comparisons, maas, begun["id"])
    await slow.start()
    await comparisons.read_again(begun["id"])
    maas.instead[LAST] = Answer(status=503, body=b"{}", content_type=JSON)
    with pytest.raises(InnkeeperError, match="503"):
        await slow.finish()
    assert (await innkeeper.get(f"maas-imports/{begun['id']}/"))["problem"] == ""
    with pytest.raises(InnkeeperError, match="503"):
        await comparisons.read_again(begun["id"])
    assert "503" in (await innkeeper.get(f"maas-imports/{begun['id']}/"))["problem"]


async def test_a_slow_comparison_does_not_replace_that_of_a_later_reading(
    innkeeper: Deployment, maas: Maas, url: str
) -> None:
    begun = await watched(innkeeper, maas, url)
    comparisons = innkeeper.region.components.services.of(MaasServices).maas_comparisons
    held = HeldHosts(comparisons.hosts)
    machine(maas, NORTH, 0)["cpu_count"] = 4
    slow = asyncio.create_task(evolve(comparisons, hosts=in_place_of(Hosts, held)).read_again(begun["id"]))
    await held.has_read.wait()
    machine(maas, NORTH, 0)["cpu_count"] = 5
    await comparisons.read_again(begun["id"])
    held.go.set()
    await slow
    assert await cores_told(innkeeper, begun) == ["5"]
