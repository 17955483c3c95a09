"""Commands that delete: the list of what goes and what stays, the prompt, and the request that is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.command.processes import Cli, on_terminal
from tests.unit.support.cli_region import DESTRUCTIVE, Region, Reply, action, description, handler

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
PROMPT = "Type west to confirm:"


@pytest.fixture
def deletable(logged_in: Cli, region: Region) -> Region:
    region.give(DRY_RUN, Reply(200, PLAN))
    region.give(DELETE, Reply(204))
    return region


async def test_a_deletion_on_a_terminal_lists_what_goes_and_stays(home: Path, deletable: Region) -> None:
    ran = await on_terminal(home, *WORDS, given={PROMPT: "west\n"})
    assert (ran.status, len(deletable.requests_to(DELETE))) == (0, 1)
    for line in (
        "vm-host delete west",
        "  deletes 1 VM:",
        "    web (machine on west, power on)",
        "      default/ik-1-0, 8.0 GB",
        "  keeps 2 VMs:",
        "    old-db (adopted machine on west, power on, locked)",
        "    theirs (foreign VM on west, power on)",
    ):
        assert f"{line}\n" in ran.out


async def test_a_plan_without_vms_shows_its_effects_only(home: Path, deletable: Region) -> None:
    effects = ["disk1 (5.0 GB in default) and all data on it are deleted."]
    plan = {"name": "west", "confirm": "name", "deleted": [], "kept": [], "effects": effects}
    deletable.give(DRY_RUN, Reply(200, plan))
    ran = await on_terminal(home, *WORDS, given={PROMPT: "west\n"})
    assert (ran.status, len(deletable.requests_to(DELETE))) == (0, 1)
    assert ran.out.startswith(f"vm-host delete west\n  {effects[0]}\n{PROMPT}")


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
    assert ran.out.startswith("vm-host delete west\n  deletes 1 VM:\n")


@pytest.mark.parametrize("line", ["region approve 3 --yes", "rack token", "client issue ci", "logout admin"])
async def test_a_local_command_is_not_carried_out_as_a_dry_run(logged_in: Cli, region: Region, line: str) -> None:
    ran = await logged_in(*line.split(), "--dry-run")
    assert (ran.status, region.seen) == (2, [])
    assert "has no dry run." in ran.err


async def test_a_rack_is_deleted_by_the_api_although_rack_token_is_local(logged_in: Cli, region: Region) -> None:
    deleting = action("delete", "DELETE", doc="Delete.\n\n:param dry_run: bool", dry_run=True)
    region.described = description(
        extra=(handler("RackHandler", "racks/{id}/", deleting, params=("id",)),), stamp="2" * 40
    )
    assert (await logged_in("refresh")).status == 0
    assert (await logged_in("rack", "delete", "--help")).out.startswith("usage: innkeeper rack delete")
    region.give(
        "DELETE racks/r1/?dry_run=true", Reply(200, {"name": "r1", "confirm": "yes", "deleted": [], "kept": []})
    )
    ran = await logged_in("rack", "delete", "r1", "--dry-run")
    assert (ran.status, ran.plain["name"]) == (0, "r1"), ran.err


async def test_a_dry_run_of_a_compose_that_fits_nowhere_fails(logged_in: Cli, region: Region) -> None:
    placing = action("compose", "POST", op="compose", doc="Compose.\n\n:param dry_run: bool", dry_run=True)
    region.described = description(
        extra=(handler("VmHostHandler", "vm-hosts/{id}/", placing, params=("id",)),), stamp="2" * 40
    )
    assert (await logged_in("refresh")).status == 0
    rejected = [{"host": "west", "reasons": ["needs 1 core, 0 free"], "host_id": 1}]
    region.give("POST vm-hosts/1/?op=compose", Reply(200, {"chosen": None, "rejected": rejected}))
    ran = await logged_in("vm-host", "compose", "1", "--dry-run")
    assert (ran.status, ran.plain["rejected"]) == (1, rejected)
    assert "No host fits: nothing would be composed." in ran.err


@pytest.mark.parametrize("word", ["--dry-run", "dry_run=true", "dry-run=true"])
async def test_an_action_without_a_dry_run_is_refused_one(logged_in: Cli, region: Region, word: str) -> None:
    ran = await logged_in("admin", "vm-host", "refresh", "4", word)
    assert (ran.status, {seen.path for seen in region.seen} - {"describe/"}) == (2, set())
    assert "vm-host refresh has no dry run" in ran.err


MACHINE_PLAN = {"name": "web", "confirm": "name", "deleted": [{**WEB, "addresses": ["10.0.0.7"]}], "kept": []}
ZONE_PLAN = {
    "name": "east",
    "confirm": "yes",
    "deleted": [{"kind": "zone", "id": "5", "name": "east"}],
    "kept": [],
    "effects": ["Members that move to the zone 'west': 1 VM host."],
}


@pytest.fixture
def described(region: Region, logged_in: Cli) -> Region:
    """A region that says which actions are destructive; the stored description is older."""
    region.described = description(extra=DESTRUCTIVE, stamp="2" * 40)
    return region


async def test_a_machine_is_named_before_it_is_destroyed(home: Path, described: Region) -> None:
    described.give("DELETE machines/abc123/?dry_run=true", Reply(200, MACHINE_PLAN))
    described.give("DELETE machines/abc123/", Reply(204))
    words = ("admin", "machine", "delete", "abc123")
    ran = await on_terminal(home, *words, given={"Type web to confirm:": "abc123\n"})
    assert (ran.status, described.requests_to("DELETE machines/abc123/")) == (1, [])
    assert "      address 10.0.0.7\n" in ran.out
    ran = await on_terminal(home, *words, given={"Type web to confirm:": "web\n"})
    assert (ran.status, len(described.requests_to("DELETE machines/abc123/"))) == (0, 1)


async def test_a_post_that_destroys_asks_too(home: Path, described: Region) -> None:
    described.give("POST machines/abc123/?op=release", Reply(200, MACHINE_PLAN))
    ran = await on_terminal(home, "admin", "machine", "release", "abc123", given={"Type web to confirm:": "no\n"})
    (asked,) = described.requests_to("POST machines/abc123/?op=release")
    assert (ran.status, asked.form) == (1, [("dry_run", "true")])


@pytest.mark.parametrize(("typed", "deleted"), [("y", True), ("", False), ("n", False), ("east", False)])
async def test_a_record_is_deleted_after_a_y(home: Path, described: Region, typed: str, deleted: bool) -> None:
    described.give("DELETE zones/east/?dry_run=true", Reply(200, ZONE_PLAN))
    described.give("DELETE zones/east/", Reply(204))
    prompt = {"zone delete: continue? [y/N]": f"{typed}\n"}
    ran = await on_terminal(home, "admin", "zone", "delete", "east", given=prompt)
    assert (ran.status, len(described.requests_to("DELETE zones/east/"))) == ((0, 1) if deleted else (1, 0))
    assert "    zone east (id 5)\n  Members that move to the zone 'west': 1 VM host.\n" in ran.out


async def test_a_destructive_action_without_a_dry_run_asks(home: Path, described: Region) -> None:
    described.give("POST rpc-clients/ci/?op=revoke", Reply(200, {}))
    words = ("admin", "rpc-client", "revoke", "ci")
    ran = await on_terminal(home, *words, given={"rpc-client revoke: continue? [y/N]": "n\n"})
    assert (ran.status, described.requests_to("POST rpc-clients/ci/?op=revoke")) == (1, [])
    assert (await on_terminal(home, *words, "--yes")).status == 0


async def test_an_action_that_destroys_nothing_does_not_ask(home: Path, described: Region) -> None:
    described.give("POST machines/abc123/?op=power_off", Reply(200, {"system_id": "abc123"}))
    assert (await on_terminal(home, "admin", "machine", "power-off", "abc123")).status == 0
