"""LXD hosts from the region's side: one key pair for each server, ours or a person's own, and projects."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from attrs import asdict

from common.errors import InvalidRequest
from regiond.hosts import view_store
from regiond.hosts.model import MASK
from tests.installation import installed
from tests.integration.lxd_hosts import Lxds, add, fetched, is_ready, parameters, state
from tests.integration.tables import rows
from tests.lxd_double import FakeLxd
from tests.unit.test_host_certificates import small_pair
from tests.waiting import eventually


async def test_hosts_of_one_server_share_its_pair_and_a_missing_project_is_made(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    server = FakeLxd(name="lxd1")
    lxds(server).moved["lxd1-too"] = "lxd1"
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        hosts = [
            await add(innkeeper, password=server.token()),
            await add(innkeeper, "https://LXD1:8443/", name="hv", project="web"),
            await add(innkeeper, "lxd1-too", name="third"),
        ]
        for host in hosts[1:]:
            await eventually(partial(is_ready, innkeeper, host))
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


async def test_the_short_look_at_all_hosts_tells_of_each_what_the_long_one_does(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await eventually(partial(is_ready, innkeeper, await add(innkeeper, password=server.token())))
        await innkeeper.add_simulated("plain")
        async with innkeeper.region.parts.database.connection() as db:
            long, short = await view_store.list_hosts(db), await view_store.standings(db)
        assert [asdict(one) for one in short] == [
            {name: getattr(one, name) for name in asdict(short[0])} for one in long
        ]
        assert [one.certificate_fingerprint is None for one in short] == [False, True]


async def test_several_hosts_of_a_server_added_at_once_share_one_pair(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await asyncio.gather(*(add(innkeeper, project=f"p{number}") for number in range(4)))
        assert len(await rows(innkeeper, "select id from key_pair")) == 1


async def test_hosts_of_one_name_with_different_certificates_are_told_apart(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    lxds(FakeLxd(name="lxd1"), FakeLxd(name="lxd2"))
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        await add(innkeeper)
        await add(innkeeper, "lxd2")
        base = f"{innkeeper.region.api_url}vmhost-certificate/"
        assert "use different certificates" in await fetched(innkeeper, base + "hv")
        await add(innkeeper, "lxd2", name="a/b %", project="third")
        shown = (await innkeeper.get("vm-hosts/"))[-1]
        assert "BEGIN CERTIFICATE" in await fetched(innkeeper, (await parameters(innkeeper, shown))["certificate_url"])
        assert "There is no VM host named nobody" in await fetched(innkeeper, base + "nobody")


async def test_a_pair_of_ones_own_is_shown_whole_and_replaced_for_every_host_of_the_server(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    server, mine, newer = FakeLxd(name="lxd1"), small_pair(), small_pair()
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        one = await add(innkeeper)
        made = await parameters(innkeeper, one)
        assert made["key"] == MASK
        same = {name: made[name] for name in ("certificate", "key", "project", "power_address")}
        await innkeeper.put(f"vm-hosts/{one['id']}/", **same)
        assert (await parameters(innkeeper, one))["certificate"] == made["certificate"], "what was read changes nothing"
        server.trust(mine.certificate_pem)
        two = await add(innkeeper, project="web", certificate=mine.certificate_pem, key=mine.key_pem)
        assert two["total"]["cores"] == 8
        for host in (one, two):
            shown = await parameters(innkeeper, host)
            assert (shown["certificate"], "PRIVATE KEY" in shown["key"]) == (mine.certificate_pem, True)
        server.trust(newer.certificate_pem)
        await innkeeper.put(f"vm-hosts/{one['id']}/", certificate=newer.certificate_pem, key=newer.key_pem)
        assert (await parameters(innkeeper, two))["certificate"] == newer.certificate_pem
        assert len(await rows(innkeeper, "select id from key_pair")) == 1
        assert set(server.trusted) == {mine.fingerprint, newer.fingerprint}
        with pytest.raises(InvalidRequest) as refused:
            await innkeeper.put(f"vm-hosts/{one['id']}/", certificate=mine.certificate_pem, key=newer.key_pem)
        assert refused.value.fields == {"key": ["The key does not fit the certificate."]}


async def test_a_host_that_moves_takes_its_pair_along_or_leaves_a_shared_one(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    lxds(FakeLxd(name="lxd1"), FakeLxd(name="lxd2"), FakeLxd(name="lxd3"))
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
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


async def test_our_certificate_leaves_the_server_when_a_person_brings_another(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    server, mine = FakeLxd(name="lxd1"), small_pair()
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, password=server.token())
        await innkeeper.put(f"vm-hosts/{host['id']}/", certificate=mine.certificate_pem, key=mine.key_pem)
        assert len(server.trusted) == 1, "not before the new one works"
        assert (await state(innkeeper, host))[1] == "not_trusted"
        server.trust(mine.certificate_pem)
        await eventually(partial(is_ready, innkeeper, host))
        assert set(server.trusted) == {mine.fingerprint}


async def test_a_changed_certificate_is_accepted_for_every_host_of_the_server(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        one, two = await add(innkeeper, password=server.token()), await add(innkeeper, project="web")
        server.certificate_pem = FakeLxd(name="replaced").certificate_pem
        await innkeeper.post(f"vm-hosts/{one['id']}/", op="trust", fingerprint=server.fingerprint)
        await innkeeper.post(f"vm-hosts/{two['id']}/", op="refresh")
