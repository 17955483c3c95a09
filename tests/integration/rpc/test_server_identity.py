"""Which server a libvirt host is: a host that lies about it changes nothing of another server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest, NotAllowed
from common.rpc.commands.host_commands import HOST_DISCOVER, HostCall
from common.rpc.link import Link
from rackd.commands import parts_of
from rackd.drivers.simulated.driver import SimulatedDriverFactory
from tests.deployment.deployment import Deployment
from tests.doubles.libvirt_double import FakeKvms
from tests.integration.support.rigs.byzantine_rack import byzantine_rack, recorded_messages
from tests.integration.support.rigs.lxd_hosts import state
from tests.integration.support.server_rows import server_rows, servers
from tests.integration.support.tables import rows
from tests.integration.support.users import as_user
from tests.support.waiting import settle

UUID = str(uuid4())
IDENTITY = f"virsh/libvirt:system:{UUID}"


@pytest.fixture
def kvms(tmp_path: Path) -> FakeKvms:
    """The libvirt hosts that the rack reaches; a test adds them."""
    return FakeKvms(tmp_path / "simulated")


@pytest.fixture
def innkeeper(kvms: FakeKvms, tmp_path: Path, database_url: str) -> Iterator[Deployment]:
    from tests.deployment.in_process import deployed  # not before pytest has installed its reactor

    deployment = deployed(tmp_path, database_url, drivers=kvms.drivers)
    started = settle(deployment.__aenter__())
    settle(started.region.components.schedule.stop())  # hosts are refreshed on request only, as by `rackless`
    settle(started.start_rack())
    yield started
    settle(deployment.__aexit__(None, None, None))


async def add(innkeeper: Deployment, name: str, address: str | None = None) -> Any:
    made = await innkeeper.post(
        "vm-hosts/", type="virsh", name=name, power_address=address or f"qemu+ssh://root@{name}/system"
    )
    return await innkeeper.get(f"vm-hosts/{made['id']}/")


async def refusal(innkeeper: Deployment, host: Any) -> tuple[str | None, str]:
    """Refreshes the host. Returns the code and the message of its error."""
    with pytest.raises(InnkeeperError) as refused:
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    _, code, message = await state(innkeeper, host)
    assert message in refused.value.message
    return code, message


async def confirm(innkeeper: Deployment, subject: Any, **which: Any) -> Any:
    return await innkeeper.post(f"vm-hosts/{subject['id']}/", op="confirm_server", **which)


async def honest(innkeeper: Deployment, kvms: FakeKvms) -> tuple[Any, list[Any]]:
    """Adds the host `honest` with a machine and a foreign VM. Returns it and the rows of its server."""
    kvms.add("honest", UUID, guests=1)
    host = await add(innkeeper, "honest")
    await innkeeper.compose(host["id"], hostname="web", cores=1, memory=1024)
    return host, await server_rows(innkeeper, host["id"])


@pytest.mark.parametrize("address", ["qemu+ssh://root@liar/system", "qemu+tls://liar/system", "qemu:///system"])
async def test_a_host_with_the_uuid_of_another_joins_nothing(
    innkeeper: Deployment, kvms: FakeKvms, address: str
) -> None:
    host, before = await honest(innkeeper, kvms)
    kvms.hosts["local"] = kvms.add("liar", UUID)
    kvms.hosts["liar"].reports["cores"] = 999
    liar = await add(innkeeper, "liar", address)
    assert (liar["state"], liar["total"]["cores"]) == ("pending", 0)
    assert await server_rows(innkeeper, host["id"]) == before
    assert (await servers(innkeeper))["liar"] is None
    code, message = await refusal(innkeeper, liar)
    assert code == "server_unconfirmed"
    assert f"of VM host honest (id {host['id']})" in message
    assert f"innkeeper vm-host confirm-server {liar['id']} host={host['id']} " in message
    assert len(await recorded_messages(innkeeper, "host_server_unconfirmed")) == 1
    assert await server_rows(innkeeper, host["id"]) == before


async def test_a_second_address_with_the_same_host_key_is_the_same_server(
    innkeeper: Deployment, kvms: FakeKvms
) -> None:
    host, _ = await honest(innkeeper, kvms)
    kvms.hosts["alias"] = kvms.hosts["honest"]
    assert (await add(innkeeper, "alias"))["state"] == "ready"
    assert await servers(innkeeper) == {"honest": IDENTITY, "alias": IDENTITY}
    assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["used"]["cores"] == 2


async def test_a_confirmed_address_is_the_same_server(innkeeper: Deployment, kvms: FakeKvms) -> None:
    await honest(innkeeper, kvms)
    kvms.hosts["local"] = kvms.hosts["honest"]
    local = await add(innkeeper, "local", "qemu:///system")
    user = await as_user(innkeeper, "alice")
    with pytest.raises(NotAllowed):
        await user.post(f"vm-hosts/{local['id']}/", op="confirm_server", identity=IDENTITY)
    for which in ({}, {"host": "honest", "identity": "x"}, {"host": "absent"}, {"host": "local"}):
        with pytest.raises(InvalidRequest) as invalid:
            await confirm(innkeeper, local, **which)
        assert list(invalid.value.fields) == ["host"]
    assert (await confirm(innkeeper, local, identity="virsh/another"))["state"] == "pending"
    confirmed = await confirm(innkeeper, local, host="honest")
    assert (confirmed["state"], confirmed["error"]) == ("ready", None)
    assert await servers(innkeeper) == {"honest": IDENTITY, "local": IDENTITY}
    events = await innkeeper.region.components.services.events.list()
    assert [one.username for one in events if one.kind == "host_server_confirmed"] == ["admin", "admin"]


@pytest.mark.parametrize("has_machine", [True, False])
async def test_an_existing_host_cannot_change_its_report(
    innkeeper: Deployment, kvms: FakeKvms, has_machine: bool
) -> None:
    host, before = await honest(innkeeper, kvms)
    own = str(uuid4())
    liar_host = kvms.add("liar", own)
    liar = await add(innkeeper, "liar")
    if has_machine:
        await innkeeper.compose(liar["id"], hostname="own", cores=1, memory=1024)
    liar_host.reports |= {"server_identity": f"libvirt:system:{UUID}", "cores": 999}
    code, message = await refusal(innkeeper, liar)
    assert code == "peer_changed"
    assert f"it was virsh/libvirt:system:{own} until now" in message
    shown = await innkeeper.get(f"vm-hosts/{liar['id']}/")
    assert (shown["state"], shown["total"]["cores"]) == ("unreachable", 4)
    assert await server_rows(innkeeper, host["id"]) == before
    assert (await servers(innkeeper))["liar"] == f"virsh/libvirt:system:{own}"
    assert len(await recorded_messages(innkeeper, "host_peer_changed")) == 1


async def test_a_new_uuid_of_the_same_server_is_confirmed(innkeeper: Deployment, kvms: FakeKvms) -> None:
    host, _ = await honest(innkeeper, kvms)
    now = str(uuid4())
    kvms.hosts["honest"].reports["server_identity"] = f"libvirt:system:{now}"
    assert (await refusal(innkeeper, host))[0] == "peer_changed"
    confirmed = await confirm(innkeeper, host, identity=f"virsh/libvirt:system:{now}")
    assert (confirmed["state"], confirmed["used"]["cores"]) == ("ready", 2)
    assert await servers(innkeeper) == {"honest": f"virsh/libvirt:system:{now}"}
    assert [one["status_name"] for one in await innkeeper.get("machines/")] == ["Ready"]


async def test_a_host_with_machines_is_not_confirmed_as_another(innkeeper: Deployment, kvms: FakeKvms) -> None:
    host, before = await honest(innkeeper, kvms)
    other = kvms.add("other", str(uuid4()))
    added = await add(innkeeper, "other")
    await innkeeper.compose(added["id"], cores=1, memory=1024)
    other.reports["server_identity"] = f"libvirt:system:{UUID}"
    assert (await confirm(innkeeper, added, host="honest"))["state"] == "unreachable"
    assert await server_rows(innkeeper, host["id"]) == before


async def test_common_uuids_never_merge_two_servers(innkeeper: Deployment, kvms: FakeKvms) -> None:
    uuid = "03000200-0400-0500-0006-000700080009"
    key = kvms.add("one", uuid).key
    kvms.add("two", uuid)
    kvms.add("clone", uuid, key=key)
    added = [await add(innkeeper, name) for name in ("one", "two", "clone")]
    assert [host["state"] for host in added] == ["ready"] * 3
    assert len(set((await servers(innkeeper)).values())) == 3
    for host in added:
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert len(await rows(innkeeper, "select id from server")) == 3
    assert (await confirm(innkeeper, added[1], host="one"))["state"] == "ready"
    assert len(await rows(innkeeper, "select id from server")) == 2


async def test_of_two_new_hosts_with_one_uuid_one_joins(innkeeper: Deployment, kvms: FakeKvms) -> None:
    names = ["a", "b", "c"]
    for name in names:
        kvms.add(name, UUID)
    added = await asyncio.gather(*(add(innkeeper, name) for name in names))
    assert sorted(host["state"] for host in added) == ["pending", "pending", "ready"]
    assert len(await rows(innkeeper, "select id from server")) == 1


async def test_a_host_without_machines_moves_to_another_server(innkeeper: Deployment, kvms: FakeKvms) -> None:
    kvms.add("one", UUID)
    kvms.add("two", str(uuid4()))
    host = await add(innkeeper, "one")
    moved = await innkeeper.put(f"vm-hosts/{host['id']}/", power_address="qemu+ssh://root@two/system")
    assert (moved["state"], moved["error"]) == ("ready", None)
    assert (await servers(innkeeper))["one"] != IDENTITY
    assert len(await rows(innkeeper, "select id from server")) == 1


async def test_a_moved_host_joins_no_server_unproven(innkeeper: Deployment, kvms: FakeKvms) -> None:
    honest_host, before = await honest(innkeeper, kvms)
    kvms.add("one", str(uuid4()))
    kvms.add("two", UUID)
    host = await add(innkeeper, "one")
    moved = await innkeeper.put(f"vm-hosts/{host['id']}/", power_address="qemu+ssh://root@two/system")
    assert moved["state"] == "unreachable"
    assert await server_rows(innkeeper, honest_host["id"]) == before


async def test_a_report_that_names_no_server_is_refused(innkeeper: Deployment, kvms: FakeKvms) -> None:
    kvms.add("liar", "x" * 5000)
    assert (await add(innkeeper, "liar"))["state"] == "pending"
    assert await rows(innkeeper, "select id from server") == []


async def test_a_simulated_host_with_another_name_is_refused(rackless: Deployment) -> None:
    async def discover(_: Link, call: HostCall) -> Any:
        found = SimulatedDriverFactory(rackless.folder / "simulated").open(call.access).discover()
        lie = evolve(found.facts, server_identity="simulated/honest", cores=999)
        for part in parts_of(evolve(found, facts=lie)):
            yield part

    async with byzantine_rack(rackless):
        host = await rackless.add_simulated("honest", guests=1)
        liar = await rackless.add_simulated("liar")
    before = await server_rows(rackless, host["id"])
    async with byzantine_rack(rackless, {HOST_DISCOVER: discover}):
        assert (await refusal(rackless, liar))[0] == "peer_changed"
    assert await server_rows(rackless, host["id"]) == before
