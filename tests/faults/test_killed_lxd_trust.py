"""Region, rack or a real LXD killed while a machine is adopted or forgotten, and while credentials rotate."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from attrs import frozen

from common.errors import InnkeeperError
from innkeeper.http import Body
from regiond.db.pool import connect
from tests.faults.conftest import PREFIX
from tests.faults.daemons import Daemons
from tests.faults.test_killed_lxd import is_ready, kill_and_start
from tests.lab.lxd_server import LxdServer
from tests.waiting import eventually

pytestmark = pytest.mark.lab

SEED = 20261121
KILLS = 4  # of each kind
VICTIMS = ("region", "rack", "lxd")
MOMENTS_S = {"adopt": 0.12, "forget": 0.12, "rotate": 0.6}  # from the request to the end of what it asks for
MARK = "user.innkeeper."
NAME = f"{PREFIX}0"
_PAIRS = "select fingerprint, replaces_id from key_pair"


@frozen(kw_only=True)
class Inn:
    """An installation whose one host is the lab's LXD server."""

    daemons: Daemons
    lxd: LxdServer
    host_id: int

    @property
    def path(self) -> str:
        return f"vm-hosts/{self.host_id}/"

    async def post(self, path: str, op: str, headers: dict[str, str] | None = None, **fields: str) -> None:
        body = Body(fields=list(fields.items()))
        await self.daemons.api.send("POST", path, query=[("op", op)], body=body, headers=headers or {})

    async def ask_and_kill(self, chance: random.Random, path: str, op: str, **fields: str) -> None:
        """Somebody is killed at a moment of the request or of what it asks for, which goes on by itself.

        The answer may be lost; what was accepted has succeeded when this returns.
        """
        asked = asyncio.create_task(self.post(path, op, {"Prefer": "respond-async"}, **fields))
        await asyncio.sleep(chance.uniform(0, MOMENTS_S[op]))  # the moment is the fault that is made here
        victim = chance.choice(VICTIMS)
        await kill_and_start(self.daemons, self.lxd, victim)
        try:
            await asked
        except InnkeeperError:
            if victim != "region":  # whoever asks a region that dies hears nothing
                raise
        await eventually(self.daemons.rack_is_linked)
        for operation in await self.daemons.get("operations/"):
            assert await self.daemons.ended(operation["id"]) == "succeeded", operation

    async def pairs(self) -> list[tuple[str, int | None]]:
        db = await connect(self.daemons.dsn, application_name="test")
        try:
            return [tuple(row) for row in await db.fetch(_PAIRS)]
        finally:
            await db.close()

    async def is_whole(self) -> list[dict[str, Any]]:
        """The machines: the one instance, when it carries that machine's mark, or none when it carries no mark."""
        machines: list[dict[str, Any]] = await self.daemons.get("machines/")
        mark = await asyncio.to_thread(mark_of, self.lxd)
        assert [machine["hardware_uuid"] for machine in machines] == ([mark["machine"]] if mark else []), mark
        assert [(one["hostname"], one["status_name"], one["power_state"]) for one in machines] in (
            [],
            [(NAME, "Ready", "on")],
        )
        assert await self.daemons.ledger_faults() == []
        return machines


async def started(daemons: Daemons, lxd: LxdServer) -> Inn:
    await daemons.start()
    token = await asyncio.to_thread(lxd.token, "innkeeper")
    host_id = await daemons.add_host(type="lxd", power_address=lxd.address, password=token, name="inn")
    await eventually(lambda: is_ready(daemons, host_id), deadline_s=30)
    return Inn(daemons=daemons, lxd=lxd, host_id=host_id)


def told(lxd: LxdServer) -> tuple[Any, int]:
    """All that LXD tells of the instance but our mark, and the process that it runs in."""
    found = lxd.ask(f"/1.0/instances/{NAME}")
    for config in (found["config"], found["expanded_config"]):
        for key in [key for key in config if key.startswith(MARK)]:
            del config[key]
    return found, int(lxd.ask(f"/1.0/instances/{NAME}/state")["pid"])


def mark_of(lxd: LxdServer) -> dict[str, str]:
    config = lxd.ask(f"/1.0/instances/{NAME}")["config"]
    return {key.removeprefix(MARK): text for key, text in config.items() if key.startswith(MARK)}


@pytest.mark.deadline(240)
async def test_a_running_instance_is_wholly_adopted_or_wholly_forgotten_whoever_is_killed(
    daemons: Daemons, lxd: LxdServer
) -> None:
    chance = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    await asyncio.to_thread(lxd.make_many, PREFIX, "default", range(1))
    await asyncio.to_thread(lxd.lxc, "start", NAME)
    before = await asyncio.to_thread(told, lxd)
    inn = await started(daemons, lxd)
    for _ in range(KILLS):
        await inn.ask_and_kill(chance, inn.path, "adopt", guests=NAME)
        await inn.is_whole()
        assert await asyncio.to_thread(told, lxd) == before
        await inn.post(inn.path, "adopt", guests=NAME)
        (machine,) = await inn.is_whole()

        path = f"machines/{machine['system_id']}/"
        await inn.ask_and_kill(chance, path, "forget")
        for _ in await inn.is_whole():
            await inn.post(path, "forget")
        assert await inn.is_whole() == []
        assert await asyncio.to_thread(told, lxd) == before


@pytest.mark.deadline(240)
async def test_a_rotation_goes_on_by_itself_to_one_certificate_whoever_is_killed(
    daemons: Daemons, lxd: LxdServer
) -> None:
    chance = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    others = await asyncio.to_thread(lxd.trusted)
    inn = await started(daemons, lxd)
    for _ in range(KILLS):
        await inn.ask_and_kill(chance, inn.path, "rotate")
        (ours,) = await asyncio.to_thread(lxd.trusted) - others
        assert await inn.pairs() == [(ours, None)]
        await inn.post(inn.path, "refresh")
    assert await is_ready(daemons, inn.host_id)
