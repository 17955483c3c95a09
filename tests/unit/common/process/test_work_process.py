"""The processes that read what others have sent: their limits, their turns, and that none is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from common.process.work_process import MAX_LINE_BYTES, WorkFailed, WorkLimits, work_process
from regiond.maas.access import maas_access
from regiond.maas.imports.inventory_file import MAX_OBJECT_BYTES
from regiond.maas.imports.inventory_reading import InventoryReading
from tests.maas_api.authentication import api_key
from tests.maas_api.server import serving
from tests.maas_api.simulated_site import simulated_maas
from tests.maas_api.state import Maas
from tests.support.waiting import eventually
from tests.unit.support import worker

ADMIN_TOKEN = 1
LIMITS = WorkLimits(cpu_s=5, memory_bytes=512 * 2**20, deadline_s=60.0)


def children() -> set[str]:
    """The processes that this one has started and that have not ended."""
    return {one for task in Path("/proc/self/task").iterdir() for one in (task / "children").read_text().split()}


async def answer(wanted: str, content: bytes = b"", limits: WorkLimits = LIMITS) -> object:
    async with work_process(worker.__name__, {"wanted": wanted}, content, limits) as output:
        return await output.line()


async def test_a_process_answers_what_it_was_given() -> None:
    assert await answer("length", b"x" * 3_000_000) == 3_000_000


async def test_a_process_gets_no_settings_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INNKEEPER_DATABASE", "postgresql://user:secret@host/name")
    found = await answer("environment")
    assert isinstance(found, list)
    assert "PYTHONPATH" in found
    assert not [name for name in found if name.startswith("INNKEEPER")]


@pytest.mark.parametrize("wanted", ["memory", "cpu", "line", "nothing"])
async def test_a_process_that_reaches_a_limit_has_failed(wanted: str) -> None:
    before = children()
    with pytest.raises(WorkFailed):
        await answer(wanted, limits=WorkLimits(cpu_s=1, memory_bytes=512 * 2**20, deadline_s=60.0))
    assert children() == before


async def test_a_process_that_never_answers_ends_at_its_deadline() -> None:
    before = children()
    with pytest.raises(TimeoutError):
        await answer("silence", limits=WorkLimits(cpu_s=5, memory_bytes=512 * 2**20, deadline_s=1.0))
    assert children() == before


@pytest.fixture
def maas() -> Maas:
    return simulated_maas()


@pytest.fixture
def url(maas: Maas) -> Iterator[str]:
    with serving(maas) as found:
        yield found


async def test_two_readings_run_at_once_and_a_cancelled_one_leaves_no_process(maas: Maas, url: str) -> None:
    before, reading = children(), InventoryReading()
    maas.hold = threading.Event()
    access = maas_access(url, api_key(maas, ADMIN_TOKEN))
    tasks = [asyncio.create_task(reading.of_maas(access)) for _ in range(3)]
    await eventually(lambda: maas.at_once == 2)
    assert len(children() - before) == 2
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert children() == before


def test_the_longest_line_fits_what_an_inventory_has() -> None:
    assert MAX_LINE_BYTES >= 2 * MAX_OBJECT_BYTES
