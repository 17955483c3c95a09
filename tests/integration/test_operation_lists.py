"""Operations found by user and name, and the newest one of each machine."""

from __future__ import annotations

from regiond.caller import Caller, PoolRole
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
