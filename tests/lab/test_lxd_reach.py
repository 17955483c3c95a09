"""Racks that reach different servers: a host's work goes through those that reach it, waits for them, and says so."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from regiond.service import API_KEY_FILE
from tests.lab.firewall import BEHIND_IT, wall
from tests.lab.lxd_server import LxdServer
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.faults.daemons import Daemons

PREFIX = "iktrust-"
NEAR, FAR = "near", "far"  # the near one reaches just the first server
SMALL = {"cores": 1, "memory": 1024, "storage": "1"}


async def add(daemons: Daemons, server: LxdServer) -> int:
    token = await asyncio.to_thread(server.token, "innkeeper")
    return await daemons.add_host(
        type="lxd", power_address=server.address, password=token, name=server.name, cpu_over_commit_ratio="10"
    )


async def are(daemons: Daemons, **wanted: tuple[bool, int]) -> bool:
    """Of each rack: whether it is connected, and how many hosts it reaches."""
    racks = await daemons.get("racks/")
    return {rack["name"]: (rack["connected"], rack["hosts_reached"]) for rack in racks} == wanted


async def in_state(daemons: Daemons, path: str, state: str) -> Any:
    found = await daemons.get(path)
    return found if found["state"] == state else None


def composed_by(daemons: Daemons, rack: str) -> int:
    """How many guests it was asked for."""
    return (daemons.folder / f"rack-{rack}.log").read_text().count('"what": "compose"')


async def typed(daemons: Daemons, *words: str) -> str:
    """What the command prints."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(daemons.folder), "LANG": "C.UTF-8"}
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "innkeeper", *words, env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await program.communicate()
    assert program.returncode == 0
    return out.decode()


@pytest.mark.deadline(180)
async def test_work_goes_to_racks_that_reach_the_host_and_waits_for_one_that_is_away(
    daemons: Daemons, servers: tuple[LxdServer, LxdServer]
) -> None:
    first, second = servers
    with wall(int(second.address.rpartition(":")[2])):
        daemons.start_postgres()
        await daemons.start_region()
        await daemons.start_another_rack(NEAR, BEHIND_IT)
        await daemons.start_another_rack(FAR)
        here, there = await add(daemons, first), await add(daemons, second)
        await eventually(partial(are, daemons, near=(True, 1), far=(True, 2)))
        for number in range(2):
            await daemons.compose(there, hostname=f"{PREFIX}{number}", **SMALL)
        assert (composed_by(daemons, NEAR), composed_by(daemons, FAR)) == (0, 2)

        daemons.kill(f"rack-{FAR}")
        await eventually(partial(are, daemons, near=(True, 1), far=(False, 2)))
        await daemons.compose(here, hostname=f"{PREFIX}here", **SMALL)
        operation_id = await daemons.begin_compose(there, hostname=f"{PREFIX}waits", **SMALL)
        path, host_path = f"operations/{operation_id}/", f"vm-hosts/{there}/"
        operation = await eventually(partial(in_state, daemons, path, "waiting"))
        assert operation["error"]["code"] == "host_unreachable"
        why = f"No connected rack reaches VM host {there}. Not connected, but reached it: {FAR} (last seen "
        assert operation["error"]["message"].startswith(why)
        assert f"Rack {NEAR}: LXD at https://{second.address} cannot be reached" in operation["error"]["message"]
        host = await eventually(partial(in_state, daemons, host_path, "unreachable"))
        assert host["error"]["message"].startswith(why)
        key = (daemons.folder / "state" / API_KEY_FILE).read_text().strip()
        await typed(daemons, "login", "admin", f"http://127.0.0.1:{daemons.http_port}/MAAS/", key)
        assert why in await typed(daemons, "admin", "operation", "read", str(operation_id))
        assert why in await typed(daemons, "admin", "vm-host", "read", str(there))
        assert {name for _, name in second.instances(PREFIX)} == {f"{PREFIX}0", f"{PREFIX}1"}

        await daemons.start_another_rack(FAR)
        assert await daemons.ended(operation_id, deadline_s=30) == "succeeded"
        await eventually(partial(in_state, daemons, host_path, "ready"))
        assert {name for _, name in first.instances(PREFIX)} == {f"{PREFIX}here"}
    assert await daemons.ledger_faults() == []
