"""Runs attacks against a deployment, one after the other, and measures the good client before and during each."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import frozen

from common.serialization import to_dict
from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.good_client import GoodClient
from tests.abuse.judgement import Limits, Memory, Observation
from tests.abuse.known_objects import added, known_objects
from tests.abuse.preparation import prepare
from tests.abuse.stolen_time import CpuTimes
from tests.abuse.windows import AttackWindow, Repetitions, W, Window, least_disturbed, observation, until_quiet
from tests.abuse.worker import BEGUN, ENDED
from tests.bench.machine import peak_from_now, status_mib
from tests.deployment.deployment import Deployment

BETWEEN = "between"
DAEMONS = ("region", "rack")
WORKER_S = 240.0  # from the end of an attack to the end of its process
_ROOT = Path(__file__).parents[2]

Say = Callable[[str], None]


@frozen(kw_only=True)
class Pace:
    """Seconds of calm before each attack, of the pause after it, and of the attack itself.

    Before all, the good client warms up: modules are loaded, hosts opened, and nothing is measured. Nor is anything in
    the pause, when the region may still be busy with the attack. A calm or an attack from which the host took CPU time
    is measured again `repetitions` times, as long as all repetitions fit into `repetitions_s`.
    """

    warm_up_s: float = 4.0
    calm_s: float
    pause_s: float
    attack_s: float
    idle_connections: int = 5000
    repetitions: int = 2
    repetitions_s: float


FULL = Pace(calm_s=8.0, pause_s=2.0, attack_s=12.0, repetitions_s=80.0)
QUICK = Pace(calm_s=2.0, pause_s=0.5, attack_s=1.5, idle_connections=2500, repetitions_s=20.0)


async def observe(
    deployment: Deployment, attacks: Sequence[Attack], pace: Pace, limits: Limits, say: Say
) -> list[Observation]:
    """Attacks a deployment that runs. Raises AssertionError if an attacker's process fails."""
    target = await prepare(deployment, idle_connections=pace.idle_connections)
    client = GoodClient(port=target.http_port, key=target.administrator_key, host_ids=tuple(deployment.hosts.values()))
    measurement = _Measurement(
        deployment=deployment, target=target, client=client, pace=pace, limits=limits, say=say,
        repetitions=Repetitions(
            max_stolen=limits.max_stolen, per_window=pace.repetitions, total_s=pace.repetitions_s
        ),
    )  # fmt: skip
    async with _running(client):
        await asyncio.sleep(pace.warm_up_s)
        windows = [(attack.name, *await measurement.calm_and_attack(attack)) for attack in attacks]
    return [observation(name, calms, attacked, client) for name, calms, attacked in windows]


@frozen(kw_only=True)
class _Measurement:
    deployment: Deployment
    target: Target
    client: GoodClient
    pace: Pace
    limits: Limits
    say: Say
    repetitions: Repetitions

    async def calm_and_attack(self, attack: Attack) -> tuple[list[Window], list[AttackWindow]]:
        """The calm before the attack and the attack, each until it is quiet. An attack after a noisy calm is not
        repeated: its latencies are not judged anyway.
        """
        self.say(f"… {attack.name}: {attack.what}")

        async def calm(number: int) -> Window:
            return self._reported("calm", await self._calm(f"{attack.name}, calm {number}"))

        async def attacked(number: int) -> AttackWindow:
            return self._reported("attack", await self._attack(attack, f"{attack.name}, attack {number}"))

        calms = await until_quiet(calm, self.repetitions, window_s=self.pace.calm_s, clock=time.monotonic)
        if least_disturbed(calms).stolen > self.limits.max_stolen:
            return calms, [await attacked(1)]
        window_s = self.pace.attack_s + self.pace.pause_s
        return calms, await until_quiet(attacked, self.repetitions, window_s=window_s, clock=time.monotonic)

    def _reported(self, what: str, window: W) -> W:
        if window.stolen > self.limits.max_stolen:
            self.say(f"  the host took {window.stolen * 100:.1f} % of CPU time during the {what}")
        return window

    async def _calm(self, phase: str) -> Window:
        cpu = CpuTimes.read()
        self.client.phase = phase
        await asyncio.sleep(self.pace.calm_s)
        self.client.phase = BETWEEN
        return Window(phase=phase, stolen=CpuTimes.read().stolen_since(cpu))

    async def _attack(self, attack: Attack, phase: str) -> AttackWindow:
        """Attacks, and pauses afterwards."""
        pids = {daemon: self.deployment.processes.running[daemon].pid for daemon in DAEMONS}
        before = await known_objects(self.deployment)
        before_mib = {daemon: peak_from_now(pid) for daemon, pid in pids.items()}
        async with _worker(attack, self.target, self.pace.attack_s) as process:
            cpu = CpuTimes.read()
            self.client.phase = phase
            await _wait_for(process, ENDED, attack)
            self.client.phase = BETWEEN
            stolen = CpuTimes.read().stolen_since(cpu)
            tally = await _tally_of(process)
        memory = {
            daemon: Memory(before_mib=before_mib[daemon], peak_mib=status_mib(pid, "VmHWM"))
            for daemon, pid in pids.items()
        }
        admitted = (*tally.admitted, *added(before, await known_objects(self.deployment)))
        await asyncio.sleep(self.pace.pause_s)
        return AttackWindow(
            phase=phase, stolen=stolen, memory=memory, answers=dict(tally.answers), admitted=admitted
        )  # fmt: skip


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
