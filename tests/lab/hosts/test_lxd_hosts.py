"""Real LXD servers as VM hosts, from the API: trust by command and token, one key pair for all racks, rotation."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest
from common.trust.certificates import utc_now
from regiond.hosts.model import MASK, HostState
from tests.deployment.deployment import Deployment
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.servers.needs import LAB_DIR
from tests.support.waiting import eventually
from tests.unit.regiond.credentials.test_key_pairs import small_pair

pytestmark = pytest.mark.every_product

PREFIX = "iktrust-"
SMALL: dict[str, Any] = {"cores": 1, "memory": 1024, "storage": "1"}


@pytest.fixture
def server(servers: tuple[LxdServer, LxdServer]) -> LxdServer:
    return servers[0]


async def on_the_server(server: LxdServer, command: str) -> None:
    """Runs the command in a shell on the server."""
    environment = {**os.environ, "LXD_DIR": str(LAB_DIR / f"lxd-{server.name}")}
    program = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", command, env=environment, stdin=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(60):
        assert await program.wait() == 0, command


async def token_of(server: LxdServer) -> str:
    return await asyncio.to_thread(server.token, "innkeeper")


async def trusted(server: LxdServer) -> set[str]:
    return await asyncio.to_thread(server.trusted)


async def add(innkeeper: Deployment, server: LxdServer, **fields: Any) -> Any:
    return await innkeeper.post("vm-hosts/", type="lxd", power_address=server.address, **{"name": "vms", **fields})


async def parameters(innkeeper: Deployment, host: Any) -> dict[str, str]:
    found: dict[str, str] = await innkeeper.get(f"vm-hosts/{host['id']}/", op="parameters")
    return found


async def error_of(innkeeper: Deployment, host: Any) -> tuple[str | None, str]:
    known = await innkeeper.region.components.services.hosts.read(host["id"], caller=None)
    return known.error_code, known.error_message or ""


async def is_ready(innkeeper: Deployment, host: Any) -> bool:
    return (await innkeeper.region.components.services.hosts.read(host["id"], caller=None)).state is HostState.READY


async def reaches(innkeeper: Deployment, rack: str, hosts: int) -> bool:
    known = await innkeeper.region.components.services.racks.list(caller=None)
    return any(one.name == rack and one.hosts_reached == hosts for one in known)


@pytest.mark.lxd_alone  # its command runs the client that this machine has installed
async def test_the_shown_command_makes_a_pending_host_ready(server: LxdServer, innkeeper: Deployment) -> None:
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


async def test_a_token_completes_at_once_or_names_its_fault(
    servers: tuple[LxdServer, LxdServer], innkeeper: Deployment
) -> None:
    server, other = servers
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
    assert "rejected" in message
    assert used not in message
    done = await innkeeper.put(path, password=await token_of(server))
    assert done["total"]["cores"] > 0
    assert len(await trusted(server)) == 1


async def test_an_expired_token_is_named(server: LxdServer, innkeeper: Deployment) -> None:
    server.lxc("config", "set", "core.remote_token_expiry", "1S")
    try:
        token = await token_of(server)
    finally:
        server.lxc("config", "unset", "core.remote_token_expiry")
    await asyncio.sleep(1.5)  # LXD compares with its clock
    host = await add(innkeeper, server, password=token)
    assert "expired at" in (await error_of(innkeeper, host))[1]


@pytest.mark.lxd_alone  # Incus has tokens only
async def test_a_trust_password_is_accepted_if_configured(server: LxdServer, innkeeper: Deployment) -> None:
    phrase = "long and secret"
    server.lxc("config", "set", "core.trust_password", phrase)
    try:
        host = await add(innkeeper, server, password=phrase, trust_on_first_use="true")
        assert host["total"]["cores"] > 0
    finally:
        server.lxc("config", "unset", "core.trust_password")


@pytest.mark.lxd_alone  # its command runs the client that this machine has installed
async def test_missing_projects_are_created_unless_restricted(
    servers: tuple[LxdServer, LxdServer], innkeeper: Deployment
) -> None:
    server, other = servers
    added = await add(innkeeper, server, project="vms", password=await token_of(server))
    assert added["total"]["cores"] > 0
    assert server.ask("/1.0/projects/vms")["description"] == "Project managed by Innkeeper"
    other.lxc("project", "create", "vms", "-c", "features.images=false", "-c", "features.profiles=false")
    host = await add(innkeeper, other, name="restricted", project="vms")
    await on_the_server(other, (await parameters(innkeeper, host))["trust_command"])
    await eventually(partial(is_ready, innkeeper, host))
    composed = await innkeeper.compose(host["id"], hostname=f"{PREFIX}restricted", **SMALL)
    assert other.instances(PREFIX) == {("vms", f"{PREFIX}restricted")}
    (old,) = await trusted(other)
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
    (new,) = await trusted(other)
    assert new != old
    assert (await innkeeper.delete(f"machines/{composed['system_id']}/")).status == 204
    assert other.instances(PREFIX) == set()


async def test_a_new_rack_soon_composes_with_the_same_pair(
    servers: tuple[LxdServer, LxdServer], rackless: Deployment
) -> None:
    await rackless.start_rack("one")
    await rackless.start_rack("two")
    hosts = [await add(rackless, server, name=server.name, password=await token_of(server)) for server in servers]
    for name in ("one", "two"):
        await eventually(partial(reaches, rackless, name, 2))
        await rackless.stop_rack(name)
    async with asyncio.timeout(150):
        await rackless.start_rack("three")
        await eventually(partial(reaches, rackless, "three", 2))
        for host in hosts:
            composed = await rackless.compose(host["id"], hostname=f"{PREFIX}{host['name']}", **SMALL)
            assert (await rackless.delete(f"machines/{composed['system_id']}/")).status == 204
    for server, host in zip(servers, hosts, strict=True):
        assert await trusted(server) == {(await parameters(rackless, host))["certificate_fingerprint"]}
        assert server.instances(PREFIX) == set()
    async with rackless.region.components.database.connection() as db:
        fingerprints = {row["fingerprint"] for row in await db.fetch("select fingerprint from key_pair")}
    assert len(fingerprints) == 2
    assert fingerprints == {(await parameters(rackless, host))["certificate_fingerprint"] for host in hosts}


async def test_rotation_covers_every_project_of_a_server(server: LxdServer, innkeeper: Deployment) -> None:
    one = await add(innkeeper, server, password=await token_of(server))
    two = await add(innkeeper, server, name="second", project="vms")
    (old,) = await trusted(server)
    await innkeeper.post(f"vm-hosts/{one['id']}/", op="rotate")
    (new,) = await trusted(server)
    assert new != old
    for host in (one, two):
        assert (await parameters(innkeeper, host))["certificate_fingerprint"] == new
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
    assert (await innkeeper.get(f"vm-hosts/{one['id']}/"))["total"]["cores"] > 0
    with pytest.raises(InvalidRequest) as rejected:
        await innkeeper.put(f"vm-hosts/{two['id']}/", project="other")
    assert list(rejected.value.fields) == ["project"]


async def test_a_changed_certificate_is_rejected_until_accepted(
    server: LxdServer, monkeypatch: pytest.MonkeyPatch, innkeeper: Deployment
) -> None:
    folder = server.own_folder
    host = await add(innkeeper, server, password=await token_of(server))
    path = f"vm-hosts/{host['id']}/"
    before = (await parameters(innkeeper, host))["host_key_fingerprint"]
    composed = await innkeeper.compose(host["id"], hostname=f"{PREFIX}stays", **SMALL)
    another = small_pair(ends=utc_now() + timedelta(days=30))
    (folder / "server.key").write_text(another.key_pem)
    (folder / "server.crt").write_text(another.certificate_pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "server.crt"))
    await asyncio.to_thread(server.restart)
    now = another.fingerprint
    with pytest.raises(InnkeeperError, match=f"(?s){now}.*{before}") as rejected:
        await innkeeper.post(path, op="refresh")
    assert rejected.value.details["status"] == 503
    assert (await error_of(innkeeper, host))[0] == "peer_changed"
    with pytest.raises(InvalidRequest):
        await innkeeper.post(path, op="trust", fingerprint=before)
    await innkeeper.post(path, op="trust", fingerprint=now)
    await innkeeper.post(path, op="refresh")
    assert (await parameters(innkeeper, host))["host_key_fingerprint"] == now
    assert (await innkeeper.get(f"machines/{composed['system_id']}/"))["status_name"] == "Ready"
    await innkeeper.delete(f"machines/{composed['system_id']}/")
