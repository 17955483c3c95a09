"""LXD hosts from the region's side: one key pair for each server, trust by hand or token, rotation, projects."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.certificates import fingerprint, load_certificate, utc_now
from common.errors import InnkeeperError, InvalidRequest
from regiond.hosts.expiry import tell_expiring
from regiond.hosts.model import MASK, HostState
from tests.installation import Installation, installed
from tests.lxd_double import FakeLxd, FakeLxds
from tests.unit.test_host_certificates import small_pair
from tests.waiting import eventually

Lxds = Callable[..., FakeLxds]


@pytest.fixture
def lxds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lxds:
    """Servers that every rack of the test reaches; their rack has no other driver."""
    from common.values import DriverType
    from rackd.drivers.registry import Drivers

    def make(*servers: FakeLxd) -> FakeLxds:
        made = FakeLxds(tmp_path / "simulated", *servers)
        monkeypatch.setattr("rackd.service.make_drivers", lambda _: Drivers({DriverType.LXD: made}, absent={}))
        return made

    return make


async def add(innkeeper: Installation, address: str = "lxd1", **fields: Any) -> Any:
    return await innkeeper.post("vm-hosts/", type="lxd", power_address=address, **{"name": "hv", **fields})


async def parameters(innkeeper: Installation, host: Any) -> dict[str, str]:
    found: dict[str, str] = await innkeeper.get(f"vm-hosts/{host['id']}/", op="parameters")
    assert all(isinstance(value, str) for value in found.values())
    return found


async def state(innkeeper: Installation, host: Any) -> tuple[HostState, str | None, str]:
    known = await innkeeper.region.parts.services.hosts.read(host["id"])
    return known.state, known.error_code, known.error_message or ""


async def is_ready(innkeeper: Installation, host: Any) -> bool:
    return (await state(innkeeper, host))[0] is HostState.READY


async def rows(innkeeper: Installation, query: str) -> list[Any]:
    async with innkeeper.region.parts.database.connection() as db:
        return [tuple(row) for row in await db.fetch(query)]


async def dump(innkeeper: Installation) -> str:
    """Every row of every table, as text; bytes in hex."""
    async with innkeeper.region.parts.database.connection() as db:
        names = await db.fetch("select tablename from pg_tables where schemaname = 'public'")
        found = [row[0] for name in names for row in await db.fetch(f'select t::text from "{name[0]}" t')]  # noqa: S608  # our own tables
    return "\n".join(found)


async def fetched(innkeeper: Installation, url: str) -> str:
    """What `curl` gets there: nobody signs."""
    program = await asyncio.create_subprocess_exec("curl", "-sS", url, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        told, _ = await program.communicate()
    return told.decode()


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
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, password=server.token())
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
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, password=server.token())
        server.certificate_pem = FakeLxd(name="impostor").certificate_pem
        with pytest.raises(InnkeeperError, match=server.fingerprint):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="trust", fingerprint=server.fingerprint)
        await eventually(lambda: is_ready(innkeeper, host))


# One pair for each server ---------------------------------------------------------------------------------------------


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


# Rotation ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [[], ["trust"], ["trust!"], ["reach"], ["untrust"], ["untrust!"], ["trust!", "reach"]])
async def test_a_rotation_ends_with_one_new_certificate_wherever_it_is_interrupted(
    tmp_path: Path, database_url: str, lxds: Lxds, lost: list[str]
) -> None:
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
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


@pytest.mark.parametrize("at", ["trust", "trust!", "reach", "untrust", "untrust!"])
async def test_another_region_goes_on_with_a_rotation(tmp_path: Path, database_url: str, lxds: Lxds, at: str) -> None:
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper, password=server.token())
        (old,) = server.trusted
        server.lost += [at] * 50
        operation = (
            await innkeeper.api.send(
                "POST", f"vm-hosts/{host['id']}/", query=[("op", "rotate")], headers={"Prefer": "respond-async"}
            )
        ).json()
        await eventually(lambda: len(server.lost) < 50)
    server.lost.clear()
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack("another")

        async def ended() -> bool:
            return bool((await innkeeper.get(f"operations/{operation['id']}/"))["state"] == "succeeded")

        await eventually(ended)
        (new,) = server.trusted
        assert new != old
        assert await rows(innkeeper, "select fingerprint, replaces_id from key_pair") == [(new, None)]
        await innkeeper.post(f"vm-hosts/{host['id']}/", op="refresh")


async def test_a_rotation_that_the_server_refuses_leaves_everything_as_it_was(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    server = FakeLxd(name="lxd1")
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
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


async def test_what_cannot_be_rotated_says_why(tmp_path: Path, database_url: str, lxds: Lxds) -> None:
    server, mine = FakeLxd(name="lxd1"), small_pair()
    lxds(server)
    async with installed(tmp_path, database_url) as innkeeper:
        await innkeeper.start_rack()
        host = await add(innkeeper)
        with pytest.raises(InnkeeperError, match="before it trusts us"):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")
        server.trust(mine.certificate_pem)
        await innkeeper.put(f"vm-hosts/{host['id']}/", certificate=mine.certificate_pem, key=mine.key_pem)
        with pytest.raises(InnkeeperError, match="brought by a person"):
            await innkeeper.post(f"vm-hosts/{host['id']}/", op="rotate")


async def test_an_ending_certificate_is_told_at_30_7_and_1_days_and_once_each(
    tmp_path: Path, database_url: str, lxds: Lxds
) -> None:
    lxds(FakeLxd(name="lxd1"))
    async with installed(tmp_path, database_url) as innkeeper:
        await add(innkeeper)
        database = innkeeper.region.parts.database
        told = []
        for left_days in (31, 29.9, 29, 6.9, 5, 0.9, 0.5, -0.1, -3):
            async with database.connection() as db:
                await db.execute("update key_pair set expires_at = $1", utc_now() + timedelta(days=left_days))
            told.append(await tell_expiring(database))
        assert told == [0, 1, 0, 1, 0, 1, 0, 1, 0]
        events = await rows(
            innkeeper, "select level, message from event where kind = 'certificate_expiring' order by id"
        )
        assert [level for level, _ in events] == ["warning", "warning", "error", "error"]
        assert "expires within 7 days" in events[1][1]


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
