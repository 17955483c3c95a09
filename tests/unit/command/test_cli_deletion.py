"""Commands that delete: the list of what goes and what stays, the prompt, and the request that is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli_region import Region, Reply
from tests.unit.command.processes import Cli, on_terminal

WEB = {
    "name": "web",
    "host": "west",
    "system_id": "abc123",
    "adopted": False,
    "locked": False,
    "power_state": "on",
    "volumes": [{"name": "ik-1-0", "storage_pool": "default", "size": 8 * 10**9}],
}
ADOPTED = {**WEB, "name": "old-db", "adopted": True, "locked": True}
FOREIGN = {**WEB, "name": "theirs", "system_id": None, "volumes": []}
PLAN = {"name": "west", "deleted": [WEB], "kept": [ADOPTED, FOREIGN]}
DRY_RUN = "DELETE vm-hosts/4/?decompose=true&dry_run=true"
DELETE = "DELETE vm-hosts/4/?decompose=true"
WORDS = ("admin", "vm-host", "delete", "4", "decompose=true")
PROMPT = "Type west to remove it:"


@pytest.fixture
def deletable(logged_in: Cli, region: Region) -> Region:
    region.give(DRY_RUN, Reply(200, PLAN))
    region.give(DELETE, Reply(204))
    return region


async def test_a_deletion_on_a_terminal_lists_what_goes_and_stays(home: Path, deletable: Region) -> None:
    ran = await on_terminal(home, *WORDS, given={PROMPT: "west\n"})
    assert (ran.status, len(deletable.requests_to(DELETE))) == (0, 1)
    for line in (
        "The removal of west deletes 1 VM:",
        "  web (machine on west, power on)",
        "    default/ik-1-0, 8.0 GB",
        "and keeps 2 VMs:",
        "  old-db (adopted machine on west, power on, locked)",
        "  theirs (foreign VM on west, power on)",
    ):
        assert f"{line}\n" in ran.out


@pytest.mark.parametrize("typed", ["", "yes", "West", "west2"])
async def test_anything_but_the_name_deletes_nothing(home: Path, deletable: Region, typed: str) -> None:
    ran = await on_terminal(home, *WORDS, given={PROMPT: f"{typed}\n"})
    assert (ran.status, deletable.requests_to(DELETE)) == (1, [])
    assert "Nothing was changed." in ran.out


async def test_yes_deletes_without_a_prompt(home: Path, deletable: Region) -> None:
    ran = await on_terminal(home, *WORDS, "--yes")
    assert (ran.status, len(deletable.requests_to(DELETE)), deletable.requests_to(DRY_RUN)) == (0, 1, [])


async def test_a_script_is_not_asked(logged_in: Cli, deletable: Region) -> None:
    assert (await logged_in(*WORDS)).status == 0
    assert len(deletable.requests_to(DELETE)) == 1


async def test_a_dry_run_deletes_nothing(logged_in: Cli, deletable: Region) -> None:
    ran = await logged_in(*WORDS, "--dry-run")
    assert (ran.status, ran.plain, deletable.requests_to(DELETE)) == (0, PLAN, [])
    ran = await logged_in(*WORDS, "--dry-run", "--table")
    assert ran.out.startswith("The removal of west deletes 1 VM:\n")


async def test_an_action_without_a_dry_run_is_refused_one(logged_in: Cli, region: Region) -> None:
    ran = await logged_in("admin", "vm-host", "refresh", "4", "--dry-run")
    assert (ran.status, region.seen) == (2, [])
    assert "vm-host refresh has no dry run." in ran.err
