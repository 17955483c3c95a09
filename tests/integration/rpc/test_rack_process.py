"""`rackd` as a process: it joins, serves, exits and is killed during a call."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from attrs import define

from common.errors import InnkeeperError, LinkLost
from common.guests.guest_spec import GuestSpec
from common.release import running_release
from common.rpc.commands.host_commands import HOST_COMPOSE, HOST_DISCOVER, HOST_REACH, ComposeCall, Fence, HostCall
from common.rpc.link import Link
from common.values import DriverType, Guest, HostAccess
from tests.deployment.simulated_host import SimulatedHost
from tests.integration.support.rigs.linked import INSTALLATION, Region
from tests.support.waiting import eventually
from tests.unit.support.simulated_hosts import spec

DEADLINE_S = 240.0


@define
class Rack:
    """Starts `rackd` with its own state folder and simulated hosts."""

    folder: Path

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "rackd", *arguments),
            env={
                "PATH": os.environ["PATH"],
                "INNKEEPER_STATE": str(self.folder),
                "INNKEEPER_SIMULATED_HOSTS": str(self.folder / "hosts"),
                "INNKEEPER_METRICS_HOST": "",
                **environment,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, *arguments: str, **environment: str) -> tuple[int | None, str]:
        process = await self.start(*arguments, **environment)
        async with asyncio.timeout(DEADLINE_S):
            output, _ = await process.communicate()
        return process.returncode, output.decode()

    @asynccontextmanager
    async def running(self, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await self.start("run", **environment)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


@pytest.fixture
def rack(tmp_path: Path) -> Rack:
    return Rack(tmp_path / "rack")


async def joined(rack: Rack, region: Region) -> Rack:
    status, output = await rack.run("join", region.token(), "--name", "rack-a")
    assert (status, "Joined as rack rack-a" in output) == (0, True), output
    return rack


async def linked(region: Region) -> Link:
    link: Link = await eventually(lambda: next((one for one in region.links if one.is_open), None))
    return link


def access(parameters: str = "") -> HostAccess:
    return HostAccess(
        host_id=1, driver=DriverType.SIMULATED, address=f"simulated:h?{parameters}", installation_id=INSTALLATION
    )


async def compose(link: Link, guest: GuestSpec, parameters: str = "", attempt: int = 1) -> Guest:
    fence = Fence(machine_id=str(guest.marker.machine_id), operation_id=1, attempt=attempt)
    call = ComposeCall(access=access(parameters), spec=guest, fence=fence)
    return await link.call(HOST_COMPOSE, call, deadline_s=DEADLINE_S)


def volumes(store: Path) -> int:
    """Returns how many volumes the simulated host has."""
    with closing(sqlite3.connect(store, timeout=DEADLINE_S)) as db:
        has_table = db.execute("select 1 from sqlite_schema where name = 'volume'").fetchone()
        return int(db.execute("select count(*) from volume").fetchone()[0]) if has_table else 0


async def guests(link: Link) -> list[Guest]:
    parts = link.stream(HOST_DISCOVER, HostCall(access=access()), deadline_s=DEADLINE_S)
    return [guest async for part in parts for guest in part.guests]


@pytest.mark.slow
async def test_an_enrolled_rack_serves_its_region_and_exits_cleanly(rack: Rack, region: Region) -> None:
    await joined(rack, region)
    async with rack.running() as process:
        link = await linked(region)
        assert link.peer.name == "rack-a"
        guest = spec("vm", disks=3)
        assert (await compose(link, guest)).marker == guest.marker
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            assert await process.wait() == 0
    assert await eventually(lambda: region.lost) == [link]


@pytest.mark.slow
async def test_a_hung_host_does_not_delay_the_exit_of_a_rack(rack: Rack, region: Region) -> None:
    await joined(rack, region)
    async with rack.running() as process:
        link = await linked(region)
        stuck = asyncio.ensure_future(
            link.call(HOST_REACH, HostCall(access=access("delay_ms=600000")), deadline_s=600.0)
        )
        other = HostAccess(
            host_id=2, driver=DriverType.SIMULATED, address="simulated:other", installation_id=INSTALLATION
        )
        await link.call(HOST_REACH, HostCall(access=other), deadline_s=DEADLINE_S)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            assert await process.wait() == 0
        with pytest.raises(InnkeeperError):
            await stuck


@pytest.mark.slow
async def test_the_service_manager_gets_ready_linked_and_stopping(rack: Rack, region: Region, tmp_path: Path) -> None:
    await joined(rack, region)
    messages: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        def received(text: str) -> bool:
            with suppress(BlockingIOError):
                while True:
                    messages.append(manager.recv(4096).decode())
            return any(text in one for one in messages)

        async with rack.running(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000") as process:
            await eventually(lambda: received("READY=1\nSTATUS=Rack rack-a: linked to 0 of 1 regions."))
            await eventually(lambda: received("STATUS=Rack rack-a: linked to 1 of 1 regions."))
            await eventually(lambda: received("WATCHDOG=1"))
            process.send_signal(signal.SIGTERM)
            await process.wait()
            assert received("STOPPING=1")


@pytest.mark.fault
async def test_a_rack_killed_during_a_compose_leaves_one_guest_after_a_retry(rack: Rack, region: Region) -> None:
    await joined(rack, region)
    guest = spec("vm", disks=3)
    hosts = rack.folder / "hosts"
    with SimulatedHost(folder=hosts, name="h").hold("define guest"):
        async with rack.running() as process:
            link = await linked(region)
            lost = asyncio.ensure_future(compose(link, guest))
            await eventually((hosts / "h.sqlite").exists)
            await eventually(lambda: volumes(hosts / "h.sqlite") == len(guest.disks))
            process.kill()
            with pytest.raises(LinkLost):
                await lost
            await eventually(lambda: region.lost)
    async with rack.running():
        link = await linked(region)
        assert (await compose(link, guest, attempt=2)).marker == guest.marker
        assert [one.marker for one in await guests(link)] == [guest.marker]


@pytest.mark.slow
async def test_a_rack_without_identity_prints_how_to_join(rack: Rack) -> None:
    status, output = await rack.run("run")
    assert status == 1
    assert "rackd join -" in output
    assert len(output.splitlines()) == 1


@pytest.mark.slow
async def test_the_token_is_read_from_a_file(rack: Rack, region: Region, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{region.token()}\n")
    status, output = await rack.run("join", f"@{tmp_path / 'token'}", "--name", "rack-a")
    assert (status, "Joined as rack rack-a" in output) == (0, True), output
    status, output = await rack.run("join", f"@{tmp_path / 'none'}")
    assert (status, len(output.splitlines())) == (1, 1)
    assert f"Cannot read the token from {tmp_path / 'none'}" in output


async def test_the_help_of_join_names_the_token_on_the_command_line_last(rack: Rack) -> None:
    status, output = await rack.run("join", "--help")
    assert (status, output.splitlines()[0]) == (0, "usage: rackd join [-h] [--name NAME] - | @FILE | TOKEN")


@pytest.mark.slow
async def test_an_invalid_token_is_one_line(rack: Rack) -> None:
    status, output = await rack.run("join", "nonsense")
    assert status == 1
    assert len(output.splitlines()) == 1
    assert not rack.folder.exists()


async def test_invalid_settings_prevent_the_start_and_name_the_key(rack: Rack, tmp_path: Path) -> None:
    config = tmp_path / "rackd.toml"
    config.write_text("colour = 1\n")
    status, output = await rack.run("--config", str(config), "run", INNKEEPER_MAX_CALLS="none")
    assert status == 2
    assert "colour" in output
    assert "INNKEEPER_MAX_CALLS must be a whole number" in output


async def test_the_version_needs_no_setting(rack: Rack) -> None:
    status, output = await rack.run("--version")
    assert (status, output.strip()) == (0, f"rackd {running_release()}")
