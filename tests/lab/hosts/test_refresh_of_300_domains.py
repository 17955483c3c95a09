"""A refresh of 300 libvirt domains: one call for each new domain, then as many calls as for a few.

Later refreshes reread a fixed number of domains and write nothing if nothing has changed.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from rackd.drivers.libvirt.inventory.domain_cache import REREAD_DOMAINS
from tests.deployment.deployment import Deployment
from tests.lab.servers.lab_host import LabHost
from tests.lab.support.deployed_host import add_libvirt
from tests.postgresql.row_versions import writes_nothing
from tests.support.waiting import eventually

MANY, MANAGED = 300, 3


async def refresh(innkeeper: Deployment, host_id: int) -> tuple[dict[str, int], int, float]:
    """The operation's result, its calls without those for storage pools, and its duration in milliseconds."""
    started = time.monotonic()
    host = await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    took_ms = (time.monotonic() - started) * 1000
    newest: dict[str, Any] = (await innkeeper.get("operations/"))[0]
    result: dict[str, int] = newest["result"]
    return result, result["calls"] - len(host["storage_pools"]), took_ms


async def test_refresh_calls_do_not_grow_and_unchanged_writes_none(
    database_url: str, lab_host: LabHost, capsys: pytest.CaptureFixture[str], innkeeper: Deployment
) -> None:
    host_id = int((await add_libvirt(innkeeper, lab_host))["id"])
    for number in range(MANAGED):
        fields = {"hostname": f"{lab_host.prefix}managed-{number}", "memory": 1024, "storage": "1"}
        await innkeeper.compose(host_id, **fields)
    few, few_calls, few_ms = await refresh(innkeeper, host_id)
    alone = few_calls - min(REREAD_DOMAINS, few["guests"])  # new domains are read in any case
    for number in range(MANY - MANAGED):
        lab_host.make_foreign(f"n{number}", disk=number % 3 == 0)
    many, many_calls, first_ms = await refresh(innkeeper, host_id)
    assert many["guests"] >= MANY
    assert many_calls == alone + (MANY - MANAGED) + MANAGED
    timings: list[float] = []

    async def unchanged_refresh() -> None:
        _, calls, took_ms = await refresh(innkeeper, host_id)
        timings.append(took_ms)
        assert calls == alone + REREAD_DOMAINS

    await eventually(lambda: writes_nothing(database_url, unchanged_refresh))
    listed = await innkeeper.get("virtual-machines/")
    here = [guest for guest in listed if guest["identifier"].startswith(lab_host.prefix)]
    assert len(here) == MANY
    assert sum(guest["machine_id"] is not None for guest in here) == MANAGED
    with capsys.disabled():
        print(  # noqa: T201
            f"\nrefresh through the API: {few_ms:.0f} ms with few domains; with {many['guests']}: "
            f"{first_ms:.0f} ms the first time, {timings[-1]:.0f} ms unchanged; {many['calls']} calls"
        )
