"""A refresh of a real libvirt with 300 domains: one call more for each new one, then as many as with a few, but for a
fixed number of definitions that are read again; and nothing written when all is known."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rackd.drivers.libvirt.definitions import AGAIN
from tests.installation import Installation, installed
from tests.lab.lab_host import LabHost
from tests.lab.needs import why_no_libvirt
from tests.rows import versions
from tests.waiting import eventually

MANY, OURS = 300, 3


@pytest.fixture
def lab_host(tmp_path: Path) -> Iterator[LabHost]:
    if (why := why_no_libvirt()) is not None:
        pytest.skip(why)
    made = LabHost(tmp_path, prefix="iklab-300")
    yield made
    made.close()


async def refresh(innkeeper: Installation, host_id: int) -> tuple[dict[str, int], int, float]:
    """What the operation says, how many of its calls were not for one of the storage pools, and its milliseconds."""
    started = time.monotonic()
    host = await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    took_ms = (time.monotonic() - started) * 1000
    newest: dict[str, Any] = (await innkeeper.get("operations/"))[0]
    result: dict[str, int] = newest["result"]
    return result, result["calls"] - len(host["storage_pools"]), took_ms


async def test_the_calls_do_not_grow_with_the_domains_and_an_unchanged_host_costs_no_row(
    tmp_path: Path, database_url: str, lab_host: LabHost, capsys: pytest.CaptureFixture[str]
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.post("vm-hosts/", type="virsh", power_address="qemu:///system")
        host_id = int(host["id"])
        ratios = {"cpu_over_commit_ratio": 10, "memory_over_commit_ratio": 10}
        await innkeeper.put(f"vm-hosts/{host_id}/", **{"default_storage_pool": lab_host.pool_id, **ratios})
        for number in range(OURS):
            fields = {"hostname": f"{lab_host.prefix}ours-{number}", "memory": 1024, "storage": "1"}
            await innkeeper.compose(host_id, **fields)
        few, few_calls, few_ms = await refresh(innkeeper, host_id)
        alone = few_calls - min(AGAIN, few["guests"])  # those that were just made are read in any case
        for number in range(MANY - OURS):
            lab_host.make_foreign(f"n{number}", disk=number % 3 == 0)
        many, many_calls, first_ms = await refresh(innkeeper, host_id)
        assert many["guests"] >= MANY
        assert many_calls <= alone + (MANY - OURS) + AGAIN
        timings: list[float] = []

        async def nothing_is_written() -> bool:  # others may come and go on this libvirt: then the next look is tried
            before = await versions(database_url)
            _, calls, took_ms = await refresh(innkeeper, host_id)
            timings.append(took_ms)
            return calls == alone + AGAIN and await versions(database_url) == before

        await eventually(nothing_is_written)
        listed = await innkeeper.get("virtual-machines/")
        here = [guest for guest in listed if guest["identifier"].startswith(lab_host.prefix)]
        assert len(here) == MANY
        assert sum(guest["machine_id"] is not None for guest in here) == OURS
        with capsys.disabled():
            print(  # noqa: T201
                f"\nrefresh through the API: {few_ms:.0f} ms with few domains; with {many['guests']}: "
                f"{first_ms:.0f} ms the first time, {timings[-1]:.0f} ms unchanged; {many['calls']} calls"
            )
