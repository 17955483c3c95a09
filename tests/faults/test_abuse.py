"""Strangers, a user, a stolen rack, a hypervisor and a MAAS attack real processes; `./dev abuse` measures longer."""

from __future__ import annotations

from tests.abuse.attacks import ATTACKS
from tests.abuse.judgement import Limits, problems
from tests.abuse.preparation import start
from tests.abuse.run import Pace, observe
from tests.deployment.deployment import Deployment

CHOSEN = (
    "slow-bodies", "idle-connections", "bodies-of-a-user", "headers", "logins", "page-streams", "rpc-rack",
    "lxd-redirect", "maas-rows", "screen-strangers", "screen-half-open", "screen-flood",
)  # fmt: skip
# No warm-up, and a calm just longer than the pause between two composes: latencies are hardly judged here.
PACE = Pace(warm_up_s=0.0, calm_s=0.6, pause_s=0.1, attack_s=1.0, idle_connections=1000, repetitions_s=0.0)
# CI machines are shared, and ten seconds of a busy one say nothing. What takes 30 s is a failure of the client.
LENIENT = Limits(max_ratio=10.0, floor_ms=30_000.0, max_growth_mib=300.0, max_failures=20, max_stolen=1.0)


async def test_a_deployment_under_attack_lets_nothing_in_and_goes_on(deployment: Deployment) -> None:
    await start(deployment)
    attacks = [one for one in ATTACKS if one.name in CHOSEN]
    assert len(attacks) == len(CHOSEN)
    found = await observe(deployment, attacks, PACE, LENIENT, print)
    assert {one.attack: missed for one in found if (missed := problems(one, LENIENT))} == {}
    assert await deployment.ledger_problems() == []
