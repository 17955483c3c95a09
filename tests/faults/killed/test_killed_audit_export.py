"""The audit trail arrives elsewhere completely although the region that sends it is killed again and again."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

from tests.deployment.processes import as_processes
from tests.deployment.runner import REGION
from tests.integration.support.log_receivers import web_server
from tests.support.waiting import eventually

KILLS = 3


async def test_nothing_is_missing_after_kills_and_failures(tmp_path: Path, server_folder: Path) -> None:
    async with web_server() as receiver:
        made = as_processes(tmp_path, server_folder, settings={"audit_export": receiver.url})
        made.processes.start_postgres()
        try:
            await made.runner.start_region()
            for number in range(KILLS):
                receiver.statuses = [503]
                await asyncio.gather(*(made.post("tags/", name=f"tag-{number}-{each}") for each in range(10)))
                made.kill(REGION)
                await made.restart(REGION)
            rows = await made.get("audit/", op="export")
            ids = [row["id"] for row in rows]
            await eventually(lambda: set(receiver.ids) >= set(ids))
        finally:
            made.processes.kill_all()
    first_seen = list(dict.fromkeys(receiver.ids))
    assert first_seen == sorted(first_seen), "the order is kept"
    assert {(one["id"], one["hash"]) for one in receiver.entries} >= {(row["id"], row["hash"]) for row in rows}
    assert all(after["previous_hash"] == before["hash"] for before, after in pairwise(_unique(receiver.entries)))


def _unique(entries: list[dict[str, str]]) -> list[dict[str, str]]:
    return list({entry["hash"]: entry for entry in entries}.values())
