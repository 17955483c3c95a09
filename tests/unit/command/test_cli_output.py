"""The command as a separate process with a real HTTP server: its output on a terminal and in a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.command.processes import INNKEEPER, Cli, in_shell, on_terminal, spawned
from tests.unit.support.cli_region import HOST, KEY, MACHINE, Region, Reply, operation

OTHER = {**MACHINE, "hostname": "next-fox"}
LONG = f"On that server: lxc config trust add {'x' * 100} --name innkeeper"


async def test_a_table_can_be_requested_without_a_terminal(logged_in: Cli) -> None:
    ran = await logged_in("admin", "vm-hosts", "read", "--table")
    head, row = [line for line in ran.out.splitlines() if line.strip()]
    assert head.split() == ["id", "name", "type", "cores", "memory", "GiB", "storage", "GB", "tags"]
    assert row.split()[:6] == ["1", "local", "virsh", "1/4", "1.0/8.0", "40/100"]


async def test_a_terminal_gets_a_table_or_on_request_json(logged_in: Cli, home: Path) -> None:
    table = (await on_terminal(home, "admin", "machines", "read")).out
    assert "system id" in table
    assert "kind-fox" in table
    assert (await on_terminal(home, "admin", "machines", "read", "--json")).plain[0]["hostname"] == "kind-fox"


@pytest.mark.slow
async def test_a_terminal_shows_the_progress_of_an_operation(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    waits = operation("waiting", wait_reason=f"It waits for host west, which is unreachable. {LONG}")
    region.give("GET operations/7/", *[operation("running")] * 3, waits, operation("succeeded"))
    seen = (await on_terminal(home, "admin", "vm-host", "compose", "1", "--json")).out
    assert "Operation 7 composes abc123 on its host.\n" in seen
    assert "running: create_volumes, 0 s" in seen
    assert f"It waits for host west, which is unreachable. {LONG}\n" in seen
    assert '"hostname": "kind-fox"' in seen


async def test_a_key_typed_at_a_prompt_is_not_echoed(region: Region, home: Path) -> None:
    seen = (
        await on_terminal(home, "login", "admin", region.url, given={"API key): ": "\n", "API key: ": KEY + "\n"})
    ).out
    assert "Logged in to" in seen
    assert KEY not in seen


async def test_a_closed_output_pipe_is_not_an_error(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("GET vm-hosts/", Reply(200, ["x" * 100] * 20_000))
    ran = await in_shell(home, "innkeeper admin vm-hosts read | head -1")
    assert (ran.out, ran.err) == ("[\n", "")


async def test_a_narrow_terminal_names_the_columns_it_lacks(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("GET vm-hosts/", Reply(200, [{**HOST, "address": "https://" + "h" * 90, "error": {"message": LONG}}]))
    ran = await on_terminal(home, "admin", "vm-hosts", "read")
    assert f"error: {LONG}\n" in ran.out
    assert "Not shown, since the terminal is too narrow: address." in ran.out
    assert "--all or --json shows them" in ran.out


async def test_columns_select_and_sort_json_in_a_pipe(logged_in: Cli, region: Region) -> None:
    region.give("GET vm-hosts/", Reply(200, [{**HOST, "name": "b"}, {**HOST, "name": "a", "id": 2}]))
    ran = await logged_in("admin", "vm-hosts", "read", "--columns", "name,id", "--sort", "name")
    assert ran.plain == [{"name": "a", "id": 2}, {"name": "b", "id": 1}]
    ran = await logged_in("admin", "vm-hosts", "read", "--columns", "nme")
    assert (ran.status, ran.out) == (2, "")
    assert "Did you mean name?" in ran.err


async def test_watch_redraws_until_it_is_interrupted(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("GET machines/", Reply(200, [MACHINE]), Reply(503, text="starting"), Reply(200, [OTHER]))
    process = await spawned(
        home, "script", "-qec", f"{' '.join(INNKEEPER)} admin machines read --watch=0.1", "/dev/null"
    )
    assert process.stdin is not None
    assert process.stdout is not None
    seen = b""
    for text in (b"machines read, every 0.1 s", b"kind-fox", b"starting", b"next-fox"):
        seen += await process.stdout.readuntil(text)
    process.stdin.write(b"\x03")
    seen += await process.stdout.read()
    assert await process.wait() == 130
    process.stdin.close()
    assert seen.rindex(b"\x1b[?1049l") > seen.rindex(b"\x1b[?1049h")  # the screen is given back
    assert b"next-fox" in seen[seen.rindex(b"\x1b[?1049l") :]


async def test_watch_needs_a_terminal_and_a_read(logged_in: Cli, region: Region, home: Path) -> None:
    ran = await logged_in("admin", "machines", "read", "--watch")
    assert (ran.status, ran.err) == (2, "--watch needs a terminal: standard output is none.\n")
    ran = await on_terminal(home, "admin", "vm-host", "refresh", "1", "--watch")
    assert (ran.status, region.requests_to("POST vm-hosts/1/?op=refresh")) == (2, [])
    assert "vm-host refresh changes something" in ran.out


async def test_a_wrong_column_does_not_hide_what_a_command_did(logged_in: Cli, region: Region) -> None:
    region.give("POST vm-hosts/1/?op=compose", Reply(200, MACHINE))
    ran = await logged_in("admin", "vm-host", "compose", "1", "--columns", "hostname,bogus")
    assert (ran.status, ran.plain) == (0, MACHINE)
    assert "The command has been carried out; its whole result is shown." in ran.err
    assert "no column 'bogus'" in ran.err
