"""The release of an adopted machine: a person is asked, types its name, and the request says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.command.processes import Cli, on_terminal
from tests.unit.support.cli_region import Region, Reply, action, description, handler

VM = {"name": "mail", "host": "west", "system_id": "abc123", "adopted": True, "power_state": "on", "volumes": []}
PLAN = {
    "name": "mail",
    "confirm": "name",
    "deleted": [],
    "kept": [VM],
    "effects": ["mail was adopted with what it runs. It is running: its release shuts mail down."],
    "confirmed_with": ["release_adopted"],
}
RELEASE = "POST machines/abc123/?op=release"
WORDS = ("admin", "machine", "release", "abc123")
PROMPT = "Type mail to confirm:"
REFUSED = Reply(409, {"code": "wrong_state", "message": "mail was adopted"})


@pytest.fixture
def region_with_adopted(region: Region, logged_in: Cli) -> Region:
    releasing = action(
        "release", "POST", op="release", doc="Release.\n\n:param dry_run: bool\n:param release_adopted: bool",
        destructive=True, dry_run=True,
    )  # fmt: skip
    read = action("read", "GET", doc="List.\n\n:param pool: x")
    region.described = description(
        extra=(
            handler("MachineHandler", "machines/{system_id}/", releasing, params=("system_id",)),
            handler("MachinesHandler", "machines/", read),
        ),
        stamp="2" * 40,
    )
    return region


def sent(region: Region) -> list[list[tuple[str, str]]]:
    """The forms of the releases, without dry runs."""
    forms = [request.form for request in region.requests_to(RELEASE)]
    return [form for form in forms if ("dry_run", "true") not in form]


async def test_the_confirmed_release_says_that_a_person_agreed(home: Path, region_with_adopted: Region) -> None:
    region_with_adopted.give(RELEASE, Reply(200, PLAN))
    ran = await on_terminal(home, *WORDS, given={PROMPT: "mail\n"})
    assert "its release shuts mail down" in ran.out
    assert sent(region_with_adopted) == [[("release_adopted", "true")]]


async def test_another_answer_than_the_name_releases_nothing(home: Path, region_with_adopted: Region) -> None:
    region_with_adopted.give(RELEASE, Reply(200, PLAN))
    ran = await on_terminal(home, *WORDS, given={PROMPT: "yes\n"})
    assert (ran.status, sent(region_with_adopted)) == (1, [])
    assert "Nothing was changed." in ran.out


async def test_yes_and_scripts_do_not_confirm_it(home: Path, logged_in: Cli, region_with_adopted: Region) -> None:
    region_with_adopted.give(RELEASE, REFUSED)
    assert (await on_terminal(home, *WORDS, "--yes")).status != 0
    assert (await logged_in(*WORDS)).status != 0
    assert sent(region_with_adopted) == [[], []]


async def test_of_several_an_adopted_one_needs_its_own_question(home: Path, region_with_adopted: Region) -> None:
    region_with_adopted.give(RELEASE, Reply(200, PLAN))
    region_with_adopted.give("POST machines/b/?op=release", Reply(200, {**PLAN, "name": "b", "confirmed_with": []}))
    ran = await on_terminal(home, *WORDS, "b", given={"Type b to confirm:": "b\n"})
    assert "it needs a confirmation of its own: innkeeper machine release abc123" in ran.out
    assert sent(region_with_adopted) == []
