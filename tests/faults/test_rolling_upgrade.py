"""Two regions behind a load balancer are upgraded one after the other under load."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from common.errors import InnkeeperError
from innkeeper.http import Api
from regiond.db.migrate import Migration
from tests.deployment.deployment import Deployment
from tests.deployment.processes import SECOND_REGION
from tests.deployment.runner import REGION
from tests.faults.rolling_upgrade import Clients, load_balancer, newer_build
from tests.later_migrations import COMPATIBLE, NEWER
from tests.ports import free_port
from tests.waiting import eventually

HOSTS = ("ant", "bee", "cow", "dog")


async def answers(api: Api) -> bool:
    try:
        await api.get("healthz/ready")
    except InnkeeperError:
        return False
    return True


async def upgraded(deployment: Deployment, tmp_path: Path, one: Migration) -> Clients:
    """Returns the clients' counts after both regions were upgraded to a build with another migration."""
    runner = deployment.processes
    runner.settings = {"drain_s": "3", "trusted_proxies": "127.0.0.1"}
    await deployment.start()
    ids = [(await deployment.add_simulated(name, cores=128, memory_mib=262144))["id"] for name in HOSTS]
    ports = {REGION: {"http_port": runner.http_port, "rpc_port": runner.rpc_port}}
    await runner.start_second_region()
    ports[SECOND_REGION] = {"http_port": runner.http_port, "rpc_port": runner.rpc_port}
    await eventually(lambda: runner.links_made() == 2)
    port = free_port()
    newer = newer_build(tmp_path / "newer", one)
    with load_balancer(tmp_path, port=port, regions=[each["http_port"] for each in ports.values()]):
        balancer = Api(f"http://127.0.0.1:{port}/", None)
        await eventually(lambda: answers(balancer))
        clients = Clients(url=f"http://127.0.0.1:{port}/MAAS/", key=runner.api_key, host_ids=ids)
        running = asyncio.create_task(clients.run())
        for name in (SECOND_REGION, REGION):
            sent = clients.sent
            await eventually(lambda: clients.sent > sent + 100 or running.done())  # noqa: B023  # awaited here
            process = runner.running.pop(name)
            if process.poll() is None:  # else it has ended, since the other one has migrated the database
                process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 60)
            links = runner.links_made()
            others = dict(runner.running)  # of which a region may end meanwhile
            runner.running.pop(REGION, None)
            try:
                await runner.upgrade_region(name, newer, **ports[name])
            finally:
                runner.running.update({each: others[each] for each in others if each not in runner.running})
            await eventually(lambda: runner.links_made() > links)  # noqa: B023
            await eventually(lambda: answers(balancer))
        sent = clients.sent
        await eventually(lambda: clients.sent > sent + 100 or running.done())
        clients.is_ending = True
        await running
    for number in clients.accepted:
        assert await deployment.ended(number) == "succeeded"
    assert await deployment.own_discrepancies() == []
    print(f"{one.name}: {clients.sent} requests; failed first attempts: {dict(clients.first)}")  # noqa: T201  # measured
    return clients


async def test_no_request_fails_while_regions_are_upgraded(deployment: Deployment, tmp_path: Path) -> None:
    clients = await upgraded(deployment, tmp_path, COMPATIBLE)
    assert (dict(clients.first), dict(clients.final)) == ({}, {})


async def test_a_client_that_retries_sees_no_error_of_an_incompatible_upgrade(
    deployment: Deployment, tmp_path: Path
) -> None:
    clients = await upgraded(deployment, tmp_path, NEWER)
    assert dict(clients.final) == {}
