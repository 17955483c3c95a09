"""Two regions behind HAProxy and keepalived, as docs/how-to/fail-over.md sets them up, lose a region and a balancer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deployment.deployment import Deployment
from tests.deployment.runner import REGION
from tests.faults.composing_clients import ComposingClients
from tests.faults.consistency import assert_consistent, settle
from tests.faults.regions.balanced_regions import ADDRESS, BALANCERS, BalancedProcesses, balanced_regions
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

HOSTS = ("east", "west")
ENOUGH = 6  # requests that are answered before the next loss


@pytest.fixture
def regions(tmp_path: Path, server_folder: Path) -> Iterator[BalancedProcesses]:
    with balanced_regions(tmp_path, server_folder) as made:
        yield made


def follow_events(regions: BalancedProcesses) -> subprocess.Popen[bytes]:
    """The command, which prints each event to `events` from the first one on."""
    own = regions.environment() | {"XDG_CONFIG_HOME": str(regions.folder / "config")}
    program = (sys.executable, "-m", "innkeeper")
    url = f"https://{ADDRESS}/MAAS"
    subprocess.run(
        [*program, "login", "lab", url, "-", "--fingerprint", regions.pair.fingerprint], env=own,
        input=regions.api_key.encode(), check=True, timeout=120, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    with (regions.folder / "events").open("wb") as out:
        return subprocess.Popen([*program, "lab", "events", "stream", "after=0"], env=own, stdout=out)


def events_of(regions: BalancedProcesses) -> list[int]:
    return [json.loads(line)["id"] for line in (regions.folder / "events").read_text().splitlines(keepends=True)
            if line.endswith("\n")]  # fmt: skip


async def test_no_request_and_no_event_is_lost(
    regions: BalancedProcesses, record_property: Callable[[str, object], None]
) -> None:
    deployment = Deployment(runner=regions)
    for name in BALANCERS:
        regions.start_balancer(name)
    await regions.start_region()
    await eventually(regions.is_ready_at)
    await regions.start_second_region()
    await deployment.start_rack()
    ids = [(await deployment.add_simulated(name, cores=64, memory_mib=262144))["id"] for name in HOSTS]
    stream = follow_events(regions)
    try:
        async with ComposingClients(deployment, ids, deadline_s=20.0).running() as clients:
            await clients.more(ENOUGH)
            regions.kill(REGION)
            began_at = time.monotonic()
            await clients.more(ENOUGH)
            record_property("requests_after_lost_region_s", round(time.monotonic() - began_at, 1))
            lost = str(regions.holder())
            regions.lose(lost)
            began_at = time.monotonic()
            await eventually(lambda: regions.holder() not in (None, lost))
            await eventually(regions.is_ready_at)
            record_property("address_moved_s", round(time.monotonic() - began_at, 1))
            await clients.more(ENOUGH)
        await settle(deployment, ids)
        machines = {one["hostname"]: one["system_id"] for one in await deployment.get("machines/")}
        assert machines == clients.answered
        assert len(await assert_consistent(deployment)) == len(clients.answered)
        recorded = [row[0] for row in await deployment.fetch("select id from event order by id")]
        await eventually(lambda: len(events_of(regions)) >= len(recorded))
        record_property("stream_complete_s", round(time.monotonic() - began_at, 1))
        assert events_of(regions)[: len(recorded)] == recorded
    finally:
        stream.kill()
        stream.wait()
