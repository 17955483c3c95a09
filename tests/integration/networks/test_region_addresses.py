"""Racks receive the addresses of new regions from the regions that they know."""

from __future__ import annotations

from pathlib import Path

from regiond.racks.reach.link_supervisor import ADDRESSES_EVERY_S
from tests.deployment.in_process import deployed
from tests.support.clock import advance
from tests.support.waiting import eventually


async def test_a_rack_connects_to_a_region_added_later(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as first:
        await first.start_rack()
        async with deployed(tmp_path, database_url) as second:
            await advance(ADDRESSES_EVERY_S)
            await eventually(lambda: second.in_process.links("rack"))
            assert first.in_process.links("rack"), "the old link stays"


async def test_a_rack_stores_the_addresses_of_all_regions(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url) as first:
        await first.start_rack()
        async with deployed(tmp_path, database_url) as second:
            await advance(ADDRESSES_EVERY_S)
            await eventually(lambda: second.in_process.links("rack"))
            await first.stop_rack("rack")
            await first.start_rack("rack")
            await eventually(lambda: second.in_process.links("rack"))
