"""A storage pool or network that vanishes between placement and creation: a changed address takes it from the host."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from common.errors import InnkeeperError
from common.simulated_address import SimulatedAddress
from tests.installation import installed
from tests.waiting import eventually

pytestmark = pytest.mark.same_sql


@pytest.mark.parametrize(
    ("asked", "pools", "networks", "because"),
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
async def test_what_vanished_after_placement_is_named_and_all_is_undone(
    tmp_path: Path, database_url: str, asked: dict[str, str], pools: str, networks: str, because: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated(pools="fast:50,big:50", networks="lan:10.1.0.0/24,dmz:10.2.0.0/24")
        here = f"vm-hosts/{host['id']}/"
        address = f"simulated:sim?cores=4&memory_mib=12288&pools={pools}&networks={networks}"

        async def placed() -> bool:
            found = await innkeeper.get("operations/")
            return composing.done() or any(one["kind"] == "compose" and one["state"] == "running" for one in found)

        async def changed() -> bool:
            now = (await innkeeper.get(here, op="parameters"))["power_address"]
            return SimulatedAddress.parse(now) == SimulatedAddress.parse(address)

        with innkeeper.held("version"):
            composing = asyncio.create_task(innkeeper.compose(host["id"], cores=1, **asked))
            await eventually(placed)
            # Its answer waits for a look at the host, which waits for the compose.
            changing = asyncio.create_task(innkeeper.put(here, power_address=address))
            await eventually(changed)
        with pytest.raises(InnkeeperError, match=because):
            await composing
        await changing
        assert innkeeper.simulated_guests() == []
        assert await innkeeper.get("machines/") == []
        assert (await innkeeper.get(here))["used"]["cores"] == 0
