"""LXD hosts from the region's side: trust by hand or token, and the secrets of it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from common.certificates import fingerprint, load_certificate
from common.errors import InnkeeperError
from regiond.hosts.model import MASK, HostState
from tests.installation import Installation, installed
from tests.integration.lxd_hosts import Lxds, add, fetched, is_ready, parameters, state, trusting
from tests.integration.tables import rows
from tests.lxd_double import FakeLxd
from tests.unit.test_host_certificates import small_pair
from tests.waiting import eventually


async def dump(innkeeper: Installation) -> str:
    """Every row of every table, as text; bytes in hex."""
    async with innkeeper.region.parts.database.connection() as db:
        names = await db.fetch("select tablename from pg_tables where schemaname = 'public'")
        found = [row[0] for name in names for row in await db.fetch(f'select t::text from "{name[0]}" t')]  # noqa: S608  # our own tables
    return "\n".join(found)


def url_in(text: str) -> str:
    (found,) = [
        word for word in shlex.split(text.rsplit("run: ", maxsplit=1)[-1].replace("—", "")) if word.startswith("http")
    ][:1]
    return found


# Trust ---------------------------------------------------------------------------------------------------------------


async def test_a_pending_host_says_how_to_trust_it_and_goes_on_by_itself(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, name="the inn")
        assert host["total"]["cores"] == 0
        kind, code, message = await state(innkeeper, host)
        assert (kind, code) == (HostState.PENDING, "not_trusted")
        command = f"curl -fsS {innkeeper.region.api_url}vmhost-certificate/the%20inn | lxc config trust add - "
        assert command + "--name innkeeper-the-inn" in message
        with pytest.raises(InnkeeperError, match="lxc config trust add") as refused:
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        assert refused.value.details["status"] == 503
        assert server.trusted == {}
        pem = await fetched(innkeeper, url_in(message))
        assert "PRIVATE" not in pem
        server.trust(pem)
        await eventually(lambda: is_ready(innkeeper, host))
        assert (await innkeeper.get(f"vm-hosts/{host['id']}/"))["total"]["cores"] == 8
        await innkeeper.compose(host["id"])


async def test_a_token_finishes_at_once_and_is_forgotten(tmp_path: Path, database_url: str, lxds: Lxds) -> None:
    async with trusting(tmp_path, database_url, lxds) as (innkeeper, server, host):
        assert host["total"]["cores"] == 8
        assert list(server.trusted.values()) == ["innkeeper-hv"]
        assert await rows(innkeeper, "select name from secret") == []
        assert "password" not in await parameters(innkeeper, host)


async def test_a_token_may_be_given_later_and_a_password_is_one_too(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    phrase = "old-style password"
    server = FakeLxd(name="lxd1", secrets={phrase})
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper)
        changed = await innkeeper.put(f"vm-hosts/{host['id']}/", password=phrase)
        assert changed["total"]["cores"] == 8


async def test_a_token_of_another_server_is_not_sent(tmp_path: Path, database_url: str, lxds: Lxds) -> None:
    server, other = FakeLxd(name="lxd1"), FakeLxd(name="other")
    lxds(server, other)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, password=server.token(fingerprint=other.fingerprint))
        _, code, message = await state(innkeeper, host)
        assert code == "peer_changed"
        assert server.fingerprint in message
        assert other.fingerprint in message
        assert server.seen_secrets == []
        assert (await parameters(innkeeper, host))["password"] == MASK
        good = await innkeeper.put(f"vm-hosts/{host['id']}/", password=server.token())
        assert good["total"]["cores"] == 8


async def test_a_refused_token_is_told_and_trust_by_hand_still_works(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        token = server.token()
        server.secrets.clear()
        host = await add(innkeeper, password=token)
        _, code, message = await state(innkeeper, host)
        assert code == "not_trusted"
        assert "The trust token was refused: LXD: not authorized." in message
        assert token not in message
        server.trust((await parameters(innkeeper, host))["certificate"])
        await eventually(lambda: is_ready(innkeeper, host))
        assert server.seen_secrets == [token], "sent once, not at every look"


async def test_a_changed_server_is_refused_until_a_person_accepts_it(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    async with trusting(tmp_path, database_url, lxds) as (innkeeper, server, host):
        server.certificate_pem = FakeLxd(name="impostor").certificate_pem
        with pytest.raises(InnkeeperError, match=server.fingerprint):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="trust", fingerprint=server.fingerprint)
        await eventually(lambda: is_ready(innkeeper, host))


# Secrets -------------------------------------------------------------------------------------------------------------


async def test_no_private_key_and_no_token_is_in_the_database_or_the_log(
    tmp_path: Path, database_url: str, lxds: Lxds, capfd: pytest.CaptureFixture[str]
) -> None:
    server, mine = FakeLxd(name="lxd1"), small_pair()
    lxds(server, FakeLxd(name="lxd2"))
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        bad = server.token(fingerprint="ab" * 32)
        await add(innkeeper, "lxd2", name="kept", password=bad)
        host = await add(innkeeper, password=(good := server.token()))
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
        await innkeeper.put(f"vm-hosts/{host['id']}/", certificate=mine.certificate_pem, key=mine.key_pem)
        found = await dump(innkeeper)
        answers = json.dumps([await innkeeper.get("operations/"), await innkeeper.get("vm-hosts/")])
    printed = "".join(capfd.readouterr())
    assert fingerprint(load_certificate(mine.certificate_pem)) in found, "the search looks at the right place"
    body = mine.key_pem.splitlines()[1]
    for text in (bad, good, "PRIVATE KEY", body, body.encode().hex(), b"PRIVATE KEY".hex(), bad.encode().hex()):
        for place in (found, printed, answers):
            assert text not in place
