"""Rotation of the key pairs of LXD servers, and events before a certificate expires."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.errors import InnkeeperError
from common.trust.certificates import utc_now
from regiond.hosts.trust.certificate_expiry import report_expiring_certificates
from regiond.hosts.views import view_store
from regiond.requests.caller import Caller
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.api_calls import ASYNC
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.doubles.lxd_double import FakeLxd, FakeLxds
from tests.integration.support.rigs.lxd_hosts import add, parameters
from tests.integration.support.tables import rows, sql
from tests.integration.support.web_client import WebClient
from tests.support.waiting import eventually
from tests.unit.regiond.credentials.test_key_pairs import small_pair


@pytest.mark.slow
@pytest.mark.parametrize("lost", [[], ["trust"], ["trust!"], ["reach"], ["untrust"], ["untrust!"], ["trust!", "reach"]])
async def test_an_interrupted_rotation_ends_with_one_new_certificate(
    innkeeper: Deployment, server: FakeLxd, lost: list[str]
) -> None:
    host = await add(innkeeper, password=server.token())
    other = await add(innkeeper, project="web")
    (old,) = server.trusted
    server.lost += lost
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
    (new,) = server.trusted
    assert new != old
    for one in (host, other):
        assert (await parameters(innkeeper, one))["certificate_fingerprint"] == new
        await innkeeper.post(f"vm-hosts/{one['id']}/", op="refresh")
    assert server.used[-1] == new
    assert await rows(innkeeper, "select fingerprint, replaces_id from key_pair") == [(new, None)]
    assert server.lost == []


@pytest.mark.slow
@pytest.mark.parametrize("at", ["trust", "trust!", "reach", "untrust", "untrust!"])
async def test_another_region_continues_a_rotation(
    tmp_path: Path, database_url: str, lxds: FakeLxds, server: FakeLxd, at: str
) -> None:
    async with deployed(tmp_path, database_url, drivers=lxds.drivers) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, password=server.token())
        (old,) = server.trusted
        server.lost += [at] * 50
        operation = await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate", headers=ASYNC)
        await eventually(lambda: len(server.lost) < 50)
    server.lost.clear()
    async with deployed(tmp_path, database_url, drivers=lxds.drivers) as innkeeper:
        await innkeeper.start_rack("another")
        await innkeeper.wait_for_state(operation["id"], "succeeded")
        (new,) = server.trusted
        assert new != old
        assert await rows(innkeeper, "select fingerprint, replaces_id from key_pair") == [(new, None)]
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")


@pytest.mark.slow
async def test_a_rejected_rotation_changes_nothing(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    (old,) = server.trusted
    server.restricted.add(old)
    with pytest.raises(InnkeeperError, match="trust token"):
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
    assert list(server.trusted) == [old]
    assert (await parameters(innkeeper, host))["certificate_fingerprint"] == old
    assert len(await rows(innkeeper, "select id from key_pair")) == 1
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate", password=server.token())
    assert len(server.trusted) == 1
    assert old not in server.trusted
    assert await rows(innkeeper, "select name from secret") == []


@pytest.mark.slow
@pytest.mark.parametrize("lost", [[], ["trust!"]])
async def test_an_identity_of_lxd_gets_another_certificate(
    innkeeper: Deployment, server: FakeLxd, lost: list[str]
) -> None:
    host = await add(innkeeper, password=server.token())
    (old,) = server.trusted
    server.identities.add(old)
    server.lost += lost
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
    (new,) = server.trusted
    assert new != old
    assert (await parameters(innkeeper, host))["certificate_fingerprint"] == new
    ((level, message),) = await rows(innkeeper, "select level, message from event where kind = 'credentials_rotated'")
    assert (level, "may still trust" in message) == ("info", False)


@pytest.mark.slow
@pytest.mark.parametrize("is_seen", [False, True])
async def test_a_certificate_that_an_identity_cannot_remove_is_named(
    innkeeper: Deployment, server: FakeLxd, *, is_seen: bool
) -> None:
    """A token made a second identity, which may not remove the first one, or does not even see it."""
    server.shows_identities = is_seen
    host = await add(innkeeper, password=server.token())
    (old,) = server.trusted
    server.identities.add(old)
    with_token = server.token()
    server.on_trust = server.identities.add
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate", password=with_token)
    assert old in server.trusted
    assert (await parameters(innkeeper, host))["certificate_fingerprint"] in server.trusted.keys() - {old}
    ((level, message),) = await rows(innkeeper, "select level, message from event where kind = 'credentials_rotated'")
    assert (level, "the server may still trust the old one" in message) == ("warning", True)
    assert f"lxc auth identity delete tls/{old}" in message


@pytest.mark.slow
async def test_a_pair_that_cannot_be_rotated_is_rejected_with_the_reason(
    innkeeper: Deployment, server: FakeLxd
) -> None:
    host = await add(innkeeper)
    with pytest.raises(InnkeeperError, match="was never reached"):
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")


@pytest.mark.slow
async def test_an_imported_certificate_is_replaced_and_stays_trusted(innkeeper: Deployment, server: FakeLxd) -> None:
    imported = small_pair()
    server.trust(imported.certificate_pem)
    host = await add(innkeeper, certificate=imported.certificate_pem, key=imported.key_pem)
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
    own = (await parameters(innkeeper, host))["certificate_fingerprint"]
    assert own != imported.fingerprint
    assert set(server.trusted) == {own, imported.fingerprint}
    ((message,),) = await rows(innkeeper, "select message from event where kind = 'credentials_rotated'")
    assert f"lxc config trust remove {imported.fingerprint}" in message
    await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
    assert set(server.trusted) == {(await parameters(innkeeper, host))["certificate_fingerprint"], imported.fingerprint}


async def test_an_expiring_certificate_is_reported_once_per_limit(innkeeper: Deployment, lxds: FakeLxds) -> None:
    lxds.add(FakeLxd(name="lxd1"))
    await add(innkeeper)
    database = innkeeper.region.components.database
    reported = []
    for left_days in (31, 29.9, 29, 6.9, 5, 0.9, 0.5, -0.1, -3):
        async with database.connection() as db:
            await db.execute("update key_pair set expires_at = $1", utc_now() + timedelta(days=left_days))
        reported.append(await report_expiring_certificates(database))
    assert reported == [0, 1, 0, 1, 0, 1, 0, 1, 0]
    events = await rows(innkeeper, "select level, message from event where kind = 'certificate_expiring' order by id")
    assert [level for level, _ in events] == ["warning", "warning", "error", "error"]
    assert "expires within 7 days" in events[1][1]


@pytest.mark.slow
async def test_the_overview_lists_certificates_that_expire(innkeeper: Deployment, server: FakeLxd) -> None:
    host = await add(innkeeper, password=server.token())
    await add_administrator_with_password(innkeeper)
    client = WebClient(urlsplit(innkeeper.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    assert "has credentials that" not in (await client.get("/MAAS/ui/overview")).text
    for days, word in ((29, "expire in"), (-1, "have expired")):
        then = utc_now() + timedelta(days=days)
        await sql(innkeeper, "update key_pair set expires_at = $1 returning id", then)
        page = await client.get("/MAAS/ui/overview")
        assert f"has credentials that {word}" in page.text
        assert f"{then:%Y-%m-%d}" in page.text
        assert f"/MAAS/ui/hosts/{host['id']}/settings" in page.text
    async with innkeeper.region.components.database.connection() as db:
        stranger = Caller(account_id=99, username="bob", is_admin=False)
        assert await view_store.expiring_certificates(db, utc_now(), limit=9, caller=stranger) == ()
