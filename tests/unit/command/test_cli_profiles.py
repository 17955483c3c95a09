"""The command as a separate process with a real HTTP server: login, logout and stored profiles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.release import running_release
from tests.unit.command.processes import Cli
from tests.unit.support.cli_region import BASE, KEY, Region, Reply


async def test_login_stores_an_accepted_key_readable_by_its_owner_only(cli: Cli, region: Region, home: Path) -> None:
    ran = await cli("login", "admin", f"{region.url}/MAAS/", KEY)
    assert (ran.status, ran.out) == (0, "")
    assert f"Logged in to {region.url}{BASE} as admin" in ran.err
    profiles = home / ".config/innkeeper/profiles.json"
    assert profiles.stat().st_mode & 0o777 == 0o600
    assert json.loads(profiles.read_text())["profiles"]["admin"]["key"] == KEY
    shown = await cli("profiles")
    assert shown.plain == [{"name": "admin", "url": f"{region.url}{BASE}", "default": True}]
    assert KEY not in shown.out


async def test_a_key_is_read_from_a_file_or_standard_input(cli: Cli, region: Region, home: Path) -> None:
    (home / "key").write_text(KEY + "\n")
    assert (await cli("login", "a", region.url, f"@{home / 'key'}")).status == 0
    assert (await cli("login", "b", region.url, "-", given=KEY + "\n")).status == 0
    assert {each["name"] for each in (await cli("profiles")).plain} == {"a", "b"}


async def test_a_rejected_key_is_neither_stored_nor_printed(cli: Cli, region: Region) -> None:
    ran = await cli("login", "admin", region.url, "consumer:token:wrong")
    assert ran.status == 3
    assert "rejected this API key" in ran.err
    assert "wrong" not in ran.err
    assert (await cli("profiles")).plain == []


async def test_logout_deletes_the_profile(logged_in: Cli) -> None:
    assert (await logged_in("logout", "admin")).status == 0
    ran = await logged_in("admin", "vm-hosts", "read")
    assert ran.status == 1
    assert "innkeeper login admin http://" in ran.err


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (("login", "rack", "http://h", KEY), 1, "that is a command of innkeeper"),
        (("login", "admin", "somewhere", KEY), 1, "http://127.0.0.1:5240/MAAS"),
        (("login", "admin", "http://127.0.0.1:1", "one:two"), 1, "three parts"),
        (("login", "admin"), 2, "usage: innkeeper login PROFILE URL [- | @FILE | KEY"),
        ((), 2, "usage: innkeeper [PROFILE] RESOURCE ACTION"),
        (("--jsno",), 2, "Did you mean --json"),
        (("rack",), 2, "usage: innkeeper [--profile PROFILE] rack token"),
    ],
)
async def test_errors_are_printed_as_one_sentence(cli: Cli, words: tuple[str, ...], status: int, expected: str) -> None:
    ran = await cli(*words)
    assert (ran.status, ran.out) == (status, "")
    assert expected in ran.err


@pytest.mark.parametrize("where", ["127.0.0.1:1", "[::1]:1"])
async def test_an_unreachable_region_is_named_with_the_reason(cli: Cli, where: str) -> None:
    ran = await cli("login", "admin", f"http://{where}", KEY)
    assert ran.status == 7
    assert f"Cannot connect to {where}: connection refused" in ran.err
    assert len(ran.err.splitlines()) == 1


async def test_a_damaged_profiles_file_is_named(cli: Cli, home: Path) -> None:
    profiles = home / ".config/innkeeper/profiles.json"
    profiles.parent.mkdir(parents=True)
    profiles.write_text("{")
    ran = await cli("profiles")
    assert ran.status == 1
    assert str(profiles) in ran.err


async def test_version_and_help_need_no_region(cli: Cli) -> None:
    assert (await cli("--version")).out == f"innkeeper {running_release()}\n"
    assert (await cli("help")).out.startswith("usage: innkeeper [PROFILE] RESOURCE ACTION")


async def test_several_profiles_without_admin_require_a_choice(cli: Cli, region: Region) -> None:
    for name in ("a", "b"):
        assert (await cli("login", name, region.url, KEY)).status == 0
    ran = await cli("rack", "token")
    assert ran.status == 1
    assert "--profile" in ran.err
    region.give("POST racks/?op=token", Reply(200, {"token": "T"}))
    assert (await cli("--profile", "b", "rack", "token")).out == "T\n"
