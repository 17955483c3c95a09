"""`rackd` as a process: joining, running, ending, and being killed in the middle of its work."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import define

from common.errors import InnkeeperError, LinkLost
from common.rpc.commands import (
    HOST_COMPOSE,
    HOST_DISCOVER,
    HOST_REACH,
    ComposeCall,
    Fence,
    HostCall,
)
from common.rpc.connection import Link
from common.values import DiskSpec, DriverType, Guest, GuestSpec, HostAccess, Mark
from tests.holding import hold
from tests.integration.linked import INSTALLATION, Region, make_region
from tests.waiting import eventually, settle

DEADLINE_S = 60.0


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    made = make_region(tmp_path / "authority")
    yield made
    settle(made.listener.stop())


@define
class Rack:
    """Starts `rackd` with a state and simulated hosts of its own."""

    folder: Path

    async def start(self, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "rackd", *arguments),
            env={
                "PATH": os.environ["PATH"],
                "INNKEEPER_STATE": str(self.folder),
                "INNKEEPER_SIMULATED_HOSTS": str(self.folder / "hosts"),
                **environment,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def says(self, *arguments: str, **environment: str) -> tuple[int | None, str]:
        process = await self.start(*arguments, **environment)
        async with asyncio.timeout(DEADLINE_S):
            said, _ = await process.communicate()
        return process.returncode, said.decode()

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
    status, said = await rack.says("join", region.token(), "--name", "rack-a")
    assert (status, "Joined as rack rack-a" in said) == (0, True), said
    return rack


async def linked(region: Region) -> Link:
    link: Link = await eventually(lambda: next((one for one in region.links if one.is_open), None))
    return link


def access(parameters: str = "") -> HostAccess:
    return HostAccess(
        host_id=1, driver=DriverType.SIMULATED, address=f"simulated:h?{parameters}", installation_id=INSTALLATION
    )


def spec() -> GuestSpec:
    return GuestSpec(
        name="vm",
        mark=Mark(installation_id=INSTALLATION, machine_id=uuid4()),
        architecture="amd64",
        cores=1,
        memory_mib=512,
        disks=tuple(
            DiskSpec(volume=f"vm-{index}", pool_id="default", size_bytes=1000, serial=f"s{index}") for index in range(3)
        ),
    )


async def compose(link: Link, made: GuestSpec, parameters: str = "", attempt: int = 1) -> Guest:
    fence = Fence(machine_id=str(made.mark.machine_id), operation_id=1, attempt=attempt)
    call = ComposeCall(access=access(parameters), spec=made, fence=fence)
    return await link.call(HOST_COMPOSE, call, deadline_s=DEADLINE_S)


def volumes(store: Path) -> int:
    """How many the simulated host has."""
    with closing(sqlite3.connect(store, timeout=DEADLINE_S)) as db:
        there = db.execute("select 1 from sqlite_schema where name = 'volume'").fetchone()
        return int(db.execute("select count(*) from volume").fetchone()[0]) if there else 0


async def guests(link: Link) -> list[Guest]:
    parts = link.stream(HOST_DISCOVER, HostCall(access=access()), deadline_s=DEADLINE_S)
    return [guest async for part in parts for guest in part.guests]


async def test_a_joined_rack_works_for_its_region_and_ends_cleanly(rack: Rack, region: Region) -> None:
    await joined(rack, region)
    async with rack.running() as process:
        link = await linked(region)
        assert link.peer.name == "rack-a"
        made = spec()
        assert (await compose(link, made)).mark == made.mark
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            assert await process.wait() == 0
    assert await eventually(lambda: region.lost) == [link]


async def test_a_hung_host_does_not_keep_a_rack_from_ending(rack: Rack, region: Region) -> None:
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


async def test_the_service_manager_hears_when_it_is_ready_linked_and_stopping(
    rack: Rack, region: Region, tmp_path: Path
) -> None:
    await joined(rack, region)
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        def heard(text: str) -> bool:
            with suppress(BlockingIOError):
                while True:
                    told.append(manager.recv(4096).decode())
            return any(text in one for one in told)

        async with rack.running(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000") as process:
            await eventually(lambda: heard("READY=1\nSTATUS=Rack rack-a: linked to 0 of 1 regions."))
            await eventually(lambda: heard("STATUS=Rack rack-a: linked to 1 of 1 regions."))
            await eventually(lambda: heard("WATCHDOG=1"))
            process.send_signal(signal.SIGTERM)
            await process.wait()
            assert heard("STOPPING=1")


@pytest.mark.fault
async def test_a_rack_killed_in_the_middle_of_a_compose_leaves_one_guest_after_the_next_try(
    rack: Rack, region: Region
) -> None:
    await joined(rack, region)
    made = spec()
    hosts = rack.folder / "hosts"
    with hold(hosts, "h", "define guest"):
        async with rack.running() as process:
            link = await linked(region)
            lost = asyncio.ensure_future(compose(link, made))
            await eventually((hosts / "h.sqlite").exists)
            await eventually(lambda: volumes(hosts / "h.sqlite") == len(made.disks))
            process.kill()
            with pytest.raises(LinkLost):
                await lost
            await eventually(lambda: region.lost)
    async with rack.running():
        link = await linked(region)
        assert (await compose(link, made, attempt=2)).mark == made.mark
        assert [guest.mark for guest in await guests(link)] == [made.mark]


async def test_a_rack_that_never_joined_says_what_to_do(rack: Rack) -> None:
    status, said = await rack.says("run")
    assert status == 1
    assert "rackd join TOKEN" in said
    assert len(said.splitlines()) == 1


async def test_a_bad_token_is_one_sentence(rack: Rack) -> None:
    status, said = await rack.says("join", "nonsense")
    assert status == 1
    assert len(said.splitlines()) == 1
    assert not rack.folder.exists()


async def test_bad_settings_refuse_to_start_and_name_the_key(rack: Rack, tmp_path: Path) -> None:
    config = tmp_path / "rackd.toml"
    config.write_text("colour = 1\n")
    status, said = await rack.says("--config", str(config), "run", INNKEEPER_MAX_CALLS="none")
    assert status == 2
    assert "colour" in said
    assert "INNKEEPER_MAX_CALLS must be a whole number" in said


async def test_the_version_is_told_without_any_setting(rack: Rack) -> None:
    status, said = await rack.says("--version")
    assert (status, said.split()[0]) == (0, "rackd")
