"""Region, rack or LXD is killed while a guest is adopted or forgotten, and while credentials rotate."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.faults.conftest import PREFIX
from tests.faults.killed.killed_lxd import LxdDeployment, lxd_deployment
from tests.lab.servers.lxd_server import LxdServer

pytestmark = [pytest.mark.lab, pytest.mark.every_product]

SEED = 20261121
KILLS = 4  # during each kind of operation
MARKER_KEYS = "user.innkeeper."
# What Incus 7 notes of a running QEMU: the clock of the guest, and that a key has changed (docs/how-to/incus-host.md).
NOTES = "volatile.vm."
NAME = f"{PREFIX}0"
_PAIRS = "select fingerprint, replaces_id from key_pair"


async def pairs(deployment: Deployment) -> list[tuple[str, int | None]]:
    return [tuple(row) for row in await deployment.fetch(_PAIRS)]


def all_but_marker(lxd: LxdServer) -> tuple[Any, int]:
    """Everything that LXD reports about the instance except our marker and its own notes, and its process."""
    found = lxd.ask(f"/1.0/instances/{NAME}")
    for config in (found["config"], found["expanded_config"]):
        for key in [key for key in config if key.startswith((MARKER_KEYS, NOTES))]:
            del config[key]
    return found, int(lxd.ask(f"/1.0/instances/{NAME}/state")["pid"])


def marker_of(lxd: LxdServer) -> dict[str, str]:
    config = lxd.ask(f"/1.0/instances/{NAME}")["config"]
    return {key.removeprefix(MARKER_KEYS): text for key, text in config.items() if key.startswith(MARKER_KEYS)}


async def consistent_machines(on: LxdDeployment) -> list[dict[str, Any]]:
    """The machine of the instance if the instance has its marker; none if it has no marker."""
    machines: list[dict[str, Any]] = await on.deployment.get("machines/")
    marker = await asyncio.to_thread(marker_of, on.lxd)
    assert [machine["hardware_uuid"] for machine in machines] == ([marker["machine"]] if marker else []), marker
    shown = [(one["hostname"], one["status_name"], one["power_state"]) for one in machines]
    assert shown in ([], [(NAME, "Deployed", "on")])
    assert await on.deployment.ledger_problems() == []
    return machines


async def test_an_instance_is_adopted_or_forgotten_wholly_despite_kills(deployment: Deployment, lxd: LxdServer) -> None:
    random_ = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    await asyncio.to_thread(lxd.make_many, PREFIX, "default", range(1))
    await asyncio.to_thread(lxd.lxc, "start", NAME)
    before = await asyncio.to_thread(all_but_marker, lxd)
    on = await lxd_deployment(deployment, lxd)
    for _ in range(KILLS):
        await on.request_and_kill(random_, on.path, "adopt", guests=NAME)
        await consistent_machines(on)
        assert await asyncio.to_thread(all_but_marker, lxd) == before
        await deployment.post(on.path, op="adopt", guests=NAME)
        (machine,) = await consistent_machines(on)

        path = f"machines/{machine['system_id']}/"
        await on.request_and_kill(random_, path, "forget")
        for _ in await consistent_machines(on):
            await deployment.post(path, op="forget")
        assert await consistent_machines(on) == []
        assert await asyncio.to_thread(all_but_marker, lxd) == before


async def test_a_rotation_ends_with_one_certificate_despite_kills(deployment: Deployment, lxd: LxdServer) -> None:
    random_ = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    others = await asyncio.to_thread(lxd.trusted)
    on = await lxd_deployment(deployment, lxd)
    for _ in range(KILLS):
        await on.request_and_kill(random_, on.path, "rotate")
        (ours,) = await asyncio.to_thread(lxd.trusted) - others
        assert await pairs(deployment) == [(ours, None)]
        await deployment.post(on.path, op="refresh")
    assert await on.is_ready()
