"""Rack or region is killed in the middle of an export from LXD, and of an import there: both come to their end."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK, REGION
from tests.faults.conftest import PREFIX
from tests.faults.killed.killed_lxd import LXD, LxdDeployment, lxd_deployment
from tests.lab.arrivals.test_exports_lxd import disk_files, hashes, left
from tests.lab.servers.lxd_server import LxdServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.lab

MIB = 2**20
DATA = os.urandom(MIB) * 192  # dense enough to be read in a few hundred parts


async def filled(on: LxdDeployment) -> Any:
    operation = await on.deployment.begin_compose(
        on.host_id, cores=1, memory=1024, hostname=f"{PREFIX}web", storage="root:1,data:0.064"
    )
    assert await on.deployment.ended(operation) == "succeeded"
    (machine,) = await on.deployment.get("machines/")
    root, data = await asyncio.to_thread(disk_files, on.lxd, f"{PREFIX}web", machine)
    await asyncio.to_thread(_write, root, DATA)
    await asyncio.to_thread(_write, data, DATA[: 40 * MIB])
    return machine


def _write(path: Any, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(MIB)
        file.write(data)


async def reached(on: LxdDeployment, percent: int) -> bool:
    found = await on.deployment.poll("exports/")
    return bool(found and found[0]["percent"] >= percent)


async def export(on: LxdDeployment, machine: Any, victims: tuple[str, ...] = ()) -> Any:
    """Returns the entry of the file. Each victim is killed once a part of a disk was read."""
    began = time.monotonic()
    operation = await on.deployment.begin(f"machines/{machine['system_id']}/", op="export")
    for victim in victims:
        await eventually(lambda: reached(on, 1))
        await on.kill_and_restart(victim)
        await eventually(on.deployment.is_linked)
    assert await on.deployment.ended(operation) == "succeeded"
    (made, *_) = sorted(await on.deployment.get("exports/"), key=lambda one: -int(one["id"]))
    print(f"{made['size'] / 10**6 / (time.monotonic() - began):.1f} MB/s of data, {made['size']} bytes")  # noqa: T201
    return made


@pytest.mark.parametrize("victim", [RACK, REGION, LXD])
async def test_a_killed_process_only_delays_export_and_import(
    deployment: Deployment, lxd: LxdServer, victim: str
) -> None:
    on = await lxd_deployment(deployment, lxd)
    machine = await filled(on)
    killed = await export(on, machine, (victim,))
    assert await asyncio.to_thread(left, lxd, PREFIX) == []
    whole = await export(on, machine)
    assert hashes(killed) == hashes(whole)
    operation = await deployment.begin(
        f"vm-hosts/{on.host_id}/", op="import", export=whole["id"], hostname=f"{PREFIX}copy"
    )
    await eventually(lambda: is_writing(on, operation))
    await on.kill_and_restart(victim)
    await eventually(deployment.is_linked)
    assert await deployment.ended(operation) == "succeeded"
    (copy,) = await deployment.get(f"machines/?hostname={PREFIX}copy")
    assert hashes(await export(on, copy)) == hashes(whole)
    assert await asyncio.to_thread(left, lxd, PREFIX) == []
    assert await deployment.ledger_problems() == []


async def is_writing(on: LxdDeployment, operation: int) -> bool:
    found = await on.deployment.poll(f"operations/{operation}/")
    return bool(found and (found["step"] == "write_disk" or found["state"] in ("succeeded", "failed")))
