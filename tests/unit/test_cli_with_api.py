"""The command against the region's real API, over services that answer with samples."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from common.bridge import from_deferred
from common.errors import OperationPending, OutOfCapacity
from regiond.api.endpoint import SiteInfo
from regiond.api.site import ApiSite, make_site
from regiond.networks.model import VlanChange
from regiond.operations.model import OperationState
from tests.unit.api_double import ADMIN_KEY, World, asked_of
from tests.unit.api_samples import FAILED, OPERATION, RUNNING
from tests.waiting import settle

KEY = f"{ADMIN_KEY.consumer_key}:{ADMIN_KEY.token_key}:{ADMIN_KEY.token_secret}"
POOLS_LINE = (
    """jq -r '(["NAME","TYPE","PATH","TOTAL","USED","AVAIL"] | (., map(length*"-"))), """
    """(.storage_pools[] | [.name, .type, .path, .total, .used, .available]) | @tsv' | column -t"""
)


@frozen
class Ran:
    status: int
    out: str
    err: str

    @property
    def plain(self) -> Any:
        return json.loads(self.out)


Cli = Callable[[str], Awaitable[Ran]]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def cli(world: World, tmp_path: Path) -> Iterator[Cli]:
    """`innkeeper …` as a shell line, logged in as `admin`."""
    site: Any = make_site(world.services(), SiteInfo())
    port: Any = reactor.listenTCP(0, site, interface="127.0.0.1")

    async def run(line: str) -> Ran:
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            f'innkeeper() {{ "{sys.executable}" -m innkeeper "$@"; }}; {line}',
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        )
        async with asyncio.timeout(90):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    async def login() -> None:
        ran = await run(f"innkeeper login admin http://127.0.0.1:{port.getHost().port} {KEY}")
        assert ran.status == 0, ran.err
        world.asked.clear()

    settle(login())
    yield run
    settle(_stopped(port, site))


async def _stopped(port: Any, site: ApiSite) -> None:
    stopped = port.stopListening()
    if isinstance(stopped, Deferred):
        await from_deferred(stopped)
    await site.close()


async def test_every_action_that_is_described_has_help(cli: Cli) -> None:
    resources = [line.split()[0] for line in (await cli("innkeeper admin --help")).out.splitlines()[2:]]
    assert {"vm-host", "vm-hosts", "machine", "machines", "operation", "racks", "zone", "resource-pool"} <= {*resources}
    for each in resources:
        ran = await cli(f"innkeeper admin {each} --help")
        assert ran.status == 0
        assert f"innkeeper admin {each} " in ran.out


async def test_the_line_that_prints_storage_pools_does(cli: Cli) -> None:
    ran = await cli(f"innkeeper admin vm-host read 4 | {POOLS_LINE}")
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[0] == ["NAME", "TYPE", "PATH", "TOTAL", "USED", "AVAIL"]
    assert rows[2][:4] == ["images", "dir", "/srv/images", "100000000000"]


async def test_hosts_machines_operations_and_racks_are_tables(cli: Cli) -> None:
    for resource, wanted in (
        ("vm-hosts", "hv-01"),
        ("machines", "quick-fox"),
        ("operations", "compose"),
        ("racks", "rack-1"),
        ("zones", "default"),
        ("resource-pools", "Default pool"),
    ):
        ran = await cli(f"innkeeper admin {resource} read --table")
        assert ran.status == 0, ran.err
        assert wanted in ran.out


async def test_numa_nodes_are_a_table(cli: Cli) -> None:
    ran = await cli("innkeeper admin vm-host numa 4 --table")
    assert "functions of ens1f0" in ran.out, ran.err


async def test_a_machine_is_composed_and_the_answer_is_the_apis(cli: Cli, world: World) -> None:
    ran = await cli("innkeeper admin vm-host compose 4 cores=2 memory=2048")
    assert ran.plain["system_id"] == "wdpx3n"
    (request,) = [one.args[1] for one in world.asked if one.name == "machines.start_compose"]
    assert (request.host_id, request.cores, request.memory_mib) == (4, 2, 2048)


async def test_a_dry_run_is_a_command_and_a_terminal_shows_what_each_host_lacks(cli: Cli, world: World) -> None:
    ran = await cli("innkeeper admin vm-hosts place cores=2 zone=east zone=west not_tags=old --table")
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "chosen hv-01" in lines
    assert "root 8.0 images local" in lines
    assert "hv-02 cores: 4 asked, 1 of 4 × 1.0 = 4 left 5" in lines
    assert "3 not enough cores left" in lines
    (asked,) = [one.args[1] for one in world.asked if one.name == "machines.dry_run"]
    assert (asked.zones, asked.not_tags) == (("east", "west"), ("old",))


async def test_wait_follows_the_real_operation(cli: Cli, world: World) -> None:
    states = iter([RUNNING, RUNNING, OPERATION])
    world.answers["machines.start_compose"] = evolve(RUNNING, state=OperationState.QUEUED)
    world.answers["operations.read"] = lambda _: next(states)
    ran = await cli("innkeeper admin vm-host compose 4 --wait")
    assert (ran.status, ran.err) == (0, "")
    assert ran.plain["hostname"] == "quick-fox"


async def test_a_failed_operation_says_why(cli: Cli, world: World) -> None:
    world.answers["machines.start_compose"] = evolve(RUNNING, state=OperationState.QUEUED)
    world.answers["operations.read"] = lambda _: FAILED
    ran = await cli("innkeeper admin vm-host compose 4 --wait")
    assert (ran.status, ran.out, ran.err) == (1, "", "cores: 4 asked, 1 of 4 left.\n")


async def test_a_refusal_and_a_wait_that_was_too_short_are_told(cli: Cli, world: World) -> None:
    world.answers["machines.start_compose"] = OutOfCapacity("memory: 4096 MiB asked, 2100 left")
    ran = await cli("innkeeper admin vm-host compose 4")
    assert (ran.status, ran.err) == (1, "memory: 4096 MiB asked, 2100 left\n")
    world.answers["machines.start_compose"] = RUNNING
    world.answers["operations.wait"] = OperationPending("It has not ended within 120 s.", operation=77)
    ran = await cli("innkeeper admin vm-host compose 4")
    assert ran.status == 1
    assert "innkeeper admin operation read 77" in ran.err


async def test_a_wrong_field_is_named(cli: Cli) -> None:
    ran = await cli("innkeeper admin vm-host compose 4 cores=many")
    assert ran.status == 1
    assert ran.err.splitlines() == ["The request was refused:", "  cores: Enter a whole number."]


async def test_a_rack_token_is_printed(cli: Cli) -> None:
    assert (await cli("innkeeper rack token lifetime_s=600")).out == "innkeeper-token\n"


async def test_deletion_and_power_answer(cli: Cli, world: World) -> None:
    assert (await cli("innkeeper admin vm-host delete 4 decompose=true")).status == 0
    assert (await cli("innkeeper admin machine power-on wdpx3n")).plain["system_id"] == "wdpx3n"
    assert {"hosts.start_remove", "machines.start_power"} <= {one.name for one in world.asked}


async def test_networks_are_read_by_the_names_that_maas_users_type(cli: Cli, world: World) -> None:
    ran = await cli("innkeeper admin ipranges read --table && innkeeper admin interfaces read k3xq7a --table")
    assert (ran.status, ran.err) == (0, "")
    for told in ("10.1.0.20", "br-dmz", "fabric-0/100 dmz"):
        assert told in ran.out
    statistics = await cli("innkeeper admin subnet statistics 10.1.0.0/24")
    assert statistics.plain["total_addresses"] == 254
    changed = await cli("innkeeper admin vlan update fabric-0 100 space=front name=dmz")
    assert changed.plain["space"] == "front"
    assert asked_of(world, "networks.update_vlan").args[1:] == (5002, VlanChange(space="front", name="dmz"))
