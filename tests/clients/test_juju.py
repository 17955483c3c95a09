"""Juju's calls on simulated hosts."""

from __future__ import annotations

from pathlib import Path

from tests.clients.calls import JUJU
from tests.clients.client_host import simulated_host
from tests.clients.go_programs import key_of
from tests.clients.recording_proxy import recording
from tests.clients.scenarios.juju import bootstrap_and_end, juju_program, space_of
from tests.deployment.deployment import Deployment


async def test_juju_bootstraps_and_ends(innkeeper: Deployment, tmp_path: Path) -> None:
    program = await juju_program(tmp_path)
    host = await simulated_host(innkeeper, "juju")
    await innkeeper.post("vm-hosts/", type=host.type, power_address=f"{host.address},dmz:10.2.0.0/24:100")
    space = await space_of(innkeeper, host.subnet)
    async with recording(innkeeper.api.url) as proxy:
        await bootstrap_and_end(program, proxy.url, key_of(innkeeper), space, host)
    assert await innkeeper.get("files/") == []
    JUJU.check(proxy.calls)
