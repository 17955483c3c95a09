"""Operations found by user and name, and the newest one of each machine."""

from __future__ import annotations

import pytest

from regiond.requests.caller import Caller, PoolRole
from tests.deployment.deployment import Deployment

STRANGER = Caller(account_id=9999, username="olof", is_admin=False, grants={9999: PoolRole.OPERATOR})


async def test_operations_are_found_by_part_of_a_name_and_by_user(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("alder")
    await innkeeper.compose(host["id"], hostname="web-1", memory=1024)
    await innkeeper.compose(host["id"], hostname="webx1", memory=1024)
    operations = innkeeper.region.components.services.operations

    async def found(text: str = "", username: str | None = None) -> set[str | None]:
        listed = await operations.list(text=text, username=username, caller=None)
        return {one.hostname for one in listed if one.kind == "compose"}

    assert await found(text="eb-1") == {"web-1"}
    assert await found(text="WEB") == {"web-1", "webx1"}
    assert await found(text="alder", username="admin") == {"web-1", "webx1"}
    assert await found(username="nobody") == set()
    assert await found(text="%") == set()


@pytest.mark.slow
async def test_operations_are_listed_from_either_end_and_counted(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("alder")
    for name in ("web-1", "web-2", "web-3"):
        await innkeeper.compose(host["id"], hostname=name, memory=1024)

    async def ids(**query: str) -> list[int]:
        answer = await innkeeper.api.send("GET", "operations/", query=[("q", "web"), *query.items()])
        return [operation["id"] for operation in answer.json()]

    first, second, third = await ids(sort="id")
    assert first < second < third
    assert await ids() == await ids(sort="-id") == [third, second, first]
    assert await ids(sort="id", limit="1", after=str(first)) == [second]
    assert await ids(after=str(first), before=str(third)) == [second]
    operations = innkeeper.region.components.services.operations
    assert await operations.count(text="web", limit=10, caller=None) == 3
    assert await operations.count(text="web", limit=2, caller=None) == 2
    assert await operations.count(text="web", limit=10, caller=STRANGER) == 0


async def test_the_newest_operation_of_each_machine(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated("alder")
    first = await innkeeper.compose(host["id"], hostname="web-1", memory=1024)
    second = await innkeeper.compose(host["id"], hostname="web-2", memory=1024)
    await innkeeper.post(f"machines/{first['system_id']}/", op="power_on")
    operations = innkeeper.region.components.services.operations
    asked = [first["system_id"], second["system_id"], "nosuch"]
    found = await operations.latest(asked, caller=None)
    assert {system_id: one.kind for system_id, one in found.items()} == {asked[0]: "power", asked[1]: "compose"}
    assert await operations.latest(asked, caller=STRANGER) == {}
