"""`innkeeper region check`: the output, and the exit status for monitoring."""

from __future__ import annotations

import json

from regiond.api.serializers.discrepancies import DISCREPANCY_JSON
from tests.unit.command.processes import Cli
from tests.unit.support.api_samples import OPEN_DISCREPANCY, REPAIRED_DISCREPANCY
from tests.unit.support.cli_region import Region, Reply

DISCREPANCY = DISCREPANCY_JSON.encode(OPEN_DISCREPANCY)
REPAIRED = DISCREPANCY_JSON.encode(REPAIRED_DISCREPANCY)
RECENT_REPAIRS = "GET discrepancies/?op=repaired"


async def test_without_discrepancies_the_status_is_0(logged_in: Cli, region: Region) -> None:
    region.give("GET discrepancies/", Reply(200, []))
    region.give(RECENT_REPAIRS, Reply(200, []))
    ran = await logged_in("region", "check")
    assert (ran.status, ran.out, ran.err) == (0, "[]\n", "")
    ran = await logged_in("region", "check", "--table")
    assert (ran.status, ran.out, ran.err) == (0, "", "No discrepancies: the ledger and the hosts agree.\n")


async def test_discrepancies_are_printed_with_status_1(logged_in: Cli, region: Region) -> None:
    region.give("GET discrepancies/?host=4", Reply(200, [DISCREPANCY]))
    ran = await logged_in("region", "check", "host=4")
    assert (ran.status, ran.plain) == (1, [DISCREPANCY])
    region.give(RECENT_REPAIRS, Reply(200, [REPAIRED]))
    ran = await logged_in("region", "check", "host=4", "--table")
    assert ran.status == 1
    assert "machine_missing" in ran.out
    assert "Restore the" in ran.out
    assert "has returned" in ran.out
    assert ran.err == "1 discrepancy, 1 is only reported.\nRepaired within the last day:\n"


async def test_repaired_discrepancies_are_printed_with_status_0(logged_in: Cli, region: Region) -> None:
    region.give(RECENT_REPAIRS, Reply(200, [REPAIRED]))
    ran = await logged_in("region", "repaired")
    assert (ran.status, ran.plain) == (0, [REPAIRED])
    region.give(RECENT_REPAIRS, Reply(403, "Forbidden"))
    assert (await logged_in("region", "repaired")).status == 2


async def test_a_failed_check_is_status_2(cli: Cli, logged_in: Cli, region: Region) -> None:
    region.give("GET discrepancies/", Reply(403, "Forbidden"))
    ran = await logged_in("region", "check")
    assert (ran.status, ran.out) == (2, "")
    region.give("GET discrepancies/", Reply(200, {"no": "list"}))
    assert "older than this command" in (await logged_in("region", "check")).err
    ran = await logged_in("region", "chekc")
    assert (ran.status, ran.err) == (
        2,
        "usage: innkeeper [--profile PROFILE] region check [host=ID] [kind=KIND] [machine=SYSTEM_ID] | "
        "region repaired | region approve ID [--yes] | region audit export [after=ID] | "
        "region admin create [--username NAME]\n",
    )
    assert (await logged_in("logout", "admin")).status == 0
    ran = await cli("region", "check")
    assert ran.status == 2
    assert "innkeeper login" in ran.err


async def test_a_check_of_an_unknown_host_is_status_2(logged_in: Cli, region: Region) -> None:
    region.give("GET discrepancies/?host=99", Reply(400, {"host": ["There is no VM host with the id 99."]}))
    ran = await logged_in("region", "check", "host=99")
    assert (ran.status, ran.out) == (2, "")
    assert "host: There is no VM host with the id 99." in ran.err


async def test_a_misspelt_filter_of_a_check_is_refused(logged_in: Cli, region: Region) -> None:
    ran = await logged_in("region", "check", "hots=9")
    assert ran.status == 2
    assert ran.err.startswith("Unknown field 'hots' of region check. Did you mean 'host'?\nusage: ")
    ran = await logged_in("region", "repaired", "host=9")
    assert (ran.status, ran.err.splitlines()[0]) == (2, "Unknown field 'host' of region repaired. It has no fields.")
    assert not region.seen


async def test_a_damaged_audit_trail_is_status_1(logged_in: Cli, region: Region) -> None:
    region.give("GET discrepancies/", Reply(200, []))
    report = {"first_id": 1, "last_id": 9, "last_hash": "00", "problems": ["Entry 4 was changed."]}
    region.give("GET audit/?op=verify", Reply(200, report))
    ran = await logged_in("region", "check")
    assert (ran.status, ran.out, ran.err) == (1, "[]\n", "The audit trail is damaged. Entry 4 was changed.\n")
    region.give("GET audit/?op=verify", Reply(403, "Forbidden"))
    assert (await logged_in("region", "check")).status == 0


async def test_the_audit_trail_is_exported_page_by_page(logged_in: Cli, region: Region) -> None:
    row = {"id": 8, "at": "2026-11-21T08:00:00+00:00", "content": '{"a":1}', "previous_hash": "00", "hash": "01"}
    region.give("GET audit/?op=export&after=7&limit=1000", Reply(200, [row]))
    region.give("GET audit/?op=export&after=8&limit=1000", Reply(200, []))
    ran = await logged_in("region", "audit", "export", "after=7")
    assert (ran.status, json.loads(ran.out)) == (0, row)
