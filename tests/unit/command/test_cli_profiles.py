"""The command as a process of its own, against a real HTTP server: where it is logged in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli_region import BASE, KEY, Region, Reply
from tests.unit.command.processes import Cli


async def test_login_keeps_a_key_that_the_region_takes_where_only_its_owner_reads_it(
    cli: Cli, region: Region, home: Path
) -> None:
    ran = await cli("login", "admin", f"{region.url}/MAAS/", KEY)
    assert (ran.status, ran.out) == (0, "")
    assert f"Logged in to {region.url}{BASE} as admin" in ran.err
    kept = home / ".config/innkeeper/profiles.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(kept.read_text())["profiles"]["admin"]["key"] == KEY
    shown = await cli("profiles")
    assert json.loads(shown.out) == [{"name": "admin", "url": f"{region.url}{BASE}"}]
    assert KEY not in shown.out


async def test_a_key_can_come_from_a_file_or_from_standard_input(cli: Cli, region: Region, home: Path) -> None:
    (home / "key").write_text(KEY + "\n")
    assert (await cli("login", "a", region.url, f"@{home / 'key'}")).status == 0
    assert (await cli("login", "b", region.url, "-", given=KEY + "\n")).status == 0
    assert {each["name"] for each in json.loads((await cli("profiles")).out)} == {"a", "b"}


async def test_a_refused_key_is_not_kept_and_not_repeated(cli: Cli, region: Region) -> None:
    ran = await cli("login", "admin", region.url, "consumer:token:wrong")
    assert ran.status == 1
    assert "does not accept this API key" in ran.err
    assert "wrong" not in ran.err
    assert json.loads((await cli("profiles")).out) == []


async def test_a_forgotten_profile_is_gone(logged_in: Cli) -> None:
    assert (await logged_in("logout", "admin")).status == 0
    ran = await logged_in("admin", "vm-hosts", "read")
    assert ran.status == 1
    assert "innkeeper login admin URL KEY" in ran.err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("login", "rack", "http://h", KEY), 1, "that is a command of innkeeper"),
        (("login", "admin", "somewhere", KEY), 1, "http://127.0.0.1:5240/MAAS"),
        (("login", "admin", "http://127.0.0.1:1", "one:two"), 1, "three parts"),
        (("login", "admin"), 2, "usage: innkeeper login PROFILE URL KEY"),
        ((), 2, "usage: innkeeper PROFILE RESOURCE ACTION"),
        (("--jsno",), 2, "Did you mean --json"),
        (("rack", "tokn"), 2, "usage: innkeeper [--profile PROFILE] rack token"),
    ],
)
async def test_what_cannot_be_done_is_told_in_a_sentence(
    cli: Cli, words: tuple[str, ...], status: int, said: str
) -> None:
    ran = await cli(*words)
    assert (ran.status, ran.out) == (status, "")
    assert said in ran.err


async def test_a_region_that_is_not_there_is_named_with_what_to_check(cli: Cli) -> None:
    ran = await cli("login", "admin", "http://127.0.0.1:1", KEY)
    assert ran.status == 1
    assert f"http://127.0.0.1:1{BASE}" in ran.err
    assert "check that the region runs" in ran.err
    assert len(ran.err.splitlines()) == 1


async def test_a_damaged_profiles_file_is_named(cli: Cli, home: Path) -> None:
    kept = home / ".config/innkeeper/profiles.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{")
    ran = await cli("profiles")
    assert ran.status == 1
    assert str(kept) in ran.err


async def test_version_and_help_need_no_region(cli: Cli) -> None:
    assert (await cli("--version")).out.startswith("innkeeper 0.")
    assert (await cli("help")).out.startswith("usage: innkeeper PROFILE RESOURCE ACTION")


async def test_with_several_profiles_and_no_admin_one_must_be_named(cli: Cli, region: Region) -> None:
    for name in ("a", "b"):
        assert (await cli("login", name, region.url, KEY)).status == 0
    ran = await cli("rack", "token")
    assert ran.status == 1
    assert "--profile" in ran.err
    region.give("POST racks/?op=token", Reply(200, {"token": "T"}))
    assert (await cli("--profile", "b", "rack", "token")).out == "T\n"
