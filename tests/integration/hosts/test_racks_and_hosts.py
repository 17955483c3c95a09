"""Which racks reach which hosts, with new, removed and unsuitable racks; RPC clients."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import innkeeper.rpc
from common.errors import InnkeeperError, LinkLost, NotAllowed, NotFound, OutOfCapacity
from common.guests.compose_request import ComposeRequest
from common.process.private_files import write_private
from common.process.systemd_notify import ServiceManager
from innkeeper.rpc_calls.client_credentials import AUTHORITY, CERTIFICATE, KEY
from rackd.enrolment import join
from rackd.identity import load
from rackd.service import RackService
from rackd.settings import RackSettings
from regiond.operations.model import OperationState
from regiond.racks.reach.link_supervisor import PROBE_EVERY_S, WATCH_EVERY_S
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql
from tests.support.clock import advance
from tests.support.waiting import eventually

_REACH = """
    select h.name from rack_reach x join rack r on r.id = x.rack_id join vm_host h on h.id = x.host_id
     where r.name = $1 and x.reaches = $2 order by h.name
"""


async def reached(innkeeper: Deployment, rack: str, *, reaches: bool = True) -> list[str]:
    """Returns the names of the hosts that the rack reaches, or does not reach, as recorded."""
    return [row["name"] for row in await sql(innkeeper, _REACH, rack, reaches)]


async def remove_rack(innkeeper: Deployment, name: str = "rack") -> None:
    """Removes the rack and waits for the end of its links."""
    racks = innkeeper.region.components.services.racks
    (found,) = [rack for rack in await racks.list(caller=None) if rack.name == name]
    await racks.remove(innkeeper.admin, str(found.id))
    await eventually(lambda: not innkeeper.in_process.links(name))


async def start_rack_without_simulated_hosts(innkeeper: Deployment, name: str) -> None:
    settings = RackSettings(state=innkeeper.folder / name, metrics_host="")
    token = await innkeeper.region.components.services.racks.create_token(innkeeper.admin, lifetime_s=60)
    await join(token, settings.identity_folder, name)
    service = RackService(settings, load(settings.identity_folder), ServiceManager({}))
    innkeeper.in_process.serve(name, service)
    await eventually(lambda: innkeeper.is_linked(name))


async def client_folder(innkeeper: Deployment, name: str = "program") -> Path:
    certificate, key, authority = await innkeeper.region.components.services.rpc_clients.issue(innkeeper.admin, name)
    folder = innkeeper.folder / name
    folder.mkdir()
    for file, text in ((CERTIFICATE, certificate), (KEY, key), (AUTHORITY, authority)):
        write_private(folder / file, text)
    return folder


async def test_a_new_rack_reaches_every_host(innkeeper: Deployment) -> None:
    hosts = [await innkeeper.add_simulated(name) for name in ("a", "b", "c")]
    await innkeeper.start_rack("second")

    async def reaches_all() -> bool:
        return await reached(innkeeper, "second") == ["a", "b", "c"]

    await eventually(reaches_all)
    await innkeeper.stop_rack("rack")
    for host in hosts:
        await innkeeper.compose(host["id"], cores=1, memory=1024)


@pytest.mark.scheduled_refreshes
async def test_hosts_added_before_any_rack_are_refreshed_when_one_joins(rackless: Deployment) -> None:
    host = await rackless.add_simulated()
    assert host["total"]["cores"] == 0
    await rackless.start_rack()

    async def is_known() -> bool:
        return bool((await rackless.get(f"vm-hosts/{host['id']}/"))["total"]["cores"] == 4)

    await eventually(is_known)


async def test_operations_of_a_removed_rack_use_another_rack(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await innkeeper.start_rack("second")
    operations = innkeeper.region.components.services.operations

    async def is_at_host() -> bool:
        return any(one.kind == "compose" and one.reached_host for one in await operations.list(caller=None))

    with innkeeper.held("create volume"):
        composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="web"))
        await eventually(is_at_host)
        await remove_rack(innkeeper)
    await composing
    assert innkeeper.simulated_guests() == ["web"]
    assert [rack.name for rack in await innkeeper.region.components.services.racks.list(caller=None)] == ["second"]
    assert await reached(innkeeper, "rack") == []


async def test_a_host_of_a_removed_rack_is_unreachable(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await remove_rack(innkeeper)
    with pytest.raises(InnkeeperError, match="No connected rack") as rejected:
        await innkeeper.compose(host["id"])
    assert rejected.value.details["status"] == 503


async def test_calls_go_through_a_rack_with_the_driver(rackless: Deployment) -> None:
    await start_rack_without_simulated_hosts(rackless, "a-limited")
    host = await rackless.add_simulated()
    assert host["total"]["cores"] == 0
    assert await reached(rackless, "a-limited", reaches=False) == ["sim"]
    with pytest.raises(InnkeeperError, match="simulated_hosts is not set"):
        await rackless.post(f"vm-hosts/{host['id']}/", op="refresh")
    await rackless.start_rack("b-complete")
    await rackless.post(f"vm-hosts/{host['id']}/", op="refresh")
    for number in range(3):
        await rackless.compose(host["id"], cores=1, memory=1024, hostname=f"web-{number}")
    assert await reached(rackless, "a-limited", reaches=False) == ["sim"]
    assert await reached(rackless, "b-complete") == ["sim"]
    operations = await rackless.region.components.services.operations.list(caller=None)
    assert {one.attempt for one in operations if one.kind == "compose"} == {1}


async def test_the_racks_of_a_host_tell_which_of_them_reach_it(rackless: Deployment) -> None:
    await start_rack_without_simulated_hosts(rackless, "a-limited")
    await rackless.start_rack("b-complete")
    host = await rackless.add_simulated()

    async def told() -> list[tuple[Any, ...]]:
        racks = await rackless.get(f"vm-hosts/{host['id']}/", op="racks")
        return [(one["name"], one["connected"], one["reaches"], one["code"]) for one in racks]

    async def both_tried() -> bool:
        return [one[2] for one in await told()] == [False, True]

    await advance(PROBE_EVERY_S)
    await eventually(both_tried)
    assert [one[:2] for one in await told()] == [("a-limited", True), ("b-complete", True)]
    await rackless.stop_rack("b-complete")

    async def is_disconnected() -> bool:
        return (await told())[1] == ("b-complete", False, True, None)

    await eventually(is_disconnected)
    await remove_rack(rackless, "a-limited")
    assert [one[0] for one in await told()] == ["b-complete"]


async def test_an_operation_that_waits_for_its_only_rack_names_it(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated()
    await start_rack_without_simulated_hosts(innkeeper, "limited")
    services = innkeeper.region.components.services
    await innkeeper.stop_rack("rack")
    request = ComposeRequest(host_id=host["id"], cores=1, memory_mib=1024)
    operation = await services.composer.start_compose(innkeeper.admin, request)

    async def waits() -> bool:
        return (await services.operations.read(operation.id, caller=None)).state is OperationState.WAITING

    await eventually(waits)
    why = (await services.operations.read(operation.id, caller=None)).error_message or ""
    assert "Disconnected racks that reached it: rack (last seen" in why
    assert "Rack limited: This rack cannot" in why
    await innkeeper.start_rack("rack")
    ended = await services.operations.wait(operation.id, timeout_s=240)
    assert ended.state is OperationState.SUCCEEDED


async def test_all_connected_racks_try_a_new_host(innkeeper: Deployment) -> None:
    await innkeeper.start_rack("second")
    await start_rack_without_simulated_hosts(innkeeper, "third")
    await innkeeper.add_simulated()

    async def all_tried() -> bool:
        reaching = [await reached(innkeeper, name) for name in ("rack", "second")]
        return reaching == [["sim"], ["sim"]] and await reached(innkeeper, "third", reaches=False) == ["sim"]

    await advance(PROBE_EVERY_S)
    await eventually(all_tried)


async def test_only_a_removed_host_is_no_longer_watched(innkeeper: Deployment) -> None:
    hosts = [await innkeeper.add_simulated(name) for name in ("a", "b")]
    await innkeeper.delete(f"vm-hosts/{hosts[0]['id']}/")
    late = await innkeeper.add_simulated("c")
    supervisor = innkeeper.region.components.link_supervisor
    await advance(WATCH_EVERY_S)
    await eventually(lambda: supervisor.watched == {hosts[1]["id"], late["id"]})


@pytest.mark.slow
async def test_many_reconnected_hosts_are_refreshed_concurrently(innkeeper: Deployment) -> None:
    """More hosts than the pool has connections: a refresh must not need a second connection."""
    hosts = await asyncio.gather(*(innkeeper.add_simulated(f"h{number}") for number in range(16)))
    await innkeeper.stop_rack("rack")
    service = innkeeper.region.components.services.hosts
    operations = [await service.start_refresh(innkeeper.admin, host["id"]) for host in hosts]

    async def are(state: str) -> bool:
        found = await service.long_list(caller=None)
        return {host.state.value for host in await found.read(found.keys)} == {state}

    assert len({operation.id for operation in operations}) == 16
    await innkeeper.after_refreshes(lambda: are("unreachable"))
    innkeeper.region.components.database.acquire_deadline_s = 600.0  # so that a deadlock on the pool fails the test
    await innkeeper.start_rack("rack")
    await innkeeper.after_refreshes(lambda: are("ready"))


async def test_an_rpc_client_composes_powers_resizes_and_deletes(innkeeper: Deployment) -> None:
    for name, cores in (("small", 4), ("large", 32), ("middle", 8)):
        await innkeeper.add_simulated(name, cores=cores, memory_mib=cores * 2048)
    folder = await client_folder(innkeeper)
    async with _connected(innkeeper, folder) as region:
        assert [(host.name, host.cores) for host in await region.hosts()] == [
            ("small", 4), ("large", 32), ("middle", 8),
        ]  # fmt: skip
        done = await region.wait((await region.compose(cores=2, memory_mib=2048, hostname="web")).id)
        assert innkeeper.simulated_guests("large") == ["web"]
        system_id = done.system_id or ""
        powered = await region.wait((await region.power(system_id, "on")).id)
        assert powered.result == {"power_state": "on"}
        (machine,) = await region.machines()
        assert (machine.hostname, machine.power_state, machine.status) == ("web", "on", "allocated")
        resized = await region.wait((await region.resize(system_id, cores=4, memory_mib=4096)).id)
        assert resized.result == {"cores": 4, "memory_mib": 2048, "is_pending": True}  # it runs
        with pytest.raises(OutOfCapacity, match="cores: 96 more asked, 28 of 32 claimable left"):
            await region.resize(system_id, cores=100)
        await region.wait((await region.delete(system_id)).id)
        assert await region.machines() == ()
    assert innkeeper.simulated_guests("large") == []


async def test_an_rpc_client_receives_errors(innkeeper: Deployment) -> None:
    await innkeeper.add_simulated(cores=1)
    async with _connected(innkeeper, await client_folder(innkeeper)) as region:
        with pytest.raises(NotFound, match="nowhere"):
            await region.compose(host="nowhere")
        with pytest.raises(OutOfCapacity, match=r"No host can take the machine\. sim: needs 2 cores, 1 free"):
            await region.compose(cores=2)
        with pytest.raises(NotFound):
            await region.delete("absent")
        with pytest.raises(NotFound):
            await region.wait(999)
        first = await region.compose(host="sim", idempotency_key="k")
        assert (await region.compose(host="sim", idempotency_key="k")).id == first.id
        await region.wait(first.id)


async def test_an_rpc_client_with_a_revoked_certificate_is_disconnected(rackless: Deployment) -> None:
    folder = await client_folder(rackless)
    async with _connected(rackless, folder) as region:
        assert await region.hosts() == ()
        await rackless.region.components.services.rpc_clients.revoke(rackless.admin, "program")
        with pytest.raises((NotAllowed, LinkLost)):
            await _request_repeatedly(region)
    with pytest.raises(NotAllowed, match="revoked"):
        async with _connected(rackless, folder):
            raise AssertionError("the region accepted it")


async def _request_repeatedly(region: innkeeper.rpc.Region) -> None:
    while True:
        await region.hosts()


def _connected(innkeeper_: Deployment, folder: Path) -> Any:
    return innkeeper.rpc.connect(f"127.0.0.1:{innkeeper_.region.rpc_port}", folder=folder)
