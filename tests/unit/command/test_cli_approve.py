"""`innkeeper region approve`: what is shown, who is asked, and what is sent."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from pathlib import Path

from attrs import evolve

from regiond.api.encoding.differences import encode_difference
from regiond.reconciler.model import By
from tests.unit.api_samples import MENDED, STANDING
from tests.unit.cli_region import Region, Reply
from tests.unit.command.processes import RUN_S, Cli

ASKED = evolve(STANDING, difference=evolve(STANDING.difference, mended_by=By.APPROVAL))
DIFFERENCE = encode_difference(ASKED)
DONE = encode_difference(evolve(MENDED, difference=ASKED.difference))
APPROVE = "POST differences/3/?op=approve"


def give(region: Region) -> None:
    region.give("GET differences/3/", Reply(200, DIFFERENCE))
    region.give(APPROVE, Reply(200, DONE))


async def test_with_yes_it_is_shown_and_done_without_asking(logged_in: Cli, region: Region) -> None:
    give(region)
    ran = await logged_in("region", "approve", "3", "--yes")
    assert (ran.status, json.loads(ran.out)) == (0, DONE)
    for text in ("found: no guest", "remedy: bring it back", "Data may be lost"):
        assert text in ran.err
    (sent,) = region.asked(APPROVE)
    assert sent.form == [("etag", DIFFERENCE["etag"]), ("found", "no guest")]


async def test_where_nobody_can_be_asked_nothing_is_done(logged_in: Cli, region: Region) -> None:
    give(region)
    ran = await logged_in("region", "approve", "3")
    assert ran.status == 2
    assert "--yes approves without asking" in ran.err
    assert region.asked(APPROVE) == []


async def typed(home: Path, text: str) -> tuple[int | None, str]:
    """What a person at a terminal gets who types that."""
    keyboard, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "innkeeper", "region", "approve", "3",
        stdin=terminal, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"},
    )  # fmt: skip
    os.write(keyboard, text.encode())
    async with asyncio.timeout(RUN_S):
        out, _ = await process.communicate()
    os.close(keyboard)
    os.close(terminal)
    return process.returncode, out.decode()


async def test_a_person_is_asked_and_only_a_whole_yes_agrees(logged_in: Cli, home: Path, region: Region) -> None:
    give(region)
    status, told = await typed(home, "y\n")
    assert (status, region.asked(APPROVE)) == (1, [])
    assert "Type yes to approve it" in told
    assert "Nothing was done." in told
    status, told = await typed(home, "yes\n")
    assert (status, len(region.asked(APPROVE))) == (0, 1)
    assert "it was gone: it is back" in told


async def test_what_was_mended_before_is_told_and_nothing_is_asked(logged_in: Cli, region: Region) -> None:
    region.give("GET differences/3/", Reply(200, DONE))
    ran = await logged_in("region", "approve", "3")
    assert (ran.status, json.loads(ran.out)) == (0, DONE)
    assert region.asked(APPROVE) == []


async def test_what_is_another_by_then_or_only_told_is_refused(logged_in: Cli, region: Region) -> None:
    give(region)
    region.give(APPROVE, Reply(409, text="Difference 3 is another by now, and nothing was done."))
    ran = await logged_in("region", "approve", "3", "--yes")
    assert (ran.status, ran.out) == (1, "")
    assert "another by now" in ran.err
    region.give("GET differences/3/", Reply(200, encode_difference(STANDING)))
    ran = await logged_in("region", "approve", "3", "--yes")
    assert ran.status == 1
    assert "it is only told" in ran.err
    for words in (("approve",), ("approve", "three"), ("approve", "3", "4")):
        assert (await logged_in("region", *words)).status == 2
