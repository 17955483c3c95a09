"""Two regions behind a load balancer are upgraded one after the other under load."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from common.errors import InnkeeperError
from innkeeper.http import Api
from regiond.db.migration_files import Migration
from tests.deployment.deployment import Deployment
from tests.deployment.processes import SECOND_REGION, Processes
from tests.deployment.runner import REGION
from tests.faults.upgrades.rolling_upgrade import Clients, load_balancer, newer_build
from tests.postgresql.later_migrations import COMPATIBLE, NEWER
from tests.support.ports import free_port
from tests.support.waiting import eventually

OF_THE_BALANCER = "A server in front of the region"
ANSWER_OF_THE_PAGE = f"{OF_THE_BALANCER} answered with status 503 (No region is ready; try again.)"
Afterwards = Callable[[Processes, Clients, Mapping[str, Mapping[str, int]]], Coroutine[Any, Any, None]]
HOSTS = ("ant", "bee", "cow", "dog")


async def answers(api: Api) -> bool:
    try:
        await api.get("healthz/ready")
    except InnkeeperError:
        return False
    return True


async def is_unavailable(runner: Processes, clients: Clients, ports: Mapping[str, Mapping[str, int]]) -> None:
    """Stops all regions until the load balancer has answered a client by itself, then starts them again."""
    newer = runner.region_build
    assert newer is not None
    stopped = [runner.running.pop(name) for name in ports]
    for process in stopped:
        process.send_signal(signal.SIGTERM)
    await eventually(lambda: any(OF_THE_BALANCER in words for words in clients.first))
    for process in stopped:
        await asyncio.to_thread(process.wait, 60)
    for name, own in ports.items():
        await runner.upgrade_region(name, newer, **own)


async def upgraded(
    deployment: Deployment, tmp_path: Path, one: Migration, *, afterwards: Afterwards | None = None
) -> Clients:
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
        if afterwards is not None:
            runner.region_build = newer
            await afterwards(runner, clients, ports)
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
    """Also while no region is ready, and the load balancer answers as docs/how-to/health.md has it do."""
    clients = await upgraded(deployment, tmp_path, NEWER, afterwards=is_unavailable)
    assert dict(clients.final) == {}
    assert any(ANSWER_OF_THE_PAGE in words for words in clients.first)
