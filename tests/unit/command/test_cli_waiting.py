"""The command as a separate process with a real HTTP server: how it waits for an operation."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.waiting import eventually
from tests.unit.command.processes import Cli, finished, on_terminal, started
from tests.unit.support.cli_region import BASE, Region, Reply, operation


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
    assert ran.err == ("Operation 7 composes abc123 on its host (queued). See: innkeeper admin operation read 7\n")
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
    assert ran.status == 8
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
    assert ran.err == ("Operation 7 composes abc123 on its host and continues. See: innkeeper admin operation read 7\n")


async def test_a_terminal_waits_by_default_and_a_pipe_does_not(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    region.give("GET operations/7/", operation("succeeded"))
    assert "kind-fox" in (await on_terminal(home, "admin", "vm-host", "compose", "1")).out
    await logged_in("admin", "vm-host", "compose", "1")
    prefers = [one.headers.get("prefer") for one in region.requests_to("POST vm-hosts/1/?op=compose")]
    assert prefers == ["respond-async", "wait=120"]


async def test_a_list_of_operations_is_waited_for(logged_in: Cli, region: Region) -> None:
    queued = {**operation("queued").plain, "resource_uri": f"{BASE}operations/7/"}
    region.give("POST vm-hosts/1/?op=refresh", Reply(200, [{"guest": "web", "operation": queued}]))
    region.give("GET operations/7/", operation("running"), operation("succeeded"))
    ran = await logged_in("admin", "vm-host", "refresh", "1", "--wait")
    assert ran.plain[0]["operation"]["state"] == "succeeded"


async def test_all_operations_of_an_answer_are_waited_for(logged_in: Cli, region: Region) -> None:
    queued = [{**operation("queued").plain, "id": one, "resource_uri": f"{BASE}operations/{one}/"} for one in (7, 8)]
    region.give("DELETE vm-clusters/1", Reply(202, queued))
    region.give("GET operations/7/", operation("running"), operation("succeeded", kind="remove_host", id=7))
    region.give("GET operations/8/", operation("succeeded", kind="remove_host", id=8))
    ran = await logged_in("admin", "vm-cluster", "delete", "1", "--wait", "--yes")
    assert (ran.status, ran.err) == (0, "")
    assert [one["state"] for one in ran.plain] == ["succeeded", "succeeded"]
    ran = await logged_in("admin", "vm-cluster", "delete", "1", "--no-wait", "--yes")
    assert [line.rpartition(" ")[2] for line in ran.err.splitlines()] == ["7", "8"]


async def test_one_failure_of_several_operations_is_the_outcome(logged_in: Cli, region: Region) -> None:
    queued = [{**operation("queued").plain, "id": one, "resource_uri": f"{BASE}operations/{one}/"} for one in (7, 8)]
    error = {"code": "driver_failed", "message": "no space left", "details": {}}
    region.give("DELETE vm-clusters/1", Reply(202, queued))
    region.give("GET operations/7/", operation("failed", kind="remove_host", error=error))
    region.give("GET operations/8/", operation("succeeded", kind="remove_host"))
    ran = await logged_in("admin", "vm-cluster", "delete", "1", "--wait", "--yes")
    assert (ran.status, ran.err) == (1, "no space left\n")
    assert region.requests_to("GET operations/8/")


async def test_a_certificate_that_stays_is_a_note_after_the_wait(logged_in: Cli, region: Region) -> None:
    fate = {"fingerprint": "ab12", "removed": False, "message": "Innkeeper's certificate ab12 stays."}
    region.give("DELETE vm-hosts/1/", operation("queued"))
    ended = operation("succeeded", kind="remove_host", result={"certificate": fate}, request={"keep_trust": False})
    region.give("GET operations/7/", ended)
    ran = await logged_in("admin", "vm-host", "delete", "1", "--wait", "--yes")
    assert (ran.status, ran.err) == (0, "Note: Innkeeper's certificate ab12 stays.\n")
