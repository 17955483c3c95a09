"""A libvirt host over SSH, from the API: Innkeeper's key is shown, the host's key is pinned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest
from tests.deployment.deployment import Deployment
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.needs import require
from tests.lab.servers.own_sshd import OwnSshd, why_no_own_sshd


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[OwnSshd]:
    require(why_no_own_sshd())
    daemon = OwnSshd(tmp_path)
    yield daemon
    daemon.stop()


async def unavailable(work: Awaitable[Any]) -> str:
    """Returns the message of the 503 that `work` raises."""
    with pytest.raises(InnkeeperError) as caught:
        await work
    assert caught.value.details["status"] == 503
    return caught.value.message


async def events(innkeeper: Deployment, kind: str) -> list[Any]:
    return [event for event in await innkeeper.region.components.services.events.list() if event.kind == kind]


async def add(innkeeper: Deployment, sshd: OwnSshd, lab_host: LabHost) -> str:
    """Adds a host that accepts Innkeeper's key; returns its path."""
    host = await innkeeper.post("vm-hosts/", type="virsh", power_address=sshd.address, name="far")
    path = f"vm-hosts/{host['id']}/"
    sshd.let_in((await innkeeper.get(path, op="parameters"))["ssh_public_key"])
    await innkeeper.post(path, op="refresh")
    ratios = {"cpu_over_commit_ratio": 10, "memory_over_commit_ratio": 10}
    await innkeeper.put(path, **{"default_storage_pool": lab_host.pool_id, **ratios})
    return path


def compose(innkeeper: Deployment, path: str, lab_host: LabHost, name: str) -> Awaitable[Any]:
    return innkeeper.post(path, op="compose", hostname=f"{lab_host.prefix}{name}", cores=1, memory=1024, storage="1")


async def test_a_host_without_the_key_names_the_key_to_add(sshd: OwnSshd, innkeeper: Deployment) -> None:
    fingerprint = sshd.start()
    host = await innkeeper.post("vm-hosts/", type="virsh", power_address=sshd.address, name="far")
    assert (host["total"]["cores"], host["capabilities"], host["version"]) == (0, [], "")
    path = f"vm-hosts/{host['id']}/"
    parameters = await innkeeper.get(path, op="parameters")
    key = parameters["ssh_public_key"]
    assert parameters["power_address"] == sshd.address
    assert "PRIVATE" not in str(parameters)
    message = await unavailable(innkeeper.post(path, op="refresh"))
    assert "authorized_keys" in message
    assert key.split()[1] in message
    assert [event.details["public_key"].split()[1] for event in await events(innkeeper, "host_not_trusted")] == [
        key.split()[1]
    ]
    assert "before its first successful refresh" in await compose_error(innkeeper, path)

    sshd.let_in(key)
    assert (await innkeeper.post(path, op="refresh"))["total"]["cores"] > 0
    assert (await innkeeper.get(path, op="parameters"))["host_key_fingerprint"] == fingerprint
    (pinned,) = await events(innkeeper, "host_pinned")
    assert pinned.details["fingerprint"] == fingerprint


async def compose_error(innkeeper: Deployment, path: str) -> str:
    with pytest.raises(InnkeeperError) as caught:
        await innkeeper.post(path, op="compose", cores=1, memory=1024)
    return f"{caught.value.message} {caught.value.details}"


async def test_a_machine_is_composed_and_deleted_over_ssh(
    sshd: OwnSshd, lab_host: LabHost, innkeeper: Deployment
) -> None:
    sshd.start()
    path = await add(innkeeper, sshd, lab_host)
    machine = f"machines/{(await compose(innkeeper, path, lab_host, 'over-ssh'))['system_id']}/"
    assert lab_host.marker(f"{lab_host.prefix}over-ssh") is not None
    assert (await innkeeper.post(machine, op="power_on"))["power_state"] == "on"
    assert lab_host.is_running(f"{lab_host.prefix}over-ssh")
    await innkeeper.delete(machine)
    assert lab_host.names() == lab_host.volumes() == set()


async def test_a_changed_host_key_is_rejected_until_accepted(
    sshd: OwnSshd, lab_host: LabHost, innkeeper: Deployment
) -> None:
    first = sshd.start()
    path = await add(innkeeper, sshd, lab_host)
    await innkeeper.region.components.schedule.stop()  # a refresh at the same time could record the event once more
    machine = f"machines/{(await compose(innkeeper, path, lab_host, 'stays'))['system_id']}/"
    sshd.stop()
    second = sshd.start("second")
    assert second != first
    works: tuple[Callable[[], Awaitable[Any]], ...] = (
        lambda: compose(innkeeper, path, lab_host, "never"),
        lambda: innkeeper.post(machine, op="power_on"),
        lambda: innkeeper.get(machine, op="query_power_state"),
        lambda: innkeeper.post(path, op="refresh"),
        lambda: innkeeper.delete(machine),
    )
    for work in works:
        message = await unavailable(work())
        assert first in message
        assert second in message
    (event,) = await events(innkeeper, "host_peer_changed")
    assert (event.details["trusted"], event.details["offered"]) == (first, second)
    assert lab_host.names() == {f"{lab_host.prefix}stays"}
    assert {found["hostname"] for found in await innkeeper.get("machines/")} == lab_host.names()

    with pytest.raises(InvalidRequest) as wrong:
        await innkeeper.post(path, op="trust", fingerprint=first)
    assert list(wrong.value.fields) == ["fingerprint"]
    await unavailable(innkeeper.post(path, op="refresh"))
    assert (await innkeeper.post(path, op="trust", fingerprint=second))["total"]["cores"] > 0
    assert (await innkeeper.get(path, op="parameters"))["host_key_fingerprint"] == second
    assert len(await events(innkeeper, "host_identity_accepted")) == 1
    await innkeeper.post(path, op="refresh")
    await innkeeper.delete(machine)
    assert lab_host.names() == lab_host.volumes() == set()
