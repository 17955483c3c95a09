"""Members that a cluster reports: only a server that presents the cluster's certificate becomes a host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from common.values import ClusterMember
from common.words.hidden_text import revealed
from regiond.hosts.maintenance.changes import begin_maintenance
from regiond.maas.imports.model import PARALLEL_RUN
from regiond.requests.caller import Caller
from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.rigs.byzantine_rack import recorded_messages
from tests.integration.support.rigs.lxd_hosts import add
from tests.integration.support.server_rows import server_rows, servers
from tests.integration.support.tables import rows
from tests.support.waiting import settle

LIMIT = 5
ADMIN = Caller(account_id=1, username="admin", is_admin=True)


@pytest.fixture
def innkeeper(lxds: FakeLxds, tmp_path: Path, database_url: str) -> Iterator[Deployment]:
    """A region that adds at most five members of a cluster."""
    from tests.deployment.in_process import deployed  # not before pytest has installed its reactor

    deployment = deployed(tmp_path, database_url, drivers=lxds.drivers, max_cluster_members=LIMIT)
    started = settle(deployment.__aenter__())
    settle(started.region.components.schedule.stop())  # hosts are refreshed on request only, as by `rackless`
    settle(started.start_rack())
    yield started
    settle(deployment.__aexit__(None, None, None))


def member(name: str, **fields: Any) -> ClusterMember:
    return ClusterMember(name=name, **{"address": f"{name}:8443", **fields})


def cluster_of(lxds: FakeLxds, *names: str, **more: Any) -> FakeLxd:
    """Adds servers that present one certificate and report each other. Returns the first."""
    first = FakeLxd(name=names[0])
    members = tuple(member(name) for name in names)
    for name in names:
        server = first if name == names[0] else FakeLxd(name=name)
        server.certificate_pem, server.trusted = first.certificate_pem, first.trusted
        server.secrets = first.secrets
        server.reports = {"cluster_member": name, "cluster_members": members, **more}
        lxds.add(server)
    return first


async def hosts(innkeeper: Deployment) -> list[str]:
    return [host["name"] for host in await innkeeper.get("vm-hosts/")]


async def problems(innkeeper: Deployment, host: Any) -> list[str]:
    found = await innkeeper.region.components.services.hosts.read(host["id"], caller=None)
    return [revealed(one.message) for one in found.problems]


async def test_members_with_the_certificate_of_the_cluster_become_hosts(innkeeper: Deployment, lxds: FakeLxds) -> None:
    first = cluster_of(lxds, "m1", "m2", "m3")
    host = await add(innkeeper, "m1", password=first.token())
    assert sorted(await hosts(innkeeper)) == ["m1", "m2", "m3"]
    assert await problems(innkeeper, host) == []
    for name in ("m2", "m3"):
        await innkeeper.post(f"vm-hosts/{name}/", op="refresh")
    assert await servers(innkeeper) == {name: f"lxd/lxd:{first.fingerprint}:{name}" for name in ("m1", "m2", "m3")}


async def test_a_cluster_does_not_take_another_host_as_its_member(innkeeper: Deployment, lxds: FakeLxds) -> None:
    victim_server = FakeLxd(name="victim")
    lxds.add(victim_server)
    victim = await add(innkeeper, "victim", name="victim", password=victim_server.token())
    await innkeeper.compose(victim["id"], hostname="web", cores=1, memory=1024)
    before = await server_rows(innkeeper, victim["id"])
    lies = (member("m1"), member("prey", address="victim:8443"), member("victim"))
    liar = cluster_of(lxds, "m1", cluster_members=lies)
    host = await add(innkeeper, "m1", password=liar.token())
    assert (host["state"], sorted(await hosts(innkeeper))) == ("ready", ["m1", "victim"])
    assert await server_rows(innkeeper, victim["id"]) == before
    text = f"presents the certificate {victim_server.fingerprint}, the cluster {liar.fingerprint}"
    found = await problems(innkeeper, host)
    assert [("'prey'" in one, "'victim'" in one, text in one) for one in found] == [
        (True, False, True),
        (False, True, True),
    ]
    for _ in range(2):
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    recorded = await recorded_messages(innkeeper, "cluster_member_rejected")
    assert [revealed(one) for one in recorded] == found
    assert victim_server.used == [victim_server.used[0]] * len(victim_server.used)


@pytest.mark.slow
@pytest.mark.parametrize(("holder", "inherits"), [(PARALLEL_RUN, True), (None, False)], ids=["maas", "person"])
async def test_maas_is_in_charge_of_a_new_member_as_of_the_others(
    innkeeper: Deployment, lxds: FakeLxds, holder: str | None, inherits: bool
) -> None:
    first = cluster_of(lxds, "m1", "m2")
    both, first.reports = first.reports, {"cluster_member": "m1", "cluster_members": (member("m1"),)}
    host = await add(innkeeper, "m1", password=first.token())
    assert await hosts(innkeeper) == ["m1"]
    async with innkeeper.region.components.database.transaction() as db:
        await begin_maintenance(db, ADMIN, [host["id"]], "MAAS is in charge", holder=holder)
    first.reports = both
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    found = await innkeeper.get("vm-hosts/m2/")
    assert (found["maintenance"] or {}).get("reason") == ("MAAS is in charge" if inherits else None)


@pytest.mark.slow
async def test_a_server_joins_its_cluster_at_its_own_refresh(innkeeper: Deployment, lxds: FakeLxds) -> None:
    """A host that was added before its server joined: its pinned certificate decides, nobody else's report."""
    joining = FakeLxd(name="m2")
    lxds.add(joining)
    existing = await add(innkeeper, "m2", name="alone", password=joining.token())
    before = await server_rows(innkeeper, existing["id"])
    first = cluster_of(lxds, "m1", "m2")
    await add(innkeeper, "m1", password=first.token())
    assert sorted(await hosts(innkeeper)) == ["alone", "m1"]
    assert await server_rows(innkeeper, existing["id"]) == before
    first.trusted |= joining.trusted
    accepted = await innkeeper.post(f"vm-hosts/{existing['id']}/", op="trust", fingerprint=first.fingerprint)
    assert (accepted["name"], accepted["state"]) == ("m2", "ready")
    assert (await servers(innkeeper))["m2"] == f"lxd/lxd:{first.fingerprint}:m2"
    assert len(await rows(innkeeper, "select id from server")) == 2


@pytest.mark.slow
async def test_a_server_that_founds_a_cluster_remains_the_same(innkeeper: Deployment, lxds: FakeLxds) -> None:
    server = FakeLxd(name="m1")
    lxds.add(server)
    host = await add(innkeeper, "m1", password=server.token())
    await innkeeper.compose(host["id"], hostname="web", cores=1, memory=1024)
    server.reports = {"cluster_member": "m1", "cluster_members": (member("m1"),)}
    refreshed = await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert (refreshed["state"], refreshed["used"]["cores"], refreshed["name"]) == ("ready", 1, "m1")
    assert await servers(innkeeper) == {"m1": f"lxd/lxd:{server.fingerprint}:m1"}


@pytest.mark.slow
async def test_members_beyond_the_limit_are_counted_not_added(innkeeper: Deployment, lxds: FakeLxds) -> None:
    names = [f"m{number}" for number in range(1, 9)]
    first = cluster_of(lxds, *names)
    host = await add(innkeeper, "m1", password=first.token())
    assert sorted(await hosts(innkeeper)) == names[:LIMIT]
    (problem,) = await problems(innkeeper, host)
    assert "for 3 cluster members: at most 5 members" in problem
    await innkeeper.post("vm-hosts/m2/", op="refresh")
    assert sorted(await hosts(innkeeper)) == names[:LIMIT]


@pytest.mark.slow
async def test_an_offline_or_malformed_member_does_not_stop_the_refresh(innkeeper: Deployment, lxds: FakeLxds) -> None:
    members = (member("m1"), member("m2", online=False), member("m3", address="a b"), member("x\0y"))
    first = cluster_of(lxds, "m1", "m2", cluster_members=members)
    host = await add(innkeeper, "m1", password=first.token())
    assert (host["state"], await hosts(innkeeper)) == ("ready", ["m1"])
    assert [text.split(": ", 1)[1][:30] for text in await problems(innkeeper, host)] == [
        "the cluster reports that it is", "its address 'a b' is malformed", "its name is not one of a serve",
    ]  # fmt: skip
    lxds.servers["m1"].reports["cluster_members"] = (member("m1"), member("m2"))
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert await hosts(innkeeper) == ["m1", "m2"]
    assert await problems(innkeeper, host) == []


async def test_what_a_driver_reports_as_fingerprint_is_ignored(innkeeper: Deployment, lxds: FakeLxds) -> None:
    honest, liar = FakeLxd(name="honest"), FakeLxd(name="liar")
    lxds.add(honest, liar)
    host = await add(innkeeper, "honest", name="honest", password=honest.token())
    before = await server_rows(innkeeper, host["id"])
    liar.reports = {"server_identity": f"lxd:{honest.fingerprint}", "cores": 999}
    await add(innkeeper, "liar", name="liar", password=liar.token())
    assert await servers(innkeeper) == {
        name: f"lxd/lxd:{server.fingerprint}" for name, server in (("honest", honest), ("liar", liar))
    }
    assert await server_rows(innkeeper, host["id"]) == before


async def test_a_fingerprint_of_another_certificate_is_not_pinned(innkeeper: Deployment, lxds: FakeLxds) -> None:
    honest, liar = FakeLxd(name="honest"), FakeLxd(name="liar")
    lxds.add(honest, liar)
    await add(innkeeper, "honest", name="honest", password=honest.token())
    lxds.claims["liar"] = honest.fingerprint
    await add(innkeeper, "liar", name="liar", password=liar.token())
    assert (await servers(innkeeper))["liar"] is None
    (message,) = await recorded_messages(innkeeper)
    assert f"the fingerprint of its TLS certificate is {liar.fingerprint}, not {honest.fingerprint}" in message


async def test_the_certificate_of_another_server_is_not_accepted(innkeeper: Deployment, lxds: FakeLxds) -> None:
    one, two = FakeLxd(name="one"), FakeLxd(name="two")
    lxds.add(one, two)
    first = await add(innkeeper, "one", name="one", password=one.token())
    second = await add(innkeeper, "two", name="two", password=two.token())
    before = await server_rows(innkeeper, first["id"])
    two.certificate_pem = one.certificate_pem
    with pytest.raises(InnkeeperError, match=rf"is that of the server of VM host one \(id {first['id']}\)"):
        await innkeeper.post(f"vm-hosts/{second['id']}/", op="trust", fingerprint=one.fingerprint)
    assert await server_rows(innkeeper, first["id"]) == before
