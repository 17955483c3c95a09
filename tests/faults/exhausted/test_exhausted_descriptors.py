"""Daemons whose file descriptors are used up: they refuse in words, and work again as soon as there are some."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.deployment.processes import as_processes
from tests.deployment.runner import RACK, REGION
from tests.support.waiting import eventually, settle

KIND = resource.RLIMIT_NOFILE
STANDARD_STREAMS = 3  # they stay open, so that no number below is ever free
IN_WORDS = "Too many open files"
_DROP_CONNECTIONS = """
    select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'innkeeper-regiond'
"""


@contextmanager
def exhausted(deployment: Deployment, daemon: str) -> Iterator[None]:
    """The running daemon can open nothing until the block ends, whatever it closes; what it has open stays open."""
    with limited(deployment, daemon, descriptors=STANDARD_STREAMS):
        yield


@contextmanager
def without_free(deployment: Deployment, daemon: str) -> Iterator[None]:
    """As `exhausted`, but what the daemon closes can be opened again: to refuse, it closes one that it has reserved."""
    pid = deployment.processes.running[daemon].pid
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    first_free = next(number for number in range(len(used) + 1) if number not in used)
    with limited(deployment, daemon, descriptors=first_free):
        yield


@contextmanager
def limited(deployment: Deployment, daemon: str, *, descriptors: int) -> Iterator[None]:
    pid = deployment.processes.running[daemon].pid
    before = resource.prlimit(pid, KIND)
    resource.prlimit(pid, KIND, (descriptors, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, KIND, before)


@pytest.fixture(scope="module")
def innkeeper(tmp_path_factory: pytest.TempPathFactory, module_server_folder: Path) -> Iterator[Deployment]:
    """One for all tests, each of which leaves it as it was."""
    deployment = as_processes(tmp_path_factory.mktemp("files"), module_server_folder)
    try:
        settle(deployment.start())
        settle(deployment.add_simulated(cores=8))
        yield deployment
    finally:
        deployment.processes.kill_all()


async def assert_works(deployment: Deployment, name: str) -> None:
    """A compose succeeds, once, and nothing is left of what had failed."""
    machine = await deployment.compose(deployment.hosts["sim"], cores=1, memory=1024, hostname=name)
    assert deployment.simulated_guests() == [name]
    await deployment.delete(f"machines/{machine['system_id']}/")
    assert deployment.simulated_guests() == []
    assert await deployment.ledger_problems() == []
    assert await deployment.discrepancies() == []


async def test_a_region_that_cannot_accept_serves_again_with_descriptors(innkeeper: Deployment) -> None:
    port = innkeeper.processes.http_port
    with without_free(innkeeper, REGION), ExitStack() as stack:
        for _ in range(20):
            with suppress(ConnectionError):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        with pytest.raises(InnkeeperError):  # closed at once, not left to wait
            await asyncio.wait_for(innkeeper.get("zones/"), 30)
        log = innkeeper.processes.log(REGION)
        await eventually(lambda: "connections_refused" in log.read_text())
    await eventually(innkeeper.is_linked)
    assert innkeeper.processes.links_made() == 1  # the link was open all the time
    await assert_works(innkeeper, "after")


async def test_a_region_that_cannot_reach_its_database_says_why(innkeeper: Deployment) -> None:
    # On a connection that is open already, the request needs only one to the database.
    reader, writer = await asyncio.open_connection("127.0.0.1", innkeeper.processes.http_port)
    async with innkeeper.connection() as db:
        with exhausted(innkeeper, REGION):
            await db.execute(_DROP_CONNECTIONS)
            writer.write(b"GET /healthz/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 503 " in await asyncio.wait_for(reader.readline(), 30)
            log = innkeeper.processes.log(REGION)
            await eventually(lambda: IN_WORDS in log.read_text())
    writer.close()
    await eventually(innkeeper.processes.region_is_ready)
    await assert_works(innkeeper, "after")


async def test_a_rack_that_cannot_open_a_host_says_why_and_continues(innkeeper: Deployment) -> None:
    with exhausted(innkeeper, RACK):
        operation_id = await innkeeper.begin_compose(innkeeper.hosts["sim"], cores=1, memory=1024, hostname="m1")

        async def is_in_words() -> bool:
            return IN_WORDS in str((await innkeeper.get(f"operations/{operation_id}/"))["wait_reason"])

        await eventually(is_in_words)
    assert await innkeeper.ended(operation_id) == "succeeded"
    assert innkeeper.simulated_guests() == ["m1"]
    assert innkeeper.processes.links_made() == 1
    (machine,) = await innkeeper.get("machines/")
    await innkeeper.delete(f"machines/{machine['system_id']}/")
    assert "Traceback" not in innkeeper.processes.log(RACK).read_text()
