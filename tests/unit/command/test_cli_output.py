"""The command as a separate process with a real HTTP server: its output on a terminal and in a pipe."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli_region import KEY, Region, Reply, operation
from tests.unit.command.processes import Cli, in_shell, on_terminal


async def test_a_table_can_be_requested_without_a_terminal(logged_in: Cli) -> None:
    ran = await logged_in("admin", "vm-hosts", "read", "--table")
    head, row = [line for line in ran.out.splitlines() if line.strip()]
    assert head.split() == ["id", "name", "type", "cores", "memory", "GiB", "storage", "GB", "pool", "zone"]
    assert row.split()[:6] == ["1", "local", "virsh", "1/4", "1.0/8.0", "40/100"]


async def test_a_terminal_gets_a_table_or_on_request_json(logged_in: Cli, home: Path) -> None:
    table = (await on_terminal(home, "admin", "machines", "read")).out
    assert "system id" in table
    assert "kind-fox" in table
    assert (await on_terminal(home, "admin", "machines", "read", "--json")).plain[0]["hostname"] == "kind-fox"


async def test_a_terminal_shows_the_progress_of_an_operation(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    region.give("GET operations/7/", *[operation("running")] * 3, operation("succeeded"))
    seen = (await on_terminal(home, "admin", "vm-host", "compose", "1", "--wait", "--json")).out
    assert "running: create_volumes, 0 s" in seen
    assert '"hostname": "kind-fox"' in seen


async def test_a_key_typed_at_a_prompt_is_not_echoed(region: Region, home: Path) -> None:
    seen = (await on_terminal(home, "login", "admin", region.url, given={"API key: ": KEY + "\n"})).out
    assert "Logged in to" in seen
    assert KEY not in seen


async def test_a_closed_output_pipe_is_not_an_error(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("GET vm-hosts/", Reply(200, ["x" * 100] * 20_000))
    ran = await in_shell(home, "innkeeper admin vm-hosts read | head -1")
    assert (ran.out, ran.err) == ("[\n", "")
