"""`innkeeper region approve`: the shown discrepancy, the prompt, and the request that is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from regiond.api.serializers.discrepancies import DISCREPANCY_JSON
from regiond.reconciler.model import RepairPolicy
from tests.unit.command.processes import Cli, on_terminal
from tests.unit.support.api_samples import OPEN_DISCREPANCY, REPAIRED_DISCREPANCY
from tests.unit.support.cli_region import Region, Reply

NEEDS_APPROVAL = evolve(
    OPEN_DISCREPANCY, discrepancy=evolve(OPEN_DISCREPANCY.discrepancy, repair_policy=RepairPolicy.APPROVAL)
)
DISCREPANCY = DISCREPANCY_JSON.encode(NEEDS_APPROVAL)
DONE = DISCREPANCY_JSON.encode(evolve(REPAIRED_DISCREPANCY, discrepancy=NEEDS_APPROVAL.discrepancy))
APPROVE = "POST discrepancies/3/?op=approve"


def give(region: Region) -> None:
    region.give("GET discrepancies/3/", Reply(200, DISCREPANCY))
    region.give(APPROVE, Reply(200, DONE))


async def test_yes_approves_without_a_prompt(logged_in: Cli, region: Region) -> None:
    give(region)
    ran = await logged_in("region", "approve", "3", "--yes")
    assert (ran.status, ran.plain) == (0, DONE)
    for text in ("found: no guest", "Restore the guest.", "may lose data"):
        assert text in ran.err
    (sent,) = region.requests_to(APPROVE)
    assert sent.form == [("etag", DISCREPANCY["etag"]), ("found", "no guest")]


async def test_without_a_terminal_nothing_is_approved(logged_in: Cli, region: Region) -> None:
    give(region)
    ran = await logged_in("region", "approve", "3")
    assert ran.status == 2
    assert "without a prompt with --yes" in ran.err
    assert region.requests_to(APPROVE) == []


@pytest.mark.slow
async def test_only_a_full_yes_at_the_prompt_approves(logged_in: Cli, home: Path, region: Region) -> None:
    give(region)
    ran = await on_terminal(home, "region", "approve", "3", given={"Restore the guest. Type yes:": "y\n"})
    assert (ran.status, region.requests_to(APPROVE)) == (1, [])
    assert "Nothing was changed." in ran.out
    ran = await on_terminal(home, "region", "approve", "3", given={"Restore the guest. Type yes:": "yes\n"})
    assert (ran.status, len(region.requests_to(APPROVE))) == (0, 1)
    assert "the guest was missing and has returned" in ran.out


async def test_a_repaired_discrepancy_is_shown_without_a_prompt(logged_in: Cli, region: Region) -> None:
    region.give("GET discrepancies/3/", Reply(200, DONE))
    ran = await logged_in("region", "approve", "3")
    assert (ran.status, ran.plain) == (0, DONE)
    assert region.requests_to(APPROVE) == []


async def test_a_changed_or_unrepairable_discrepancy_is_rejected(logged_in: Cli, region: Region) -> None:
    give(region)
    region.give(APPROVE, Reply(409, text="Discrepancy 3 has changed. Nothing was done."))
    ran = await logged_in("region", "approve", "3", "--yes")
    assert (ran.status, ran.out) == (5, "")
    assert "has changed" in ran.err
    region.give("GET discrepancies/3/", Reply(200, DISCREPANCY_JSON.encode(OPEN_DISCREPANCY)))
    ran = await logged_in("region", "approve", "3", "--yes")
    assert ran.status == 5
    assert "has no repair to approve" in ran.err
    for words in (("approve",), ("approve", "three"), ("approve", "3", "4")):
        assert (await logged_in("region", *words)).status == 2
