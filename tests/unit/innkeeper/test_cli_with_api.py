"""The command against the region's real API, with sample data from service doubles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet import reactor

from common.errors import OperationPending, OutOfCapacity
from regiond.api.declaration.endpoint import SiteInfo
from regiond.api.http.site import make_site
from regiond.networks.model import VlanChange
from regiond.operations.model import OperationState
from tests.support.ports import stop_listening
from tests.support.waiting import settle
from tests.unit.answers.accounts import ADMIN_KEY
from tests.unit.command.processes import Ran, in_shell
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.machine_samples import FAILED, OPERATION, RUNNING

KEY = f"{ADMIN_KEY.consumer_key}:{ADMIN_KEY.token_key}:{ADMIN_KEY.token_secret}"
POOLS_LINE = (
    """jq -r '(["NAME","TYPE","PATH","TOTAL","USED","AVAIL"] | (., map(length*"-"))), """
    """(.storage_pools[] | [.name, .type, .path, .total, .used, .available]) | @tsv' | column -t"""
)


Cli = Callable[[str], Awaitable[Ran]]


@pytest.fixture
def api() -> ApiDouble:
    return ApiDouble()


@pytest.fixture
def cli(api: ApiDouble, tmp_path: Path) -> Iterator[Cli]:
    """`innkeeper …` as a shell line, logged in as `admin`."""
    site: Any = make_site(api.services(), SiteInfo())
    port: Any = reactor.listenTCP(0, site, interface="127.0.0.1")

    async def run(line: str) -> Ran:
        return await in_shell(tmp_path, line)

    async def login() -> None:
        ran = await run(f"innkeeper login admin http://127.0.0.1:{port.getHost().port} {KEY}")
        assert ran.status == 0, ran.err
        api.calls.clear()

    settle(login())
    yield run
    settle(stop_listening(port))
    settle(site.close())


@pytest.mark.slow
async def test_every_described_action_has_help(cli: Cli) -> None:
    resources = [line.split()[0] for line in (await cli("innkeeper admin --help")).out.splitlines()[2:]]
    assert {"vm-host", "vm-hosts", "machine", "machines", "operation", "racks", "zone", "resource-pool"} <= {*resources}
    for each in resources:
        ran = await cli(f"innkeeper admin {each} --help")
        assert ran.status == 0
        assert f"innkeeper admin {each} " in ran.out


@pytest.mark.slow
async def test_the_documented_storage_pool_command_works(cli: Cli) -> None:
    ran = await cli(f"innkeeper admin vm-host read 4 | {POOLS_LINE}")
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[0] == ["NAME", "TYPE", "PATH", "TOTAL", "USED", "AVAIL"]
    assert rows[2][:4] == ["images", "dir", "/srv/images", "100000000000"]


@pytest.mark.slow
async def test_every_kind_of_object_is_shown_as_a_table(cli: Cli) -> None:
    for words, expected in (
        ("vm-hosts read", "hv-01"),
        ("machines read", "quick-fox"),
        ("operations read", "compose"),
        ("racks read", "rack-1"),
        ("regions read", "r1:5241"),
        ("vm-hosts capacity", "pool default"),
        ("zones read", "default"),
        ("resource-pools read", "Default pool"),
        ("vm-host numa 4", "functions of ens1f0"),
    ):
        ran = await cli(f"innkeeper admin {words} --table")
        assert ran.status == 0, ran.err
        assert expected in ran.out


@pytest.mark.slow
async def test_compose_prints_the_response_of_the_api(cli: Cli, api: ApiDouble) -> None:
    ran = await cli("innkeeper admin vm-host compose 4 cores=2 memory=2048")
    assert ran.plain["system_id"] == "wdpx3n"
    (request,) = [one.args[1] for one in api.calls if one.name == "composer.start_compose"]
    assert (request.host_id, request.cores, request.memory_mib) == (4, 2, 2048)


@pytest.mark.slow
async def test_a_dry_run_shows_what_each_host_lacks_as_a_table(cli: Cli, api: ApiDouble) -> None:
    ran = await cli("innkeeper admin vm-hosts place cores=2 zone=east zone=west not_tags=old --table")
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "chosen hv-01" in lines
    assert "root 8.0 images local" in lines
    assert "hv-02 needs 4 cores, 1 free (4 cores × ratio 1.0, 3 used) 5" in lines
    assert "3 not enough free cores" in lines
    (hosts,) = [one.args[2] for one in api.calls if one.name == "composer.dry_run"]
    assert (hosts.zones, hosts.not_tags) == (("east", "west"), ("old",))


@pytest.mark.slow
async def test_wait_follows_the_real_operation(cli: Cli, api: ApiDouble) -> None:
    states = iter([RUNNING, RUNNING, OPERATION])
    api.answers["composer.start_compose"] = evolve(RUNNING, state=OperationState.QUEUED)
    api.answers["operations.read"] = lambda _: next(states)
    ran = await cli("innkeeper admin vm-host compose 4 --wait")
    assert (ran.status, ran.err) == (0, "")
    assert ran.plain["hostname"] == "quick-fox"


@pytest.mark.slow
async def test_a_failed_operation_prints_its_error(cli: Cli, api: ApiDouble) -> None:
    api.answers["composer.start_compose"] = evolve(RUNNING, state=OperationState.QUEUED)
    api.answers["operations.read"] = lambda _: FAILED
    ran = await cli("innkeeper admin vm-host compose 4 --wait")
    assert (ran.status, ran.out, ran.err) == (6, "", "needs 4 cores, 1 of 4 free\n")


@pytest.mark.slow
async def test_a_rejection_and_a_wait_timeout_are_printed(cli: Cli, api: ApiDouble) -> None:
    api.answers["composer.start_compose"] = OutOfCapacity("needs 4096 MiB of memory, 2100 free")
    ran = await cli("innkeeper admin vm-host compose 4")
    assert (ran.status, ran.err) == (6, "needs 4096 MiB of memory, 2100 free\n")
    api.answers["composer.start_compose"] = RUNNING
    api.answers["operations.wait"] = OperationPending("It has not ended within 120 s.", operation=77)
    ran = await cli("innkeeper admin vm-host compose 4")
    assert ran.status == 8
    assert "innkeeper admin operation read 77" in ran.err


@pytest.mark.slow
async def test_an_invalid_field_is_named(cli: Cli) -> None:
    ran = await cli("innkeeper admin vm-host compose 4 cores=many")
    assert ran.status == 1
    assert ran.err.splitlines() == [
        "The region rejected the request:",
        "  cores: Enter a whole number of at least 1, not 'many'.",
    ]


@pytest.mark.slow
async def test_a_rack_token_is_printed(cli: Cli) -> None:
    assert (await cli("innkeeper rack token lifetime_s=600")).out == "innkeeper-token\n"


@pytest.mark.slow
async def test_delete_and_power_actions_work(cli: Cli, api: ApiDouble) -> None:
    assert (await cli("innkeeper admin vm-host delete 4 decompose=true")).status == 0
    assert (await cli("innkeeper admin machine power-on wdpx3n")).plain["system_id"] == "wdpx3n"
    assert {"hosts.start_remove", "machines.start_power"} <= {one.name for one in api.calls}


@pytest.mark.slow
async def test_networks_have_the_commands_of_maas(cli: Cli, api: ApiDouble) -> None:
    ran = await cli("innkeeper admin ipranges read --table && innkeeper admin interfaces read k3xq7a --table")
    assert (ran.status, ran.err) == (0, "")
    for text in ("10.1.0.20", "br-dmz", "fabric-0/100 dmz"):
        assert text in ran.out
    statistics = await cli("innkeeper admin subnet statistics 10.1.0.0/24")
    assert statistics.plain["total_addresses"] == 254
    changed = await cli("innkeeper admin vlan update fabric-0 100 space=front name=dmz")
    assert changed.plain["space"] == "front"
    assert api.call("networks.update_vlan").args[1:] == (5002, VlanChange(space="front", name="dmz"))


@pytest.mark.slow
async def test_what_needs_attention_is_a_table(cli: Cli) -> None:
    ran = await cli("innkeeper admin attention read --table")
    assert (ran.status, ran.err) == (0, "")
    assert "broken" in ran.out
    assert "quick-fox is missing from hv-01." in ran.out
    ran = await cli("innkeeper admin attention counts")
    assert '"vm_missing": 1' in ran.out
