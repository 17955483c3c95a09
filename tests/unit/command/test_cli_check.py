"""`innkeeper region check`: what is printed, and the exit status that a monitor goes by."""

from __future__ import annotations

import json

from regiond.api.encoding.differences import encode_difference
from tests.unit.api_samples import MENDED, STANDING
from tests.unit.cli_region import Region, Reply
from tests.unit.command.processes import Cli

DIFFERENCE = encode_difference(STANDING)
WAS = encode_difference(MENDED)
LATELY = "GET differences/?op=mended"


async def test_no_difference_is_an_empty_list_and_status_0(logged_in: Cli, region: Region) -> None:
    region.give("GET differences/", Reply(200, []))
    region.give(LATELY, Reply(200, []))
    ran = await logged_in("region", "check")
    assert (ran.status, ran.out, ran.err) == (0, "[]\n", "")
    ran = await logged_in("region", "check", "--table")
    assert (ran.status, ran.out, ran.err) == (0, "", "Ledger and hosts agree.\n")


async def test_differences_are_printed_with_status_1(logged_in: Cli, region: Region) -> None:
    region.give("GET differences/?host=4", Reply(200, [DIFFERENCE]))
    ran = await logged_in("region", "check", "host=4")
    assert (ran.status, json.loads(ran.out)) == (1, [DIFFERENCE])
    region.give(LATELY, Reply(200, [WAS]))
    ran = await logged_in("region", "check", "host=4", "--table")
    assert ran.status == 1
    assert "machine_missing" in ran.out
    assert "bring it back" in ran.out
    assert "it is back" in ran.out
    assert ran.err == "1 of 1 are only told.\nMended within the last day:\n"


async def test_what_was_mended_is_printed_with_status_0(logged_in: Cli, region: Region) -> None:
    region.give(LATELY, Reply(200, [WAS]))
    ran = await logged_in("region", "mended")
    assert (ran.status, json.loads(ran.out)) == (0, [WAS])
    region.give(LATELY, Reply(403, "Forbidden"))
    assert (await logged_in("region", "mended")).status == 2


async def test_a_region_that_cannot_be_asked_or_refuses_is_status_2(cli: Cli, logged_in: Cli, region: Region) -> None:
    region.give("GET differences/", Reply(403, "Forbidden"))
    ran = await logged_in("region", "check")
    assert (ran.status, ran.out) == (2, "")
    region.give("GET differences/", Reply(200, {"no": "list"}))
    assert "older than this command" in (await logged_in("region", "check")).err
    ran = await logged_in("region", "chekc")
    assert (ran.status, ran.err) == (
        2,
        "usage: innkeeper [--profile PROFILE] region check [host=ID] [kind=KIND] | region mended | region approve ID "
        "[--yes]\n",
    )
    assert (await logged_in("logout", "admin")).status == 0
    ran = await cli("region", "check")
    assert ran.status == 2
    assert "innkeeper login" in ran.err
