"""Concurrent composes share transactions; each gets what it would get alone and none delays another."""

from __future__ import annotations

import asyncio

from common.errors import InvalidRequest, NotFound, OutOfCapacity
from common.guests.compose_request import ComposeRequest
from regiond.operations.model import Operation
from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.concurrent_composes import (
    LOCK_HOST,
    LOCK_SERVER,
    SMALL,
    add_hosts,
    all_composed,
    compose_all,
)


async def test_all_composes_that_fit_succeed_and_the_others_are_rejected(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper, cores=4)
    anywhere = [ComposeRequest(**SMALL) for _ in range(12)]
    named = [ComposeRequest(**SMALL, host_id=hosts["one"]) for _ in range(6)]
    answers = await compose_all(innkeeper, *anywhere, *named)
    done = [answer for answer in answers if isinstance(answer, Operation)]
    assert len(done) == 12, "all twelve cores are claimed, and none twice"
    assert len({one.hostname for one in done}) == len({one.system_id for one in done}) == 12
    rejected = [answer for answer in answers if not isinstance(answer, Operation)]
    assert all(isinstance(answer, OutOfCapacity) for answer in rejected)
    assert all("needs 1 core, 0 free" in str(answer) for answer in rejected)


async def test_the_returned_operation_equals_the_stored_one(innkeeper: Deployment) -> None:
    await add_hosts(innkeeper)
    operations = innkeeper.region.components.services.operations
    requests = [ComposeRequest(**SMALL, power_on=True) for _ in range(3)]
    for answer in all_composed(await compose_all(innkeeper, *requests)):
        assert await operations.read(answer.id, caller=None) == answer


async def test_an_invalid_compose_does_not_affect_the_others(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper)
    twice = [ComposeRequest(**SMALL, hostname="web") for _ in range(2)]
    too_large = ComposeRequest(**{**SMALL, "cores": 99}, host_id=hosts["two"])
    unknown, out_of_range = (ComposeRequest(**SMALL, host_id=host_id) for host_id in (999, 2**40))
    good = [ComposeRequest(**SMALL, host_id=hosts["three"]) for _ in range(3)]
    first, second, *others = await compose_all(innkeeper, *twice, too_large, unknown, out_of_range, *good)
    assert {type(first), type(second)} == {Operation, InvalidRequest}
    assert isinstance(others[0], InvalidRequest)
    assert all(isinstance(answer, NotFound) for answer in others[1:3])
    all_composed(others[3:])


async def test_a_locked_host_delays_only_its_own_composes(innkeeper: Deployment) -> None:
    hosts = await add_hosts(innkeeper)
    on = {name: ComposeRequest(**SMALL, host_id=host_id) for name, host_id in hosts.items()}
    async with innkeeper.region.components.database.transaction() as db:
        await db.execute(LOCK_HOST, hosts["one"])
        await db.execute(LOCK_SERVER, hosts["two"])
        held = [asyncio.create_task(compose_all(innkeeper, on[name])) for name in ("one", "two")]
        all_composed(await compose_all(innkeeper, on["three"], on["three"]))
        assert not any(task.done() for task in held)
    (first,), (second,) = [all_composed(results) for results in await asyncio.gather(*held)]
    assert (first.host_name, second.host_name) == ("one", "two")
