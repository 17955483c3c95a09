"""A member of a real LXD cluster that loses its power: which VMs are started when it is back."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.support.rigs.host_restarts import later, names, path, starts, wanted
from tests.lab.clusters.test_lxd_cluster_hosts import SMALL, added
from tests.lab.servers.lxd_server import LxdServer
from tests.support.waiting import eventually

pytestmark = [pytest.mark.database, pytest.mark.every_product]

Members = tuple[LxdServer, ...]
PREFIX = "ikclr-"


async def running(innkeeper: Deployment, host_id: int, name: str) -> Any:
    made = await innkeeper.compose(host_id, hostname=f"{PREFIX}{name}", power_on="true", **SMALL)
    return await innkeeper.get(path(made))


def lose_power(member: LxdServer, *guests: str) -> None:
    """Kills LXD and these guests, as a computer that loses its power does."""
    pids = [int(member.process_of(guest).name) for guest in guests]
    member.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


async def power(innkeeper: Deployment, machine: Any) -> str:
    return str((await innkeeper.get(path(machine)))["power_state"])


async def test_the_vms_of_a_member_that_was_down_run_again(cluster: Members, innkeeper: Deployment) -> None:
    first, second, _ = cluster
    hosts = await added(innkeeper, cluster)
    ratios = {"cpu_over_commit_ratio": 10, "memory_over_commit_ratio": 10}
    await innkeeper.put(f"vm-hosts/{hosts[second.name]}/", **ratios)
    here = await running(innkeeper, hosts[first.name], "here")
    left, itself = [await running(innkeeper, hosts[second.name], name) for name in ("left", "itself")]
    off = await innkeeper.compose(hosts[second.name], hostname=f"{PREFIX}off", **SMALL)
    await asyncio.to_thread(first.lxc, "config", "set", left["hostname"], "boot.autostart=false")

    await asyncio.to_thread(lose_power, second, left["hostname"], itself["hostname"])
    try:
        await eventually(partial(_is_lost, innkeeper, hosts[second.name]))
        assert (await innkeeper.get(path(left)))["host_unreachable_since"] is not None
        assert [await power(innkeeper, one) for one in (here, left)] == ["on", "on"], "the last known states"
        assert (await innkeeper.get(path(here)))["host_unreachable_since"] is None
    finally:
        await asyncio.to_thread(second.start)
    await eventually(partial(_is_back, innkeeper, hosts[second.name]))
    await eventually(partial(_is, innkeeper, itself, "on"))  # LXD has started it
    await eventually(partial(_is, innkeeper, left, "off"))
    await later(innkeeper)
    await eventually(partial(_is_started, innkeeper, left))
    assert await starts(innkeeper) == [left["hostname"]]
    assert (await wanted(innkeeper, left))[0] == "on"
    assert await power(innkeeper, off) == "off"
    assert await power(innkeeper, here) == "on"
    assert await names(innkeeper) == []


async def _is_lost(innkeeper: Deployment, host_id: int) -> bool:
    return not await innkeeper.refreshed(host_id)


async def _is_back(innkeeper: Deployment, host_id: int) -> bool:
    return await innkeeper.refreshed(host_id)


async def _is(innkeeper: Deployment, machine: Any, state: str) -> bool:
    await innkeeper.refreshed(machine["pod"]["id"])
    return await power(innkeeper, machine) == state


async def _is_started(innkeeper: Deployment, machine: Any) -> bool:
    """Lets the region decide again: it reads the host once more before it starts anything."""
    await later(innkeeper, 1)
    return await power(innkeeper, machine) == "on"
