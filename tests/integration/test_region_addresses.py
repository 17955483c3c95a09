"""A region that is added is found by every rack without a step: each region tells where all of them are."""

from __future__ import annotations

from pathlib import Path

from tests.installation import installed
from tests.waiting import eventually


async def test_a_rack_dials_a_region_that_it_was_never_told_of_at_its_joining(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as first:
        await first.start_rack()
        async with installed(tmp_path, database_url) as second:
            await eventually(lambda: second.links("rack"))
            assert first.links("rack"), "the old link stays"


async def test_a_rack_remembers_the_regions_it_was_told_of(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as first:
        await first.start_rack()
        async with installed(tmp_path, database_url) as second:
            await eventually(lambda: second.links("rack"))
            await first.stop_rack("rack")
            await first.run_rack("rack")
            await eventually(lambda: second.links("rack"))
