"""Certificates of RPC clients end with the API key, user or account that requested them, and are renewed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from common.errors import BadSettings, LinkLost, NotAllowed
from common.rpc.connection import connect
from common.rpc.handlers import Side
from common.rpc.link import Link
from common.rpc.peers import Address
from common.rpc.tls import MemberTls
from common.trust.certificates import CLIENT_LIFETIME, Role, load_certificate, utc_now
from innkeeper import rpc
from innkeeper.commands.enrolment import write_identity
from innkeeper.http import Api
from innkeeper.request_body import Body
from innkeeper.rpc_calls.client_credentials import CERTIFICATE, CertificateRenewal, read_identity
from regiond.accounts.model import UserChange
from tests.deployment.deployment import Deployment
from tests.integration.support.users import as_user
from tests.support.waiting import eventually


async def user(innkeeper: Deployment, name: str) -> Api:
    """The API as a new user without administrator rights."""
    return (await as_user(innkeeper, name)).api


async def issue(innkeeper: Deployment, api: Api, name: str) -> Path:
    answer = await api.send("POST", "rpc-clients/", body=Body(fields=[("name", name)]))
    folder = innkeeper.folder / name
    write_identity(folder, answer.json())
    return folder


@asynccontextmanager
async def linked(innkeeper: Deployment, folder: Path) -> AsyncIterator[Link]:
    credentials, name = read_identity(folder)
    address = Address.parse(f"127.0.0.1:{innkeeper.region.rpc_port}")
    link = await connect(address, MemberTls(credentials), Side(role=Role.CLIENT, name=name), deadline_s=30)
    try:
        yield link
    finally:
        link.close("the test is done")
        await link.closed()


async def is_rejected(innkeeper: Deployment, folder: Path) -> bool:
    try:
        async with rpc.connect(f"127.0.0.1:{innkeeper.region.rpc_port}", folder=folder) as region:
            await region.hosts()
    except (NotAllowed, LinkLost):
        return True
    return False


async def names(api: Api) -> list[str]:
    return [one["name"] for one in (await api.get("rpc-clients/")).json()]


async def test_deleting_a_key_ends_its_clients_and_open_links(rackless: Deployment) -> None:
    ann = await user(rackless, "ann")
    second = (await ann.send("POST", "account/", query=[("op", "create_authorisation_token")])).json()
    with_second = Api(ann.url, ":".join(second[part] for part in ("consumer_key", "token_key", "token_secret")))
    ended, kept = await issue(rackless, with_second, "ended"), await issue(rackless, ann, "kept")
    async with linked(rackless, ended) as lost, linked(rackless, kept) as open_link:
        form = Body(fields=[("token_key", second["token_key"])])
        op = [("op", "delete_authorisation_token")]
        plan = await ann.send("POST", "account/", query=op, body=Body(fields=[*form.fields, ("dry_run", "true")]))
        assert [one["name"] for one in plan.json()["deleted"]][1:] == ["ended"]
        assert lost.is_open, "a dry run revokes nothing"
        await ann.send("POST", "account/", query=op, body=form)
        await eventually(lambda: not lost.is_open)
        assert open_link.is_open
    assert await is_rejected(rackless, ended)
    assert not await is_rejected(rackless, kept)
    assert await names(ann) == ["kept"]


async def test_users_list_and_revoke_only_their_own_clients(rackless: Deployment) -> None:
    admin, ann, bob = rackless.api, await user(rackless, "ann"), await user(rackless, "bob")
    for api, name in ((admin, "of-admin"), (ann, "of-ann"), (bob, "of-bob")):
        await issue(rackless, api, name)
    assert await names(ann) == ["of-ann"]
    assert await names(admin) == ["of-admin", "of-ann", "of-bob"]
    (listed,) = (await ann.get("rpc-clients/")).json()
    assert (listed["username"], listed["api_key_name"]) == ("ann", "test")
    assert (await bob.send("DELETE", "rpc-clients/of-bob/")).status == 204
    with pytest.raises(Exception, match="no RPC client"):
        await bob.send("DELETE", "rpc-clients/of-ann/")
    assert await names(admin) == ["of-admin", "of-ann"]


@pytest.mark.parametrize("end", ["deletion", "deactivation"])
async def test_the_end_of_a_user_ends_its_clients_and_links(rackless: Deployment, end: str) -> None:
    folder = await issue(rackless, await user(rackless, "ann"), "robot")
    users = rackless.region.components.services.users
    async with linked(rackless, folder) as link:
        if end == "deletion":
            await users.delete(rackless.admin, "ann")
        else:
            await users.update(rackless.admin, "ann", UserChange(is_active=False))
        await eventually(lambda: not link.is_open)
    assert await is_rejected(rackless, folder)


async def test_a_client_without_a_recorded_key_ends_with_its_user(rackless: Deployment) -> None:
    """A certificate that was requested in a session of the web pages has none."""
    folder = await issue(rackless, await user(rackless, "ann"), "robot")
    async with rackless.connection() as db:
        await db.execute("update rpc_client set api_key_id = null")
    async with linked(rackless, folder) as link:
        await rackless.region.components.services.users.delete(rackless.admin, "ann")
        await eventually(lambda: not link.is_open)
    assert await is_rejected(rackless, folder)


async def test_a_client_ends_when_its_key_expires(rackless: Deployment) -> None:
    folder = await issue(rackless, await user(rackless, "ann"), "robot")
    async with rpc.connect(f"127.0.0.1:{rackless.region.rpc_port}", folder=folder) as region:
        await region.hosts()
        async with rackless.region.components.database.connection() as db:
            await db.execute("update api_key set expires_at = now() where name = 'test'")
        with pytest.raises(NotAllowed, match="The API key of the RPC client 'robot' expired"):
            await region.hosts()
    assert await is_rejected(rackless, folder)


async def test_a_certificate_ends_no_later_than_its_key(rackless: Deployment) -> None:
    ann = await user(rackless, "ann")
    fields = [("name", "short"), ("lifetime_s", "3600")]
    op = [("op", "create_authorisation_token")]
    made = (await ann.send("POST", "account/", query=op, body=Body(fields=fields))).json()
    short = Api(ann.url, ":".join(made[part] for part in ("consumer_key", "token_key", "token_secret")))
    for api, lifetime in ((short, timedelta(hours=1)), (ann, CLIENT_LIFETIME)):
        folder = await issue(rackless, api, f"for-{lifetime.days}-days")
        certificate = load_certificate((folder / CERTIFICATE).read_text())
        assert abs(certificate.not_valid_after_utc - utc_now() - lifetime) < timedelta(minutes=5)


async def test_a_program_renews_its_certificate_over_its_link(rackless: Deployment) -> None:
    folder = await issue(rackless, await user(rackless, "ann"), "robot")
    credentials, name = read_identity(folder)
    async with linked(rackless, folder) as link:
        early = CertificateRenewal(link, folder, credentials, name)
        assert not await early.renew_if_due()
        late = CertificateRenewal(link, folder, credentials, name, clock=lambda: utc_now() + timedelta(days=5))
        assert await late.renew_if_due()
        renewed, _ = read_identity(folder)
        assert renewed.certificate_pem != credentials.certificate_pem
        assert renewed.key_pem == credentials.key_pem
        assert (folder / CERTIFICATE).stat().st_mode & 0o777 == 0o600
        assert link.is_open, "a program that shares the folder still uses the old certificate"
    assert not await is_rejected(rackless, folder)
    (folder / CERTIFICATE).write_text(credentials.certificate_pem)
    assert not await is_rejected(rackless, folder), "the old certificate is valid until it expires"
    await rackless.delete("rpc-clients/robot/")
    assert await is_rejected(rackless, folder)


async def test_an_expired_certificate_does_not_block_its_name(rackless: Deployment) -> None:
    ann = await user(rackless, "ann")
    await issue(rackless, ann, "robot")
    async with rackless.region.components.database.connection() as db:
        await db.execute("update rpc_client set certificate_expires_at = now() - interval '1 second'")
    answer = await ann.send("POST", "rpc-clients/", body=Body(fields=[("name", "robot")]))
    assert answer.status == 200
    assert await names(ann) == ["robot"]


def test_a_missing_folder_names_the_command_that_helps(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="innkeeper client issue"):
        read_identity(tmp_path)
