"""The command as a separate process with a real HTTP server: its output on a terminal and in a pipe."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.unit.cli_region import KEY, Region, Reply, operation
from tests.unit.command.processes import RUN_S, Cli, finished

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


async def test_a_table_can_be_requested_without_a_terminal(logged_in: Cli) -> None:
    ran = await logged_in("admin", "vm-hosts", "read", "--table")
    head, row = [line for line in ran.out.splitlines() if line.strip()]
    assert head.split() == ["id", "name", "type", "cores", "memory", "GiB", "storage", "GB", "pool", "zone"]
    assert row.split()[:6] == ["1", "local", "virsh", "1/4", "1.0/8.0", "40/100"]


async def test_a_terminal_gets_a_table_or_on_request_json(logged_in: Cli, home: Path) -> None:
    table = await _on_terminal(home, "admin", "machines", "read")
    assert "system id" in table
    assert "kind-fox" in table
    assert json.loads(await _on_terminal(home, "admin", "machines", "read", "--json"))[0]["hostname"] == "kind-fox"


async def test_a_terminal_shows_the_progress_of_an_operation(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    region.give("GET operations/7/", *[operation("running")] * 3, operation("succeeded"))
    seen = await _on_terminal(home, "admin", "vm-host", "compose", "1", "--wait", "--json")
    assert "running: create_volumes, 0 s" in seen
    assert '"hostname": "kind-fox"' in seen


async def test_a_key_typed_at_a_prompt_is_not_echoed(region: Region, home: Path) -> None:
    seen = await _on_terminal(home, "login", "admin", region.url, given={"API key: ": KEY + "\n"})
    assert "Logged in to" in seen
    assert KEY not in seen


async def _on_terminal(home: Path, *words: str, given: Mapping[str, str] | None = None) -> str:
    """The output on a terminal of 80 columns, which `script` creates. Types the value of `given` after each prompt."""
    command = " ".join([sys.executable, "-m", "innkeeper", *words])
    process = await asyncio.create_subprocess_exec(
        "script",
        "-qec",
        command,
        "/dev/null",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm", "COLUMNS": "80"},
    )
    async with asyncio.timeout(RUN_S):
        assert process.stdin is not None
        assert process.stdout is not None
        out = b""
        for prompt, typed in (given or {}).items():
            out += await process.stdout.readuntil(prompt.encode())
            process.stdin.write(typed.encode())
        out += await process.stdout.read()
        process.stdin.close()
        await process.wait()
    return _CONTROL.sub("", out.decode().replace("\r\n", "\n"))


async def test_a_closed_output_pipe_is_not_an_error(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("GET vm-hosts/", Reply(200, ["x" * 100] * 20_000))
    command = f"{sys.executable} -m innkeeper admin vm-hosts read | head -1"
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
    )
    ran = await finished(process)
    assert (ran.out, ran.err) == ("[\n", "")
