"""Bad input and faults on real LXD, from the API down: a clear error each time, and nothing lost or left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest
from tests.installation import Installation, installed
from tests.lab.key_pair import make_key_pair
from tests.lab.lxd_server import LxdServer
from tests.waiting import eventually

PREFIX = "ikbad-"
TWO_DISKS: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "1,1"}


@pytest.fixture
def server(lxd: LxdServer) -> Iterator[LxdServer]:
    before = lxd.trusted()
    yield lxd
    lxd.sweep(PREFIX)
    for found in lxd.trusted() - before:
        lxd.ask(f"/1.0/certificates/{found}", method="DELETE")


@contextmanager
def nothing_lost(server: LxdServer) -> Iterator[None]:
    """As many instances and volumes afterwards as before, and the same."""
    before = server.instances(""), server.volumes()
    yield
    assert (server.instances(""), server.volumes()) == before


async def added(innkeeper: Installation, server: LxdServer, **fields: Any) -> int:
    token = await asyncio.to_thread(server.token, "innkeeper")
    made = await innkeeper.post("vm-hosts/", type="lxd", power_address=server.address, password=token, **fields)
    return int(made["id"])


async def fingerprint(innkeeper: Installation, host_id: int) -> str:
    shown: str = (await innkeeper.get(f"vm-hosts/{host_id}/", op="parameters"))["certificate_fingerprint"]
    return shown


async def test_a_certificate_that_does_not_fit_the_key_is_refused_before_anything_is_written(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    wrong: dict[str, Any] = {
        "certificate": make_key_pair("ikbad").certificate_pem,
        "key": make_key_pair("ikbad").key_pem,
    }
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        with pytest.raises(InvalidRequest) as refused:
            await innkeeper.post("vm-hosts/", type="lxd", power_address=server.address, **wrong)
        assert refused.value.fields == {"key": ["The key does not fit the certificate."]}
        assert await innkeeper.get("vm-hosts/") == []
        host_id = await added(innkeeper, server)
        used, trusted = await fingerprint(innkeeper, host_id), await asyncio.to_thread(server.trusted)
        with pytest.raises(InvalidRequest):
            await innkeeper.put(f"vm-hosts/{host_id}/", **wrong)
        assert await fingerprint(innkeeper, host_id) == used
        assert await asyncio.to_thread(server.trusted) == trusted
        await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")


async def test_a_project_that_is_not_there_any_more_is_named_and_nothing_is_made_elsewhere(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        with server.project("ikbad") as project:
            host_id = await added(innkeeper, server, project=project)
        with nothing_lost(server):
            with pytest.raises(InnkeeperError, match=project):
                await innkeeper.compose(host_id, hostname=f"{PREFIX}lost", **TWO_DISKS)
            with pytest.raises(InnkeeperError, match=project):
                await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
        assert await innkeeper.get("machines/") == []
        assert project not in {one["name"] for one in server.ask("/1.0/projects?recursion=1")}


async def test_a_name_that_a_foreign_instance_took_is_told_and_that_instance_stays_as_it_is(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host_id = await added(innkeeper, server)
        await asyncio.to_thread(server.make_many, PREFIX, "default", range(1))
        there = server.ask(f"/1.0/instances/{PREFIX}0")
        with nothing_lost(server), pytest.raises(InnkeeperError, match=f"{PREFIX}0"):
            await innkeeper.compose(host_id, hostname=f"{PREFIX}0", **TWO_DISKS)
        assert server.ask(f"/1.0/instances/{PREFIX}0") == there
        assert await innkeeper.get("machines/") == []


async def test_disks_that_were_made_before_their_pool_was_missed_are_removed_again(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    gone = f"{PREFIX}gone"
    await asyncio.to_thread(server.lxc, "storage", "create", gone, "dir")
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host_id = await added(innkeeper, server)
        await asyncio.to_thread(server.lxc, "storage", "delete", gone)
        storage = f"root:1(default),more:1(default),last:1({gone})"
        with nothing_lost(server), pytest.raises(InnkeeperError, match=gone):
            await innkeeper.compose(host_id, hostname=f"{PREFIX}a", memory=1024, storage=storage)
        assert await innkeeper.get("machines/") == []


async def test_a_server_that_answers_slowly_delays_nobody_else_and_makes_one_machine(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host_id = await added(innkeeper, server)
        other = await innkeeper.add_simulated()
        volumes = server.volumes()
        slow = asyncio.create_task(innkeeper.compose(host_id, hostname=f"{PREFIX}slow", **TWO_DISKS))
        await eventually(partial(is_at_work, innkeeper))
        with server.hanging():
            async with asyncio.timeout(10):
                await innkeeper.compose(other["id"], hostname="quick", cores=1, memory=1024, storage="1")
            assert not slow.done()
        made = await slow
        assert server.instances(PREFIX) == {("default", f"{PREFIX}slow")}
        assert len(server.volumes() - volumes) == 1
        await innkeeper.delete(f"machines/{made['system_id']}/")
        assert (server.instances(PREFIX), server.volumes()) == (set(), volumes)


async def is_at_work(innkeeper: Installation) -> bool:
    newest = (await innkeeper.get("operations/"))[0]
    return bool(newest["state"] == "running" and newest["step"] == "compose_on_host")


async def test_a_server_without_virtual_machines_is_told_so_and_keeps_what_it_has(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host_id = await added(innkeeper, server)
        made = await innkeeper.compose(host_id, hostname=f"{PREFIX}kept", **TWO_DISKS)
        with nothing_lost(server):
            with server.without_machines(broken):
                for ask in (
                    partial(innkeeper.post, f"vm-hosts/{host_id}/", op="refresh"),
                    partial(innkeeper.compose, host_id, hostname=f"{PREFIX}new", **TWO_DISKS),
                ):
                    with pytest.raises(InnkeeperError, match="cannot run virtual machines"):
                        await ask()
                assert (await innkeeper.get(f"machines/{made['system_id']}/"))["status_name"] == "Ready"
                with server.project("ikbad") as project:
                    second = await added(innkeeper, server, project=project)
                    known = await innkeeper.region.parts.services.hosts.read(second)
                    assert known.error_code == "unsupported"
                    assert known.total is None
                    await innkeeper.delete(f"vm-hosts/{second}/")
            await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
        assert [one["hostname"] for one in await innkeeper.get("machines/")] == [f"{PREFIX}kept"]


@contextmanager
def replaced(server: LxdServer, other: LxdServer) -> Iterator[None]:
    """The first server is gone, and the other one answers at its address; afterwards all is as before."""
    server.kill()
    other.lxc("config", "set", "core.https_address", server.address)
    try:
        yield
    finally:
        other.lxc("config", "set", "core.https_address", other.address)
        server.start()


async def test_another_server_at_the_same_address_gets_nothing_and_no_machine_is_lost(
    tmp_path: Path, database_url: str, servers: tuple[LxdServer, LxdServer]
) -> None:
    server, other = servers
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host_id = await added(innkeeper, server)
        made = await innkeeper.compose(host_id, hostname="iktrust-stays", **TWO_DISKS)
        path, machine = f"vm-hosts/{host_id}/", f"machines/{made['system_id']}/"
        asks: tuple[Callable[[], Awaitable[Any]], ...] = (
            lambda: innkeeper.post(path, op="refresh"),
            lambda: innkeeper.compose(host_id, hostname="iktrust-new", **TWO_DISKS),
            lambda: innkeeper.post(machine, op="power_on"),
            lambda: innkeeper.delete(machine),
        )
        was, now = (one.ask("/1.0")["environment"]["certificate_fingerprint"] for one in servers)
        with nothing_lost(server), nothing_lost(other), replaced(server, other):
            for ask in asks:
                with pytest.raises(InnkeeperError, match=f"{now}.*{was}"):
                    await ask()
            assert (await innkeeper.get(machine))["status_name"] == "Ready"
            assert other.trusted() == set()
        await innkeeper.post(path, op="refresh")
        assert [one["hostname"] for one in await innkeeper.get("machines/")] == ["iktrust-stays"]
        assert (await innkeeper.post(machine, op="power_on"))["power_state"] == "on"


async def test_what_a_replaced_server_holds_half_made_is_removed_once_it_is_back(
    tmp_path: Path, database_url: str, servers: tuple[LxdServer, LxdServer]
) -> None:
    server, other = servers
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host_id = await added(innkeeper, server)
        with nothing_lost(server), nothing_lost(other):
            operation = await innkeeper.post(
                f"vm-hosts/{host_id}/", op="compose", headers={"Prefer": "respond-async"},
                hostname="iktrust-half", **TWO_DISKS,
            )  # fmt: skip
            ends = partial(state_of, innkeeper, operation["id"])
            await eventually(partial(is_at_work, innkeeper), every_s=0.001)
            with replaced(server, other):
                await eventually(partial(ends, "undoing"))
                assert other.trusted() == set()
            await eventually(partial(ends, "failed"), deadline_s=60)
        assert await innkeeper.get("machines/") == []
        assert (await innkeeper.get(f"operations/{operation['id']}/"))["error"]["code"] == "peer_changed"


async def state_of(innkeeper: Installation, operation_id: int, wanted: str) -> bool:
    return bool((await innkeeper.get(f"operations/{operation_id}/"))["state"] == wanted)
