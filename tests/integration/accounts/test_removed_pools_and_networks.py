"""Composes whose storage pool or network is removed from the host after placement."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import InnkeeperError
from regiond.operations.engine import Engine
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql
from tests.support.waiting import eventually

_DELAY_COMPOSES = """
    create function delay() returns trigger language plpgsql as $$ begin
        new.not_before := now() + interval '1 hour'; return new; end $$;
    create trigger delay before insert on operation for each row when (new.kind = 'compose') execute function delay();
"""


@pytest.mark.parametrize(
    ("constraints", "pools", "networks", "reason"),
    [
        ({"storage": "8(big)"}, "fast:50", "lan:10.1.0.0/24,dmz:10.2.0.0/24", "no storage pool 'big'; it has fast"),
        (
            {"interfaces": "eth0:subnet=10.2.0.0/24"},
            "fast:50,big:50",
            "lan:10.1.0.0/24",
            "no network 'dmz'; it has lan",
        ),
    ],
)
async def test_a_pool_or_network_removed_after_placement_undoes_the_compose(
    innkeeper: Deployment,
    constraints: dict[str, str],
    pools: str,
    networks: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Engine, "places", lambda _, host_ids: [False] * len(host_ids))  # it waits in the queue
    host = await innkeeper.add_simulated(pools="fast:50,big:50", networks="lan:10.1.0.0/24,dmz:10.2.0.0/24")
    path = f"vm-hosts/{host['id']}/"
    address = f"simulated:sim?cores=4&memory_mib=12288&pools={pools}&networks={networks}"

    async def placed() -> bool:
        return composing.done() or bool(await sql(innkeeper, "select from operation where kind = 'compose'"))

    async with innkeeper.region.components.database.connection() as db:
        await db.execute(_DELAY_COMPOSES)
    composing = asyncio.create_task(innkeeper.compose(host["id"], cores=1, **constraints))
    await eventually(placed)
    await innkeeper.put(path, power_address=address)
    await sql(innkeeper, "update operation set not_before = now() where kind = 'compose'")
    await innkeeper.post(path, op="refresh")  # the engine selects operations when one is added
    with pytest.raises(InnkeeperError, match=reason):
        await composing
    assert innkeeper.simulated_guests() == []
    assert await innkeeper.get("machines/") == []
    assert (await innkeeper.get(path))["used"]["cores"] == 0
