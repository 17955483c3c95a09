"""A new host whose server knows an Innkeeper already: this one, or another installation."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from common.errors import InnkeeperError, ServerUnconfirmed
from regiond.hosts.discovery import refresh
from tests.deployment.deployment import Deployment
from tests.doubles.lxd_double import FakeLxd
from tests.integration.pages.machines.test_web_lost_storage import client, page
from tests.integration.rpc.test_removed_certificates import events, remove
from tests.integration.support.rigs.lxd_hosts import add, is_ready
from tests.integration.support.web_client import WebClient
from tests.unit.regiond.credentials.test_key_pairs import small_pair

__all__ = ["client"]
OTHER = UUID(int=7)


async def test_a_token_for_a_server_that_trusts_us_is_not_used_up(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    assert await events(innkeeper, "host_trusted_already") == []
    await remove(innkeeper, host, keep_trust="true")
    token = server.token()
    again = await add(innkeeper, password=token)
    assert await is_ready(innkeeper, again)
    assert token in server.secrets
    assert len(server.seen_secrets) == 1
    (event,) = await events(innkeeper, "host_trusted_already")
    assert "lxc config trust revoke-token NAME. If nobody knows why" in event["description"]
    assert token not in event["description"]


async def test_an_imported_certificate_that_others_may_have_is_named(innkeeper: Deployment, server: FakeLxd) -> None:
    """As one of lxd-ui, which several servers and regions trust."""
    pair = small_pair()
    server.trust(pair.certificate_pem)
    host = await add(innkeeper, password=server.token(), certificate=pair.certificate_pem, key=pair.key_pem)
    assert await is_ready(innkeeper, host)
    (event,) = await events(innkeeper, "host_trusted_already")
    assert "such as another region, loses access when it is removed" in event["description"]


@pytest.mark.slow
async def test_vms_of_another_installation_are_named_when_the_host_is_known(
    innkeeper: Deployment, server: FakeLxd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempts that find the VMs, but cannot be applied, say nothing of them."""
    host = await add(innkeeper, password=server.token())
    await innkeeper.compose(host["id"], hostname="web")
    await remove(innkeeper, host, keep_trust="true")
    give_to_other_installation(tmp_path)

    async def refused(*_: object) -> None:
        raise ServerUnconfirmed("Nobody has confirmed the server.")

    with monkeypatch.context() as patched:
        patched.setattr(refresh, "apply_discovery", refused)
        again = await add(innkeeper)
        with pytest.raises(InnkeeperError, match="Nobody has confirmed"):
            await innkeeper.post(f"vm-hosts/{again['id']}/", op="refresh")
    assert await events(innkeeper, "host_of_other_installation") == []
    for _ in range(2):
        await innkeeper.post(f"vm-hosts/{again['id']}/", op="refresh")
    assert len(await events(innkeeper, "host_of_other_installation")) == 1


@pytest.mark.slow
async def test_the_answer_and_the_page_say_what_the_server_knew_before(
    innkeeper: Deployment, client: WebClient, server: FakeLxd, tmp_path: Path
) -> None:
    fields = {"type": "lxd", "power_address": "lxd1", "name": "hv", "password": server.token()}
    first = await innkeeper.send("POST", "vm-hosts/", fields=fields)
    assert first.warnings == ()
    assert "Innkeeper before" not in await page(client, f"hosts/add?step=check&host={first.json()['id']}")
    await innkeeper.compose(first.json()["id"], hostname="web")
    await remove(innkeeper, first.json(), keep_trust="true")
    give_to_other_installation(tmp_path)
    answer = await innkeeper.send("POST", "vm-hosts/", fields={**fields, "password": server.token()})
    already, other = answer.warnings
    assert "lxc config trust revoke-token NAME" in already
    assert "of another Innkeeper installation" in other
    check = await page(client, f"hosts/add?step=check&host={answer.json()['id']}")
    assert check.count("Innkeeper before") == 2
    assert "lxc config trust revoke-token NAME" in check


def give_to_other_installation(folder: Path) -> None:
    (file,) = folder.rglob("lxd1.sqlite")
    with closing(sqlite3.connect(file)) as store, store:
        store.execute("update guest set installation_id = ?", (str(OTHER),))


@pytest.mark.slow
async def test_vms_of_another_installation_are_named_once(
    innkeeper: Deployment, server: FakeLxd, tmp_path: Path
) -> None:
    host = await add(innkeeper, password=server.token())
    await innkeeper.compose(host["id"], hostname="web")
    await remove(innkeeper, host, keep_trust="true")
    give_to_other_installation(tmp_path)
    again = await add(innkeeper)
    await innkeeper.post(f"vm-hosts/{again['id']}/", op="refresh")
    (event,) = await events(innkeeper, "host_of_other_installation")
    assert f"hv has 1 VM of another Innkeeper installation ({OTHER}): web." in event["description"]
    assert "innkeeper vm-host adopt hv guests=web" in event["description"]
