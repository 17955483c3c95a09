"""Which rack reaches which host: newcomers, removed ones, ones that cannot; and a program with a client certificate."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import innkeeper.rpc
from common.errors import InnkeeperError, LinkLost, NotAllowed, NotFound, OutOfCapacity
from common.private_files import write_private
from common.systemd_notify import ServiceManager
from innkeeper.identity import AUTHORITY, CERTIFICATE, KEY
from rackd.identity import load
from rackd.joining import join
from rackd.service import RackService
from rackd.settings import RackSettings
from regiond.machines.model import ComposeRequest
from regiond.operations.model import OperationState
from tests.installation import Installation, installed
from tests.waiting import eventually

_REACH = """
    select h.name from rack_reach x join rack r on r.id = x.rack_id join vm_host h on h.id = x.host_id
     where r.name = $1 and x.reaches = $2 order by h.name
"""


async def reached(innkeeper: Installation, rack: str, *, reaches: bool = True) -> list[str]:
    """The hosts by name that the rack was seen to reach, or not to."""
    async with innkeeper.region.parts.database.connection() as db:
        return [row["name"] for row in await db.fetch(_REACH, rack, reaches)]


async def rack_id(innkeeper: Installation, name: str) -> str:
    (found,) = [rack for rack in await innkeeper.region.parts.services.racks.list() if rack.name == name]
    return str(found.id)


async def start_rack_without_simulated_hosts(innkeeper: Installation, name: str) -> None:
    settings = RackSettings(state=innkeeper.folder / name)
    token = await innkeeper.region.parts.services.racks.make_token(innkeeper.admin, lifetime_s=60)
    await join(token, settings.identity_folder, name)
    service = RackService(settings, load(settings.identity_folder), ServiceManager({}))
    innkeeper.racks[name] = asyncio.create_task(service.serve())
    await eventually(lambda: innkeeper.is_linked(name))


async def client_folder(innkeeper: Installation, name: str = "program") -> Path:
    certificate, key, authority = await innkeeper.region.parts.services.racks.issue_client(innkeeper.admin, name)
    folder = innkeeper.folder / name
    folder.mkdir()
    for file, text in ((CERTIFICATE, certificate), (KEY, key), (AUTHORITY, authority)):
        write_private(folder / file, text)
    return folder


def rpc_address(innkeeper: Installation) -> str:
    return f"127.0.0.1:{innkeeper.region.rpc_port}"


# Racks


async def test_a_rack_that_joins_later_reaches_every_host_by_itself(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack("first")
        hosts = [await innkeeper.add_simulated(name) for name in ("a", "b", "c")]
        await innkeeper.start_rack("second")

        async def reaches_all() -> bool:
            return await reached(innkeeper, "second") == ["a", "b", "c"]

        await eventually(reaches_all, deadline_s=30)
        await innkeeper.stop_rack("first")
        for host in hosts:
            await innkeeper.compose(host["id"], cores=1, memory=1024)


async def test_hosts_that_were_added_before_any_rack_are_looked_at_when_one_joins(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        host = await innkeeper.add_simulated()
        assert host["total"]["cores"] == 0
        await innkeeper.start_rack()

        async def is_known() -> bool:
            return bool((await innkeeper.get(f"vm-hosts/{host['id']}/"))["total"]["cores"] == 4)

        await eventually(is_known)


async def test_a_removed_rack_is_refused_and_its_work_goes_through_another(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack("first")
        host = await innkeeper.add_simulated()
        await innkeeper.start_rack("second")
        operations = innkeeper.region.parts.services.operations

        async def is_at_host() -> bool:
            return any(one.kind == "compose" and one.reached_host for one in await operations.list())

        with innkeeper.held("make volume"):
            composing = asyncio.create_task(innkeeper.compose(host["id"], hostname="web"))
            await eventually(is_at_host)
            await innkeeper.region.parts.services.racks.remove(innkeeper.admin, await rack_id(innkeeper, "first"))
            await eventually(lambda: not innkeeper.links("first"))
        await composing
        assert innkeeper.simulated_guests() == ["web"]
        assert [rack.name for rack in await innkeeper.region.parts.services.racks.list()] == ["second"]
        assert await reached(innkeeper, "first") == []


async def test_without_the_removed_rack_nobody_reaches_the_host(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await innkeeper.add_simulated()
        await innkeeper.region.parts.services.racks.remove(innkeeper.admin, await rack_id(innkeeper, "rack"))
        await eventually(lambda: not innkeeper.links("rack"))
        with pytest.raises(InnkeeperError, match="No connected rack") as refused:
            await innkeeper.compose(host["id"])
        assert refused.value.details["status"] == 503


async def test_what_one_rack_cannot_do_goes_through_the_one_that_can(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await start_rack_without_simulated_hosts(innkeeper, "a-lesser")
        host = await innkeeper.add_simulated()
        assert host["total"]["cores"] == 0
        assert await reached(innkeeper, "a-lesser", reaches=False) == ["sim"]
        with pytest.raises(InnkeeperError, match="simulated_hosts names no folder"):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        await innkeeper.start_rack("b-able")
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        for number in range(3):
            await innkeeper.compose(host["id"], cores=1, memory=1024, hostname=f"web-{number}")
        assert await reached(innkeeper, "a-lesser", reaches=False) == ["sim"]
        assert await reached(innkeeper, "b-able") == ["sim"]
        operations = await innkeeper.region.parts.services.operations.list()
        assert {one.attempt for one in operations if one.kind == "compose"} == {1}


async def test_work_waits_for_the_only_rack_that_reaches_the_host_and_says_so(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack("able")
        host = await innkeeper.add_simulated()
        await start_rack_without_simulated_hosts(innkeeper, "lesser")
        services = innkeeper.region.parts.services
        await innkeeper.stop_rack("able")
        request = ComposeRequest(host_id=host["id"], cores=1, memory_mib=1024)
        operation = await services.machines.start_compose(innkeeper.admin, request)

        async def waits() -> bool:
            return (await services.operations.read(operation.id)).state is OperationState.WAITING

        await eventually(waits)
        why = (await services.operations.read(operation.id)).error_message or ""
        assert "Not connected, but reached it: able (last seen" in why
        assert "Rack lesser: this rack cannot" in why
        await innkeeper.run_rack("able")
        ended = await services.operations.wait(operation.id, timeout_s=10)
        assert ended.state is OperationState.SUCCEEDED


async def test_racks_that_are_there_when_a_host_is_added_all_try_it(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack("first")
        await innkeeper.start_rack("second")
        await start_rack_without_simulated_hosts(innkeeper, "third")
        await innkeeper.add_simulated()

        async def all_tried() -> bool:
            reaching = [await reached(innkeeper, name) for name in ("first", "second")]
            return reaching == [["sim"], ["sim"]] and await reached(innkeeper, "third", reaches=False) == ["sim"]

        await eventually(all_tried)


async def test_a_host_that_is_removed_is_watched_no_more_and_others_still_are(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        hosts = [await innkeeper.add_simulated(name) for name in ("a", "b")]
        await innkeeper.delete(f"vm-hosts/{hosts[0]['id']}/")
        late = await innkeeper.add_simulated("c")
        watched = innkeeper.region.parts.attendance._watched
        await eventually(lambda: {hosts[1]["id"], late["id"]} == set(watched))


async def test_many_hosts_that_come_back_at_once_are_taken_in_at_once(tmp_path: Path, database_url: str) -> None:
    """More than the database has connections for: none of them may need a second one while it holds the first."""
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        hosts = await asyncio.gather(*(innkeeper.add_simulated(f"h{number}") for number in range(16)))
        await innkeeper.stop_rack("rack")
        service = innkeeper.region.parts.services.hosts
        begun = [await service.start_refresh(innkeeper.admin, host["id"]) for host in hosts]

        async def states() -> set[str]:
            return {host.state.value for host in await service.list()}

        async def are(state: str) -> bool:
            return await states() == {state}

        assert len({operation.id for operation in begun}) == 16
        await eventually(lambda: are("unreachable"))
        innkeeper.region.parts.database._acquire_deadline_s = 600.0  # who waits for another's connection waits for good
        await innkeeper.run_rack("rack")
        await eventually(lambda: are("ready"))


# Programs


async def test_a_program_lists_hosts_composes_where_there_is_most_room_powers_and_deletes(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
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
            assert (machine.hostname, machine.power_state, machine.status) == ("web", "on", "ready")
            await region.wait((await region.delete(system_id)).id)
            assert await region.machines() == ()
        assert innkeeper.simulated_guests("large") == []


async def test_a_program_hears_of_its_mistakes_as_errors(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await innkeeper.add_simulated(cores=1)
        async with _connected(innkeeper, await client_folder(innkeeper)) as region:
            with pytest.raises(NotFound, match="nowhere"):
                await region.compose(host="nowhere")
            with pytest.raises(OutOfCapacity, match=r"No host can take the machine\. sim: cores: 2 asked"):
                await region.compose(cores=2)
            with pytest.raises(NotFound):
                await region.delete("absent")
            with pytest.raises(NotFound):
                await region.wait(999)
            first = await region.compose(host="sim", idempotency_key="k")
            assert (await region.compose(host="sim", idempotency_key="k")).id == first.id
            await region.wait(first.id)


async def test_a_program_whose_certificate_was_revoked_is_dropped_and_refused(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        folder = await client_folder(innkeeper)
        async with _connected(innkeeper, folder) as region:
            assert await region.hosts() == ()
            await innkeeper.region.parts.services.racks.revoke_client(innkeeper.admin, "program")
            with pytest.raises((NotAllowed, LinkLost)):
                await _until_refused(region)
        with pytest.raises(NotAllowed, match="revoked"):
            async with _connected(innkeeper, folder):
                raise AssertionError("it came in")


async def _until_refused(region: innkeeper.rpc.Region) -> None:
    while True:
        await region.hosts()


def _connected(innkeeper_: Installation, folder: Path) -> Any:
    return innkeeper.rpc.connect(rpc_address(innkeeper_), folder=folder)
