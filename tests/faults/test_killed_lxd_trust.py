"""Region, rack or a real LXD killed while a machine is adopted or forgotten, and while credentials rotate."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from attrs import frozen

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
MARK = "user.innkeeper."
NAME = f"{PREFIX}0"
_PAIRS = "select fingerprint, replaces_id from key_pair"


@frozen(kw_only=True)
class Inn:
    """An installation whose one host is the lab's LXD server."""

    daemons: Daemons
    lxd: LxdServer
    host_id: int

    async def begin(self, path: str, op: str, **fields: str) -> Any:
        """What the answer says of the operation, which goes on by itself."""
        answer = await self.daemons.api.send(
            "POST",
            path,
            query=[("op", op)],
            body=Body(fields=list(fields.items())),
            headers={"Prefer": "respond-async"},
        )
        return answer.json()

    async def killed(self, chance: random.Random, operation_id: int, *, within_s: float) -> None:
        """Somebody is killed at a moment of the operation, and it succeeds nevertheless."""
        victim = chance.choice(VICTIMS)
        await asyncio.sleep(chance.uniform(0, within_s))  # the moment is the fault that is made here
        await kill_and_start(self.daemons, self.lxd, victim)
        assert await self.daemons.ended(operation_id) == "succeeded", victim

    async def pairs(self) -> list[tuple[str, int | None]]:
        db = await connect(self.daemons.dsn, application_name="test")
        try:
            return [tuple(row) for row in await db.fetch(_PAIRS)]
        finally:
            await db.close()


async def started(daemons: Daemons, lxd: LxdServer) -> Inn:
    await daemons.start()
    token = await asyncio.to_thread(lxd.token, "innkeeper")
    host_id = await daemons.add_host(type="lxd", power_address=lxd.address, password=token, name="inn")
    await eventually(lambda: is_ready(daemons, host_id), deadline_s=30)
    return Inn(daemons=daemons, lxd=lxd, host_id=host_id)


def told(lxd: LxdServer) -> tuple[Any, int]:
    """All that LXD tells of the instance but our mark, and the process that it runs in."""
    found = lxd.ask(f"/1.0/instances/{NAME}?recursion=1")
    for config in (found["config"], found["expanded_config"]):
        for key in [key for key in config if key.startswith(MARK)]:
            del config[key]
    return found, int(lxd.ask(f"/1.0/instances/{NAME}/state")["pid"])


def marks(lxd: LxdServer) -> dict[str, str]:
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
        operation = await inn.begin(f"vm-hosts/{inn.host_id}/", "adopt", guests=NAME)
        await inn.killed(chance, operation["id"], within_s=0.15)
        (machine,) = await daemons.get("machines/")
        assert (machine["hostname"], machine["status_name"], machine["power_state"]) == (NAME, "Ready", "on")
        assert (await asyncio.to_thread(marks, lxd))["machine"] == machine["hardware_uuid"]
        assert await asyncio.to_thread(told, lxd) == before

        operation = await inn.begin(f"machines/{machine['system_id']}/", "forget")
        await inn.killed(chance, operation["id"], within_s=0.15)
        assert await daemons.get("machines/") == []
        assert await asyncio.to_thread(marks, lxd) == {}
        assert await asyncio.to_thread(told, lxd) == before
        assert await daemons.ledger_faults() == []


@pytest.mark.deadline(240)
async def test_a_rotation_goes_on_by_itself_to_one_certificate_whoever_is_killed(
    daemons: Daemons, lxd: LxdServer
) -> None:
    chance = random.Random(SEED)  # noqa: S311  # repeatable, no secret
    others = await asyncio.to_thread(lxd.trusted)
    inn = await started(daemons, lxd)
    path = f"vm-hosts/{inn.host_id}/"
    seen = await asyncio.to_thread(lxd.trusted) - others
    for _ in range(KILLS):
        operation = await inn.begin(path, "rotate")
        await inn.killed(chance, operation["id"], within_s=0.4)
        (ours,) = await asyncio.to_thread(lxd.trusted) - others
        assert ours not in seen
        assert await inn.pairs() == [(ours, None)]
        seen.add(ours)
        await daemons.api.send("POST", path, query=[("op", "refresh")])
    assert await is_ready(daemons, inn.host_id)
