"""Key pairs of LXD hosts: one per server, generated or imported; creation of projects."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from attrs import asdict

from common.errors import InvalidRequest
from regiond.hosts.model import MASK, HostState
from regiond.hosts.views import view_store
from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.rigs.lxd_hosts import add, fetched, is_ready, parameters, state
from tests.integration.support.tables import rows
from tests.support.waiting import eventually
from tests.unit.regiond.credentials.test_key_pairs import small_pair


async def test_hosts_of_a_server_share_its_key_pair(innkeeper: Deployment, lxds: FakeLxds, server: FakeLxd) -> None:
    lxds.aliases["lxd1-too"] = "lxd1"
    hosts = [
        await add(innkeeper, password=server.token()),
        await add(innkeeper, "https://LXD1:8443/", project="web"),
        await add(innkeeper, "lxd1-too", name="third"),
    ]
    for host in hosts[1:]:
        await innkeeper.after_refreshes(partial(is_ready, innkeeper, host))
    assert len(server.trusted) == 1
    assert len(await rows(innkeeper, "select id from key_pair")) == 1
    assert len({(await parameters(innkeeper, host))["certificate"] for host in hosts}) == 1
    assert server.projects["web"] == "Project managed by Innkeeper"
    assert len(await rows(innkeeper, "select id from server")) == 1
    names = [one["name"] for one in await innkeeper.get(f"vm-hosts/{hosts[0]['id']}/", op="projects")]
    assert names == ["default", "web"]
    assert "BEGIN CERTIFICATE" in await fetched(innkeeper, f"{innkeeper.region.api_url}vmhost-certificate/hv")
    for host in hosts:
        await innkeeper.delete(f"vm-hosts/{host['id']}/")
    assert await rows(innkeeper, "select id from key_pair") == []


@pytest.mark.slow
async def test_supervised_hosts_agree_with_the_full_list(innkeeper: Deployment, server: FakeLxd) -> None:
    await eventually(partial(is_ready, innkeeper, await add(innkeeper, password=server.token())))
    await innkeeper.add_simulated("plain")
    async with innkeeper.region.components.database.connection() as db:
        short = await view_store.supervised_hosts(db)
        long = await view_store.list_hosts(db, [one.id for one in short])
    assert [asdict(one) for one in short] == [
        {
            "is_ready": one.state is HostState.READY, "is_removing": one.state is HostState.REMOVING,
            "zone_id": one.zone.id,
            **{name: getattr(one, name) for name in asdict(short[0]) if not name.startswith(("is_", "zone_"))},
        }
        for one in long
    ]  # fmt: skip
    assert [one.certificate_fingerprint is None for one in short] == [False, True]


async def test_concurrently_added_hosts_of_a_server_share_one_pair(innkeeper: Deployment, server: FakeLxd) -> None:
    await asyncio.gather(*(add(innkeeper, project=f"p{number}") for number in range(4)))
    assert len(await rows(innkeeper, "select id from key_pair")) == 1


@pytest.mark.slow
async def test_the_certificate_page_finds_a_host_by_any_name(innkeeper: Deployment, server: FakeLxd) -> None:
    await add(innkeeper, name="a/b %")
    (shown,) = await innkeeper.get("vm-hosts/")
    assert "BEGIN CERTIFICATE" in await fetched(innkeeper, (await parameters(innkeeper, shown))["certificate_url"])
    base = f"{innkeeper.region.api_url}vmhost-certificate/"
    assert "There is no VM host named absent" in await fetched(innkeeper, base + "absent")


@pytest.mark.slow
async def test_an_imported_pair_is_used_by_all_hosts_of_the_server(innkeeper: Deployment, server: FakeLxd) -> None:
    imported, newer = small_pair(), small_pair()
    one = await add(innkeeper)
    generated = await parameters(innkeeper, one)
    assert generated["key"] == MASK
    same = {name: generated[name] for name in ("certificate", "key", "project", "power_address")}
    await innkeeper.put(f"vm-hosts/{one['id']}/", **same)
    assert (await parameters(innkeeper, one))["certificate"] == generated["certificate"], (
        "sending unchanged values changes nothing"
    )
    server.trust(imported.certificate_pem)
    two = await add(innkeeper, project="web", certificate=imported.certificate_pem, key=imported.key_pem)
    assert two["total"]["cores"] == 8
    for host in (one, two):
        shown = await parameters(innkeeper, host)
        assert (shown["certificate"], shown["key"]) == (imported.certificate_pem, MASK)
    server.trust(newer.certificate_pem)
    await innkeeper.put(f"vm-hosts/{one['id']}/", certificate=newer.certificate_pem, key=newer.key_pem)
    assert (await parameters(innkeeper, two))["certificate"] == newer.certificate_pem
    assert len(await rows(innkeeper, "select id from key_pair")) == 1
    assert set(server.trusted) == {imported.fingerprint, newer.fingerprint}
    with pytest.raises(InvalidRequest) as error:
        await innkeeper.put(f"vm-hosts/{one['id']}/", certificate=imported.certificate_pem, key=newer.key_pem)
    assert error.value.fields == {"key": ["The key does not belong to the certificate."]}


@pytest.mark.slow
async def test_a_moved_host_retains_its_own_pair_but_not_a_shared_one(innkeeper: Deployment, lxds: FakeLxds) -> None:
    lxds.add(FakeLxd(name="lxd1"), FakeLxd(name="lxd2"), FakeLxd(name="lxd3"))
    one, two = await add(innkeeper), await add(innkeeper, project="web")
    first = (await parameters(innkeeper, one))["certificate"]
    await innkeeper.put(f"vm-hosts/{two['id']}/", power_address="lxd2")
    second = (await parameters(innkeeper, two))["certificate"]
    assert second != first
    await innkeeper.put(f"vm-hosts/{two['id']}/", power_address="lxd3")
    assert (await parameters(innkeeper, two))["certificate"] == second
    await innkeeper.put(f"vm-hosts/{two['id']}/", power_address="lxd1")
    assert (await parameters(innkeeper, two))["certificate"] == first
    assert len(await rows(innkeeper, "select id from key_pair")) == 1


@pytest.mark.slow
async def test_an_imported_certificate_replaces_the_generated_one_on_the_server(
    innkeeper: Deployment, server: FakeLxd
) -> None:
    imported = small_pair()
    host = await add(innkeeper, password=server.token())
    await innkeeper.put(f"vm-hosts/{host['id']}/", certificate=imported.certificate_pem, key=imported.key_pem)
    assert len(server.trusted) == 1, "not before the new one works"
    assert (await state(innkeeper, host))[1] == "not_trusted"
    await innkeeper.refresh_due()  # the one that follows each addition of a host
    server.trust(imported.certificate_pem)
    await innkeeper.after_refreshes(partial(is_ready, innkeeper, host))
    assert set(server.trusted) == {imported.fingerprint}


@pytest.mark.slow
async def test_a_changed_certificate_is_accepted_for_all_hosts_of_a_server(
    innkeeper: Deployment, server: FakeLxd
) -> None:
    one, two = await add(innkeeper, password=server.token()), await add(innkeeper, project="web")
    server.certificate_pem = FakeLxd(name="replaced").certificate_pem
    await innkeeper.post(f"vm-hosts/{one['id']}/", op="trust", fingerprint=server.fingerprint)
    await innkeeper.post(f"vm-hosts/{two['id']}/", op="refresh")
