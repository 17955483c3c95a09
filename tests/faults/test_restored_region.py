"""A region and its database are lost and restored from a backup; the rack and the hosts live through it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

from regiond.reconciler.model import DiscrepancyKind
from tests.database import create_database, drop_database
from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK, REGION
from tests.waiting import eventually

HOSTS = ("east", "north", "south", "west")
BEFORE, SINCE = 200, 50  # VMs; of those since the backup, as many are made as deleted
FIELDS: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "root:1"}
PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105
_NEWEST = "select max(id) from operation"


def guests_of(deployment: Deployment) -> dict[str, object]:
    """The guests of all hosts by name, with all that their hosts know of them."""
    return {name: guest for host in HOSTS for name, guest in deployment.simulated(host).guests().items()}


def changes_of(deployment: Deployment) -> list[int]:
    """The number of the newest change of a guest, on each host: whatever starts, stops or deletes one adds to it."""
    return [deployment.simulated(host).newest_change() for host in HOSTS]


async def run(deployment: Deployment, command: str) -> str:
    """Runs a command of the region's machine with `backup` as its file."""
    runner = deployment.processes
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "regiond", command, str(deployment.folder / "backup")],
        env=runner.environment() | {"BACKUP_PASSPHRASE": PASSPHRASE}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return str(ran.stdout)


async def test_a_restored_region_reports_what_changed_and_touches_no_guest(deployment: Deployment) -> None:
    await deployment.start()
    ids = [(await deployment.add_simulated(name, cores=128, memory_mib=262144))["id"] for name in HOSTS]
    machines = await asyncio.gather(
        *(deployment.compose(ids[n % len(ids)], hostname=f"vm{n}", **FIELDS) for n in range(BEFORE))
    )
    with deployment.held("define guest", name=HOSTS[0]):
        open_compose = await deployment.begin_compose(ids[0], hostname="open", **FIELDS)
        await eventually(lambda: deployment.processes.has_begun("compose"))
        await run(deployment, "backup")
    assert await deployment.ended(open_compose) == "succeeded"
    await asyncio.gather(*(deployment.compose(ids[n % len(ids)], hostname=f"new{n}", **FIELDS) for n in range(SINCE)))
    await asyncio.gather(*(deployment.delete(f"machines/{machines[n]['system_id']}/") for n in range(SINCE)))
    newest = (await deployment.fetch(_NEWEST))[0][0]
    guests, changes = guests_of(deployment), changes_of(deployment)
    runner = deployment.processes
    deployment.kill(REGION)
    (deployment.folder / "state").rename(deployment.folder / "lost-state")
    lost = runner.dsn
    runner.dsn = await create_database(lost, "restored")
    await drop_database(runner.dsn, urlsplit(lost).path.strip("/"))
    assert "1 open operation ended, 1 VM in transition settled" in await run(deployment, "restore")
    key = next((deployment.folder / "lost-state").glob("*apikey*"))
    (deployment.folder / "state" / key.name).write_bytes(key.read_bytes())
    await runner.start_region()
    await eventually(lambda: runner.is_linked(RACK))

    async def reported() -> bool:
        found = await deployment.discrepancies()
        kinds = [one.kind for one in found]
        return (kinds.count(DiscrepancyKind.UNKNOWN_GUEST), kinds.count(DiscrepancyKind.MACHINE_MISSING)) == (
            SINCE,
        ) * 2

    await eventually(reported)
    assert (guests_of(deployment), changes_of(deployment)) == (guests, changes)
    states = {one["hostname"]: one["status_name"] for one in await deployment.get("machines/")}
    assert states["open"] == "Ready"
    assert [name for name in states if name.startswith("new")] == []
    await deployment.compose(ids[0], hostname="after", **FIELDS)
    assert (await deployment.fetch(_NEWEST))[0][0] > newest + 900_000
    assert guests_of(deployment).keys() == guests.keys() | {"after"}
