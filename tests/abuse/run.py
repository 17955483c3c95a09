"""Runs attacks against a deployment, one after the other, and measures the good client and the daemons meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, field, frozen

from common.serialization import to_dict
from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.good_client import COMPOSE, READ, GoodClient
from tests.abuse.judgement import Compared, Memory, Observation
from tests.abuse.known_objects import added, known_objects
from tests.abuse.preparation import prepare
from tests.abuse.worker import BEGUN, ENDED
from tests.bench.machine import peak_from_now, status_mib
from tests.deployment.deployment import Deployment

CALM, BETWEEN = "calm", "between"
DAEMONS = ("region", "rack")
WORKER_S = 240.0  # from the end of an attack to the end of its process
_ROOT = Path(__file__).parents[2]

Say = Callable[[str], None]


@frozen(kw_only=True)
class Pace:
    """Seconds of calm before the first attack, between two, and of each attack.

    Before all, the good client warms up: modules are loaded, hosts opened, and nothing is measured. Nor is anything
    between two attacks, when the region may still be busy with the last one.
    """

    warm_up_s: float = 4.0

    calm_s: float
    between_s: float
    attack_s: float
    idle_connections: int = 5000


FULL = Pace(calm_s=20.0, between_s=2.0, attack_s=12.0)
QUICK = Pace(calm_s=6.0, between_s=0.5, attack_s=1.5, idle_connections=2500)


@define(kw_only=True)
class _Attacked:
    """What was measured while one attack went on."""

    attack: Attack
    tally: Tally
    memory: Mapping[str, Memory]
    admitted: list[str] = field(factory=list)


async def observe(deployment: Deployment, attacks: Sequence[Attack], pace: Pace, say: Say) -> list[Observation]:
    """Attacks a deployment that runs. Raises AssertionError if an attacker's process fails."""
    target = await prepare(deployment, idle_connections=pace.idle_connections)
    client = GoodClient(port=target.http_port, key=target.administrator_key, host_ids=tuple(deployment.hosts.values()))
    attacked: list[_Attacked] = []
    async with _running(client):
        await asyncio.sleep(pace.warm_up_s)
        client.phase = CALM
        await asyncio.sleep(pace.calm_s)
        for attack in attacks:
            say(f"… {attack.name}: {attack.what}")
            attacked.append(await _attack(deployment, attack, target, client, pace))
            client.phase = BETWEEN
            await asyncio.sleep(pace.between_s)
    return [_observation(client, one) for one in attacked]


def _observation(client: GoodClient, one: _Attacked) -> Observation:
    def compared(kind: str) -> Compared:
        return Compared(calm=client.latencies(kind, CALM), attacked=client.latencies(kind, one.attack.name))

    return Observation(
        attack=one.attack.name,
        latencies={kind: compared(kind) for kind in (READ, COMPOSE)},
        memory=one.memory,
        answers=dict(one.tally.answers),
        admitted=(*one.tally.admitted, *one.admitted),
        failures=tuple(client.problems(one.attack.name)),
    )


@asynccontextmanager
async def _running(client: GoodClient) -> AsyncIterator[None]:
    """At the end the client's last requests are answered, or have missed their deadline."""
    task = asyncio.create_task(client.run())
    try:
        yield
        client.stop()
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _attack(deployment: Deployment, attack: Attack, target: Target, client: GoodClient, pace: Pace) -> _Attacked:
    pids = {daemon: deployment.processes.running[daemon].pid for daemon in DAEMONS}
    before = await known_objects(deployment)
    before_mib = {daemon: peak_from_now(pid) for daemon, pid in pids.items()}
    async with _worker(attack, target, pace.attack_s) as process:
        client.phase = attack.name
        await _wait_for(process, ENDED, attack)
        client.phase = BETWEEN
        tally = await _tally_of(process)
    return _Attacked(
        attack=attack,
        tally=tally,
        memory={
            daemon: Memory(before_mib=before_mib[daemon], peak_mib=status_mib(pid, "VmHWM"))
            for daemon, pid in pids.items()
        },
        admitted=added(before, await known_objects(deployment)),
    )


@asynccontextmanager
async def _worker(attack: Attack, target: Target, seconds: float) -> AsyncIterator[asyncio.subprocess.Process]:
    """The attackers' process, which has begun to attack. Killed at the end if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "tests.abuse.worker", attack.name, str(seconds),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )  # fmt: skip
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(to_dict(target)).encode())
        process.stdin.close()
        await _wait_for(process, BEGUN, attack)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _wait_for(process: asyncio.subprocess.Process, line: str, attack: Attack) -> None:
    assert process.stdout is not None
    found = await process.stdout.readline()
    assert found.decode().strip() == line, f"the attackers of {attack.name} failed; their output is above"


async def _tally_of(process: asyncio.subprocess.Process) -> Tally:
    assert process.stdout is not None
    async with asyncio.timeout(WORKER_S):
        output = await process.stdout.read()
        assert await process.wait() == 0, "the attackers failed; their output is above"
    return Tally.of(json.loads(output))
