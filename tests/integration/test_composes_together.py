"""Many composes at one moment: each gets what it would get alone, and none waits for or fails with another."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidRequest, NotFound, OutOfCapacity
from regiond.machines.model import ComposeRequest
from regiond.operations.model import Operation
from tests.installation import Installation, installed

HOSTS = ("one", "two", "three")
LOCK_HOST = "select 1 from vm_host where id = $1 for update"  # as who looks at it, or removes it
LOCK_SERVER = "select 1 from server s join vm_host h on h.server_id = s.id where h.id = $1 for update of s"
SMALL: dict[str, Any] = {"cores": 1, "memory_mib": 1024, "storage": "1"}


async def compose_all(made: Installation, *requests: ComposeRequest) -> list[Operation | BaseException]:
    machines = made.region.parts.services.machines
    started = (machines.start_compose(made.admin, request) for request in requests)
    return await asyncio.gather(*started, return_exceptions=True)


async def with_hosts(made: Installation, **more: Any) -> dict[str, int]:
    await made.start_rack()
    found = {name: (await made.add_simulated(name, **more))["id"] for name in HOSTS}
    await made.region.parts.engine.stop()
    return found


async def test_all_that_fit_get_their_room_and_the_others_are_refused(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        hosts = await with_hosts(made, cores=4)
        anywhere = [ComposeRequest(**SMALL) for _ in range(12)]
        named = [ComposeRequest(**SMALL, host_id=hosts["one"]) for _ in range(6)]
        answers = await compose_all(made, *anywhere, *named)
        done = [answer for answer in answers if isinstance(answer, Operation)]
        assert len(done) == 12, "all twelve cores are given away, and none twice"
        assert len({one.hostname for one in done}) == len({one.system_id for one in done}) == 12
        refused = [answer for answer in answers if not isinstance(answer, Operation)]
        assert all(isinstance(answer, OutOfCapacity) for answer in refused)
        assert all("cores: 1 asked, 0 of 4" in str(answer) for answer in refused)


@pytest.mark.same_sql
async def test_the_operation_that_is_answered_is_the_one_that_is_kept(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await with_hosts(made)
        operations = made.region.parts.services.operations
        for answer in await compose_all(made, *(ComposeRequest(**SMALL, power_on=True) for _ in range(3))):
            assert isinstance(answer, Operation)
            kept = await operations.read(answer.id)
            assert kept == answer


@pytest.mark.same_sql
async def test_one_that_is_wrong_is_told_so_and_the_others_are_made(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        hosts = await with_hosts(made)
        twice = [ComposeRequest(**SMALL, hostname="web") for _ in range(2)]
        too_large = ComposeRequest(**{**SMALL, "cores": 99}, host_id=hosts["two"])
        nowhere, beyond = (ComposeRequest(**SMALL, host_id=host_id) for host_id in (999, 2**40))
        good = [ComposeRequest(**SMALL, host_id=hosts["three"]) for _ in range(3)]
        first, second, *others = await compose_all(made, *twice, too_large, nowhere, beyond, *good)
        assert {type(first), type(second)} == {Operation, InvalidRequest}
        assert isinstance(others[0], InvalidRequest)
        assert all(isinstance(answer, NotFound) for answer in others[1:3])
        assert all(isinstance(answer, Operation) for answer in others[3:])


async def test_nobody_waits_for_a_host_that_somebody_else_has_locked(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        hosts = await with_hosts(made)
        on = {name: ComposeRequest(**SMALL, host_id=host_id) for name, host_id in hosts.items()}
        async with made.region.parts.database.transaction() as db:
            await db.execute(LOCK_HOST, hosts["one"])
            await db.execute(LOCK_SERVER, hosts["two"])
            held = [asyncio.create_task(compose_all(made, on[name])) for name in ("one", "two")]
            answers = await compose_all(made, on["three"], on["three"])
            assert all(isinstance(answer, Operation) for answer in answers)
            assert not any(task.done() for task in held)
        (first,), (second,) = await asyncio.gather(*held)
        assert isinstance(first, Operation)
        assert isinstance(second, Operation)
        assert (first.host_name, second.host_name) == ("one", "two")
