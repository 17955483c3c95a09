"""Composes are placed as if those that asked before them had their claims, which may not be committed yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from common.errors import WrongState
from regiond.db.pool import Database
from regiond.machines import offer_store
from regiond.machines.committing import Commit, Committer
from regiond.machines.model import ComposeRequest
from regiond.operations.model import Operation
from tests.installation import Installation, installed
from tests.integration.test_composes_in_trouble import compose_in_one_round
from tests.integration.test_composes_together import SMALL, compose_all, with_hosts

if TYPE_CHECKING:
    from regiond.db.pool import Db

T = TypeVar("T")
MANY = 40
LARGE: dict[str, Any] = {
    "cores": 48, "memory_mib": 131072, "numa_nodes": 2, "hugepages_mib": 65536, "hugepage_size_mib": 1024,
    "virtual_functions": "2x48", "pools": "default:500", "networks": "lan:10.1.0.0/24,dmz:10.2.0.0/24:100",
}  # fmt: skip


class Counted:
    """Looks at the named host, and rounds of commits with how many each had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        self.commits: list[int] = []
        named, write = offer_store.named, Committer._write

        async def looked(*asked: Any, **more: Any) -> Any:
            self.looks += 1
            return await named(*asked, **more)

        async def written(its: Committer, db: Any, *, commits: Sequence[Commit], wait: bool) -> Any:
            self.commits.append(len(commits))
            return await write(its, db, commits=commits, wait=wait)

        monkeypatch.setattr(offer_store, "named", looked)
        monkeypatch.setattr(Committer, "_write", written)


async def large_host(made: Installation) -> int:
    await made.start_rack()
    host_id: int = (await made.add_simulated("large", **LARGE))["id"]
    await made.region.parts.engine.stop()
    return host_id


async def held(database: Database, resource: str) -> list[tuple[str, int]]:
    async with database.connection() as db:
        rows = await db.fetch("select key, amount from claim where resource = $1 and machine_id is not null", resource)
    return [tuple(row) for row in rows]


@pytest.mark.same_sql
async def test_many_with_cores_of_their_own_at_once_on_one_host_take_a_handful_of_rounds(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installed(tmp_path, database_url) as made:
        host_id, counted = await large_host(made), Counted(monkeypatch)
        wanted = ComposeRequest(
            host_id=host_id, pin_cores=1, memory_mib=1024, huge_pages_backed=True, storage="1",
            interfaces="eth0:vid=100,type=physical",
        )  # fmt: skip
        answers = await compose_all(made, *[wanted] * MANY)
        assert [answer for answer in answers if not isinstance(answer, Operation)] == []
        cores = await held(made.region.parts.database, "pinned_core")
        assert len({core for core, _ in cores}) == len(cores) == MANY
        assert sum(pages for _, pages in await held(made.region.parts.database, "huge_pages")) == MANY
        functions = await held(made.region.parts.database, "virtual_functions")
        assert (len(functions), {amount for _, amount in functions}) == (MANY, {1})
        assert counted.looks <= 4
        assert len(counted.commits) <= 5, counted.commits


@pytest.mark.same_sql
async def test_who_looks_while_another_is_committed_does_not_go_for_the_same_host(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with installed(tmp_path, database_url) as made:
        hosts = await with_hosts(made)
        anywhere = ComposeRequest(**SMALL)
        first, *others = await compose_in_one_round(made, monkeypatch, anywhere, anywhere, anywhere)
        assert isinstance(first, Operation)
        assert {one.host_id for one in others if isinstance(one, Operation)} == {*hosts.values()} - {first.host_id}


@pytest.mark.same_sql
@pytest.mark.parametrize("is_named", [True, False])
async def test_the_room_of_one_that_comes_to_nothing_is_for_who_looked_meanwhile(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, *, is_named: bool
) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host_id = (await made.add_simulated(cores=1))["id"]
        await made.region.parts.engine.stop()
        last = ComposeRequest(**SMALL, host_id=host_id if is_named else None)
        database = made.region.parts.database
        in_transaction = database.in_transaction

        async def failing(work: Callable[[Db], Awaitable[T]], **more: Any) -> T:
            if isinstance(work, partial) and any(one.hostname == "lost" for one in work.keywords["commits"]):
                raise WrongState("An address went.")
            return await in_transaction(work, **more)

        monkeypatch.setattr(database, "in_transaction", failing)
        lost = ComposeRequest(**SMALL, host_id=host_id, hostname="lost")
        async with asyncio.timeout(20):
            first, second = await compose_in_one_round(made, monkeypatch, lost, last)
        assert isinstance(first, WrongState)
        assert isinstance(second, Operation)
