"""Bad input and faults on real LXD, from the API: clear errors, nothing lost, nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.errors import InnkeeperError, InvalidRequest
from tests.deployment.deployment import Deployment
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.deployed_host import add_lxd
from tests.lab.support.key_pair import make_key_pair
from tests.support.waiting import eventually

PREFIX = "ikbad-"
TWO_DISKS: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "1,1"}


@contextmanager
def nothing_lost(server: LxdServer) -> Iterator[None]:
    """Asserts that the block leaves the server's instances and volumes unchanged."""
    before = server.instances(""), server.volumes()
    yield
    assert (server.instances(""), server.volumes()) == before


async def added(innkeeper: Deployment, server: LxdServer, **fields: Any) -> int:
    return int((await add_lxd(innkeeper, server, **fields))["id"])


async def fingerprint(innkeeper: Deployment, host_id: int) -> str:
    shown: str = (await innkeeper.get(f"vm-hosts/{host_id}/", op="parameters"))["certificate_fingerprint"]
    return shown


async def test_a_mismatched_key_pair_is_rejected_before_any_write(server: LxdServer, innkeeper: Deployment) -> None:
    wrong: dict[str, Any] = {
        "certificate": make_key_pair("ikbad").certificate_pem,
        "key": make_key_pair("ikbad").key_pem,
    }
    with pytest.raises(InvalidRequest) as rejected:
        await innkeeper.post("vm-hosts/", type="lxd", power_address=server.address, **wrong)
    assert rejected.value.fields == {"key": ["The key does not belong to the certificate."]}
    assert await innkeeper.get("vm-hosts/") == []
    host_id = await added(innkeeper, server)
    used, trusted = await fingerprint(innkeeper, host_id), await asyncio.to_thread(server.trusted)
    with pytest.raises(InvalidRequest):
        await innkeeper.put(f"vm-hosts/{host_id}/", **wrong)
    assert await fingerprint(innkeeper, host_id) == used
    assert await asyncio.to_thread(server.trusted) == trusted
    await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")


async def test_a_deleted_project_is_named_and_nothing_created(server: LxdServer, innkeeper: Deployment) -> None:
    with server.project("ikbad") as project:
        host_id = await added(innkeeper, server, project=project)
    with nothing_lost(server):
        with pytest.raises(InnkeeperError, match=project):
            await innkeeper.compose(host_id, hostname=f"{PREFIX}lost", **TWO_DISKS)
        with pytest.raises(InnkeeperError, match=project):
            await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    assert await innkeeper.get("machines/") == []
    assert project not in {one["name"] for one in server.ask("/1.0/projects?recursion=1")}


async def test_a_taken_name_is_named_and_the_instance_unchanged(server: LxdServer, innkeeper: Deployment) -> None:
    host_id = await added(innkeeper, server)
    await asyncio.to_thread(server.make_many, PREFIX, "default", range(1))
    there = server.ask(f"/1.0/instances/{PREFIX}0")
    with nothing_lost(server), pytest.raises(InnkeeperError, match=f"{PREFIX}0"):
        await innkeeper.compose(host_id, hostname=f"{PREFIX}0", **TWO_DISKS)
    assert server.ask(f"/1.0/instances/{PREFIX}0") == there
    assert await innkeeper.get("machines/") == []


async def test_disks_created_before_a_failure_are_removed(server: LxdServer, innkeeper: Deployment) -> None:
    removed = f"{PREFIX}removed"
    await asyncio.to_thread(server.lxc, "storage", "create", removed, "dir")
    host_id = await added(innkeeper, server)
    await asyncio.to_thread(server.lxc, "storage", "delete", removed)
    storage = f"root:1(default),more:1(default),last:1({removed})"
    with nothing_lost(server), pytest.raises(InnkeeperError, match=removed):
        await innkeeper.compose(host_id, hostname=f"{PREFIX}a", memory=1024, storage=storage)
    assert await innkeeper.get("machines/") == []


async def test_a_slow_server_delays_no_other_host(server: LxdServer, innkeeper: Deployment) -> None:
    host_id = await added(innkeeper, server)
    other = await innkeeper.add_simulated()
    volumes = server.volumes()
    with capture_logs() as logs:
        slow = asyncio.create_task(innkeeper.compose(host_id, hostname=f"{PREFIX}slow", **TWO_DISKS))
        await eventually(lambda: "host_call_started" in [entry["event"] for entry in logs], every_s=0.001)
    with server.hanging():
        async with asyncio.timeout(60):
            await innkeeper.compose(other["id"], hostname="quick", cores=1, memory=1024, storage="1")
        assert not slow.done()
    composed = await slow
    assert server.instances(PREFIX) == {("default", f"{PREFIX}slow")}
    assert len(server.volumes() - volumes) == 1
    await innkeeper.delete(f"machines/{composed['system_id']}/")
    assert (server.instances(PREFIX), server.volumes()) == (set(), volumes)


async def test_a_server_without_vms_is_rejected_unchanged(
    tmp_path: Path, server: LxdServer, innkeeper: Deployment
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    host_id = await added(innkeeper, server)
    composed = await innkeeper.compose(host_id, hostname=f"{PREFIX}stays", **TWO_DISKS)
    with nothing_lost(server):
        with server.without_machines(broken):
            for request in (
                partial(innkeeper.post, f"vm-hosts/{host_id}/", op="refresh"),
                partial(innkeeper.compose, host_id, hostname=f"{PREFIX}new", **TWO_DISKS),
            ):
                with pytest.raises(InnkeeperError, match="cannot run virtual machines"):
                    await request()
            assert (await innkeeper.get(f"machines/{composed['system_id']}/"))["status_name"] == "Ready"
            with server.project("ikbad") as project:
                second = await added(innkeeper, server, project=project)
                known = await innkeeper.region.components.services.hosts.read(second, caller=None)
                assert known.error_code == "unsupported"
                assert known.total is None
                await innkeeper.delete(f"vm-hosts/{second}/")
        await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    assert [one["hostname"] for one in await innkeeper.get("machines/")] == [f"{PREFIX}stays"]


@contextmanager
def replaced(server: LxdServer, other: LxdServer) -> Iterator[None]:
    """Kills the first server and moves the other one to its address until the block ends."""
    server.kill()
    other.lxc("config", "set", "core.https_address", server.address)
    try:
        yield
    finally:
        other.lxc("config", "set", "core.https_address", other.address)
        server.start()


async def test_a_replaced_server_receives_nothing(servers: tuple[LxdServer, LxdServer], innkeeper: Deployment) -> None:
    server, other = servers
    host_id = await added(innkeeper, server)
    composed = await innkeeper.compose(host_id, hostname="iktrust-stays", **TWO_DISKS)
    path, machine = f"vm-hosts/{host_id}/", f"machines/{composed['system_id']}/"
    requests: tuple[Callable[[], Awaitable[Any]], ...] = (
        lambda: innkeeper.post(path, op="refresh"),
        lambda: innkeeper.compose(host_id, hostname="iktrust-new", **TWO_DISKS),
        lambda: innkeeper.post(machine, op="power_on"),
        lambda: innkeeper.delete(machine),
    )
    was, now = (one.ask("/1.0")["environment"]["certificate_fingerprint"] for one in servers)
    with nothing_lost(server), nothing_lost(other), replaced(server, other):
        for request in requests:
            with pytest.raises(InnkeeperError, match=f"{now}.*{was}"):
                await request()
        assert (await innkeeper.get(machine))["status_name"] == "Ready"
        assert other.trusted() == set()
    await innkeeper.post(path, op="refresh")
    assert [one["hostname"] for one in await innkeeper.get("machines/")] == ["iktrust-stays"]
    assert (await innkeeper.post(machine, op="power_on"))["power_state"] == "on"


async def test_incomplete_guests_are_removed_when_the_server_returns(
    servers: tuple[LxdServer, LxdServer], innkeeper: Deployment
) -> None:
    server, other = servers
    host_id = await added(innkeeper, server)
    with nothing_lost(server), nothing_lost(other):
        with capture_logs() as logs:
            operation = await innkeeper.post(
                f"vm-hosts/{host_id}/", op="compose", headers={"Prefer": "respond-async"},
                hostname="iktrust-half", **TWO_DISKS,
            )  # fmt: skip
            await eventually(lambda: "host_call_started" in [entry["event"] for entry in logs], every_s=0.001)
        ends = partial(state_of, innkeeper, operation["id"])
        with replaced(server, other):
            await eventually(partial(ends, "undoing"))
            assert other.trusted() == set()
        await eventually(partial(ends, "failed"))
    assert await innkeeper.get("machines/") == []
    assert (await innkeeper.get(f"operations/{operation['id']}/"))["error"]["code"] == "peer_changed"


async def state_of(innkeeper: Deployment, operation_id: int, wanted: str) -> bool:
    return bool((await innkeeper.get(f"operations/{operation_id}/"))["state"] == wanted)
