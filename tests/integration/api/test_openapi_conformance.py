"""Every answer of every endpoint to every role is as the OpenAPI description says: status, headers and body."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.values import DriverType
from rackd.drivers.registry import DriverRegistry
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from rackd.settings import RackSettings
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.support.openapi_calls import ROLES, OpenApiCalls
from tests.integration.support.two_pools import two_pools
from tests.support.waiting import settle

# OPENAPI_EXAMPLES=50 takes a quarter of an hour; the seed of a failure repeats its requests.
EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "1"))
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJMyl+cLMY03lyZye6/VR7+FUJFeG3jveKKwLPzBVJ0G test"
SEED = int(os.environ.get("OPENAPI_SEED", "1"))
BUDGET_S = 15.0 * EXAMPLES


def simulated_only(settings: RackSettings) -> DriverRegistry:
    """The rack calls no address that a request makes up."""
    assert settings.simulated_hosts is not None
    factory = SimulatedDriverFactory(settings.simulated_hosts)
    return DriverRegistry({DriverType.SIMULATED: factory}, absent={})


@pytest.fixture
def simulated(tmp_path: Path, database_url: str) -> Iterator[Deployment]:
    """A region without limits of requests, and a rack that has simulated hosts only."""
    entered = deployed(tmp_path, database_url, drivers=simulated_only, rate_limit_exempt=("127.0.0.1",))
    deployment = settle(entered.__aenter__())
    settle(deployment.start_rack())
    yield deployment
    settle(entered.__aexit__(None, None, None))


async def shared_objects(innkeeper: Deployment) -> None:
    """One of each kind that is in no pool."""
    await innkeeper.add_simulated("networked", networks="dmz:10.1.0.0/24:100")
    await innkeeper.post("spaces/", name="front")
    await innkeeper.post("ipranges/", type="reserved", start_ip="10.1.0.50", end_ip="10.1.0.60")
    await innkeeper.post("dnsresources/", fqdn="www.maas", ip_addresses="10.1.0.8")
    await innkeeper.post("files/", filename="none", file="state")
    await innkeeper.post("account/prefs/sshkeys/", key=PUBLIC_KEY)


@pytest.mark.slow
@pytest.mark.deadline(600 + 4 * BUDGET_S)
async def test_every_answer_is_as_openapi_describes_it(simulated: Deployment) -> None:
    pools = await two_pools(simulated)
    await shared_objects(simulated)
    url = simulated.api.url.removesuffix("/MAAS/api/2.0/")
    calls = OpenApiCalls(pools=pools, url=url, keys=pools.keys, examples=EXAMPLES, seed=SEED, budget_s=BUDGET_S)
    await asyncio.to_thread(calls.run)
    assert not calls.problems, "\n\n".join(calls.problems.values())
    for role in ROLES[1:]:
        assert calls.statuses[role, 200] > 50, calls.statuses
