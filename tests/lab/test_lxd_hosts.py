"""Real LXD servers as VM hosts, from the API down: trust by command and by token, one pair for all racks, rotation."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.certificates import utc_now
from common.errors import InnkeeperError, InvalidRequest
from regiond.hosts.model import MASK, HostState
from tests.installation import Installation, installed
from tests.lab.lxd_server import LxdServer
from tests.lab.needs import LAB_DIR
from tests.unit.test_host_certificates import small_pair
from tests.waiting import eventually

PREFIX = "iktrust-"
SMALL: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "1"}


@pytest.fixture
def server(servers: tuple[LxdServer, LxdServer]) -> LxdServer:
    return servers[0]


async def on_the_server(server: LxdServer, command: str) -> None:
    """What a person pastes into a shell there."""
    environment = {**os.environ, "LXD_DIR": str(LAB_DIR / f"lxd-{server.name}")}
    program = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", command, env=environment, stdin=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(30):
        assert await program.wait() == 0, command


async def token_of(server: LxdServer, *options: str) -> str:
    told = await asyncio.to_thread(server.lxc, "config", "trust", "add", "--name", "innkeeper", "-q", *options)
    return told.strip().splitlines()[-1]


async def trusted(server: LxdServer) -> set[str]:
    return await asyncio.to_thread(server.trusted)


async def add(innkeeper: Installation, server: LxdServer, **fields: Any) -> Any:
    return await innkeeper.post("vm-hosts/", type="lxd", power_address=server.address, **{"name": "inn", **fields})


async def parameters(innkeeper: Installation, host: Any) -> dict[str, str]:
    found: dict[str, str] = await innkeeper.get(f"vm-hosts/{host['id']}/", op="parameters")
    return found


async def error_of(innkeeper: Installation, host: Any) -> tuple[str | None, str]:
    known = await innkeeper.region.parts.services.hosts.read(host["id"])
    return known.error_code, known.error_message or ""


async def is_ready(innkeeper: Installation, host: Any) -> bool:
    return (await innkeeper.region.parts.services.hosts.read(host["id"])).state is HostState.READY


async def reaches(innkeeper: Installation, rack: str, hosts: int) -> bool:
    known = await innkeeper.region.parts.services.racks.list()
    return any(one.name == rack and one.hosts_reached == hosts for one in known)


async def test_the_command_that_is_shown_makes_a_pending_host_ready(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, server)
        shown = await parameters(innkeeper, host)
        assert shown["key"] == MASK
        code, message = await error_of(innkeeper, host)
        assert code == "not_trusted"
        assert shown["trust_command"] in message
        assert await trusted(server) == set()
        await on_the_server(server, shown["trust_command"])
        await eventually(partial(is_ready, innkeeper, host))
        assert await trusted(server) == {shown["certificate_fingerprint"]}
        found = await innkeeper.get(f"vm-hosts/{host['id']}/")
        assert found["total"]["cores"] > 0
        assert [pool["name"] for pool in found["storage_pools"]] == ["default"]
        assert "default" in {one["name"] for one in await innkeeper.get(f"vm-hosts/{host['id']}/", op="projects")}


async def test_a_token_finishes_at_once_and_its_faults_are_told(
    tmp_path: Path, database_url: str, servers: tuple[LxdServer, LxdServer]
) -> None:
    server, other = servers
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, server, password=await token_of(other))
        code, message = await error_of(innkeeper, host)
        assert code == "peer_changed"
        assert "was not sent" in message
        path = f"vm-hosts/{host['id']}/"
        used = await token_of(server)
        await asyncio.to_thread(server.lxc, "config", "trust", "revoke-token", "innkeeper")
        await innkeeper.put(path, password=used)
        code, message = await error_of(innkeeper, host)
        assert code == "not_trusted"
        assert "refused" in message
        assert used not in message
        done = await innkeeper.put(path, password=await token_of(server))
        assert done["total"]["cores"] > 0
        assert len(await trusted(server)) == 1


async def test_an_expired_token_is_named_as_such(tmp_path: Path, database_url: str, server: LxdServer) -> None:
    server.lxc("config", "set", "core.remote_token_expiry", "1S")
    try:
        token = await token_of(server)
    finally:
        server.lxc("config", "unset", "core.remote_token_expiry")
    await asyncio.sleep(1.5)  # LXD's own clock decides
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, server, password=token)
        assert "expired at" in (await error_of(innkeeper, host))[1]


async def test_a_trust_password_works_where_the_server_has_one(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    phrase = "long and secret"
    server.lxc("config", "set", "core.trust_password", phrase)
    try:
        async with installed(tmp_path, database_url) as innkeeper:
            await innkeeper.start_rack()
            host = await add(innkeeper, server, password=phrase)
            assert host["total"]["cores"] > 0
    finally:
        server.lxc("config", "unset", "core.trust_password")


async def test_a_missing_project_is_made_and_a_restricted_certificate_is_enough_for_one_that_is_there(
    tmp_path: Path, database_url: str, servers: tuple[LxdServer, LxdServer]
) -> None:
    server, other = servers
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        made = await add(innkeeper, server, project="inn", password=await token_of(server))
        assert made["total"]["cores"] > 0
        assert server.ask("/1.0/projects/inn")["description"] == "Project managed by Innkeeper"
        other.lxc("project", "create", "inn", "-c", "features.images=false", "-c", "features.profiles=false")
        host = await add(innkeeper, other, name="restricted", project="inn")
        await on_the_server(other, (await parameters(innkeeper, host))["trust_command_restricted"])
        await eventually(partial(is_ready, innkeeper, host))
        composed = await innkeeper.compose(host["id"], hostname=f"{PREFIX}restricted", **SMALL)
        assert other.instances(PREFIX) == {("inn", f"{PREFIX}restricted")}
        (old,) = await trusted(other)
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
        (new,) = await trusted(other)
        assert new != old
        assert (await innkeeper.delete(f"machines/{composed['system_id']}/")).status == 204
        assert other.instances(PREFIX) == set()


@pytest.mark.deadline(240)
async def test_every_rack_uses_one_pair_for_each_server_and_a_new_one_composes_within_30_s(
    tmp_path: Path, database_url: str, servers: tuple[LxdServer, LxdServer]
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack("one")
        await innkeeper.start_rack("two")
        hosts = [await add(innkeeper, server, name=server.name, password=await token_of(server)) for server in servers]
        for name in ("one", "two"):
            await eventually(partial(reaches, innkeeper, name, 2))
            await innkeeper.stop_rack(name)
        async with asyncio.timeout(30):
            await innkeeper.start_rack("three")
            await eventually(partial(reaches, innkeeper, "three", 2))
            for host in hosts:
                made = await innkeeper.compose(host["id"], hostname=f"{PREFIX}{host['name']}", **SMALL)
                assert (await innkeeper.delete(f"machines/{made['system_id']}/")).status == 204
        for server, host in zip(servers, hosts, strict=True):
            assert await trusted(server) == {(await parameters(innkeeper, host))["certificate_fingerprint"]}
            assert server.instances(PREFIX) == set()
        async with innkeeper.region.parts.database.connection() as db:
            kept = {row["fingerprint"] for row in await db.fetch("select fingerprint from key_pair")}
        assert len(kept) == 2
        assert kept == {(await parameters(innkeeper, host))["certificate_fingerprint"] for host in hosts}


async def test_credentials_rotate_on_a_real_server_for_every_project_at_once(
    tmp_path: Path, database_url: str, server: LxdServer
) -> None:
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        one = await add(innkeeper, server, password=await token_of(server))
        two = await add(innkeeper, server, name="second", project="inn")
        (old,) = await trusted(server)
        await innkeeper.post(f"vm-hosts/{one['id']}/", op="rotate")
        (new,) = await trusted(server)
        assert new != old
        for host in (one, two):
            assert (await parameters(innkeeper, host))["certificate_fingerprint"] == new
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        assert (await innkeeper.get(f"vm-hosts/{one['id']}/"))["total"]["cores"] > 0
        with pytest.raises(InvalidRequest) as refused:
            await innkeeper.put(f"vm-hosts/{two['id']}/", project="other")
        assert list(refused.value.fields) == ["project"]


async def test_a_server_that_shows_another_certificate_is_refused_until_a_person_accepts_it(
    tmp_path: Path, database_url: str, server: LxdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = LAB_DIR / f"lxd-{server.name}"
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, server, password=await token_of(server))
        path = f"vm-hosts/{host['id']}/"
        before = (await parameters(innkeeper, host))["host_key_fingerprint"]
        made = await innkeeper.compose(host["id"], hostname=f"{PREFIX}stays", **SMALL)
        another = small_pair(ends=utc_now() + timedelta(days=30))
        (folder / "server.key").write_text(another.key_pem)
        (folder / "server.crt").write_text(another.certificate_pem)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "server.crt"))
        await asyncio.to_thread(server.restart)
        now = another.fingerprint
        with pytest.raises(InnkeeperError, match=f"(?s){now}.*{before}") as refused:
            await innkeeper.post(path, op="refresh")
        assert refused.value.details["status"] == 503
        assert (await error_of(innkeeper, host))[0] == "peer_changed"
        with pytest.raises(InvalidRequest):
            await innkeeper.post(path, op="trust", fingerprint=before)
        await innkeeper.post(path, op="trust", fingerprint=now)
        await innkeeper.post(path, op="refresh")
        assert (await parameters(innkeeper, host))["host_key_fingerprint"] == now
        assert (await innkeeper.get(f"machines/{made['system_id']}/"))["status_name"] == "Ready"
        await innkeeper.delete(f"machines/{made['system_id']}/")
