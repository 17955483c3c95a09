"""The command as a separate process with a real HTTP server: how it waits for an operation."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.unit.cli_region import BASE, Region, Reply, operation
from tests.unit.command.processes import Cli, finished, started
from tests.waiting import eventually


async def test_wait_prints_the_result_of_the_operation(logged_in: Cli, region: Region) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    region.give("GET operations/7/", operation("running"), Reply(503, text="starting"), operation("succeeded"))
    ran = await logged_in("admin", "vm-host", "compose", "1", "--wait")
    assert (ran.status, ran.err) == (0, "")
    assert ran.plain["hostname"] == "kind-fox"
    assert region.requests_to("POST vm-hosts/1/?op=compose")[0].headers["prefer"] == "respond-async"


async def test_no_wait_prints_the_operation(logged_in: Cli, region: Region) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    ran = await logged_in("admin", "vm-host", "compose", "1", "--no-wait")
    assert ran.plain["id"] == 7
    assert not region.requests_to("GET operations/7/")


async def test_wait_ends_with_the_error_of_the_operation(logged_in: Cli, region: Region) -> None:
    error = {"code": "driver_failed", "message": "no space left", "details": {"fields": 3}}
    failed = operation("failed", error=error, undone=["volume a"])
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    region.give("GET operations/7/", failed)
    ran = await logged_in("admin", "vm-host", "compose", "1", "--wait")
    assert (ran.status, ran.out, ran.err) == (1, "", "no space left\n  undone: volume a\n")


async def test_wait_prints_a_response_that_is_not_an_operation(logged_in: Cli) -> None:
    assert (await logged_in("admin", "vm-hosts", "read", "--wait")).plain[0]["name"] == "local"


async def test_a_request_timeout_names_the_operation(logged_in: Cli, region: Region) -> None:
    late = Reply(504, text="Operation 7 continues.", headers={"Location": f"{BASE}operations/7/"})
    region.give("POST vm-hosts/1/?op=compose", late)
    ran = await logged_in("admin", "vm-host", "compose", "1")
    assert ran.status == 1
    assert "innkeeper admin operation read 7" in ran.err


async def test_an_interrupted_wait_says_that_the_operation_continues(
    logged_in: Cli, region: Region, home: Path
) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    region.give("GET operations/7/", operation("running"))
    process = await started(home, "admin", "vm-host", "compose", "1", "--wait")
    await eventually(lambda: region.requests_to("GET operations/7/"))
    process.send_signal(signal.SIGINT)
    ran = await finished(process)
    assert (ran.status, ran.out) == (130, "")
    assert ran.err == "Operation 7 continues. See: innkeeper admin operation read 7\n"
