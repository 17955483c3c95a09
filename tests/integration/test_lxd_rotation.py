"""LXD hosts from the region's side: certificates that are rotated, and told of before they end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from common.certificates import utc_now
from common.errors import InnkeeperError
from regiond.hosts.expiry import tell_expiring
from tests.installation import installed
from tests.integration.lxd_hosts import Lxds, add, parameters, trusting
from tests.integration.tables import rows
from tests.lxd_double import FakeLxd
from tests.unit.test_host_certificates import small_pair
from tests.waiting import eventually


@pytest.mark.same_sql
@pytest.mark.parametrize("lost", [[], ["trust"], ["trust!"], ["reach"], ["untrust"], ["untrust!"], ["trust!", "reach"]])
async def test_a_rotation_ends_with_one_new_certificate_wherever_it_is_interrupted(
    tmp_path: Path, database_url: str, lxds: Lxds, lost: list[str]
) -> None:
    async with trusting(tmp_path, database_url, lxds) as (innkeeper, server, host):
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
    async with trusting(tmp_path, database_url, lxds) as (innkeeper, server, host):
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
    async with trusting(tmp_path, database_url, lxds) as (innkeeper, server, host):
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
