"""Completion in real shells, against a region that answers, hangs or is gone."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.ports import stop_listening
from tests.unit.command.processes import INNKEEPER, Cli, Ran, finished, spawned
from tests.unit.support.cli_region import HOST, MACHINE, Region, Reply

HOSTS = [HOST, {**HOST, "id": 2, "name": "west"}]
LIST = "GET vm-hosts/"
# As in `a_region`, the program is a shell script whose name completion is bound to.
BASH = """
source <(innkeeper completion bash)
COMP_LINE={line!r} COMP_POINT=${{#COMP_LINE}} COMP_WORDS=(innkeeper) COMP_CWORD=1
_innkeeper; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# `compadd` works only in zsh's line editor; here it prints the words that the function passes.
ZSH = """
compdef() {{ }}
compadd() {{ print -rl -- "${{(@P)@[-1]}}" }}
source <(innkeeper completion zsh)
words=({words}) CURRENT=$#words PREFIX=$words[-1]
_innkeeper
"""


@pytest.fixture
def path(home: Path) -> str:
    folder = home / "bin"
    folder.mkdir()
    (folder / "innkeeper").write_text(f'#!/bin/sh\nexec {" ".join(INNKEEPER)} "$@"\n')
    (folder / "innkeeper").chmod(0o755)
    return f"{folder}:{Path(sys.executable).parent}:/usr/bin:/bin"


@pytest.fixture
def region_with_hosts(region: Region, logged_in: Cli) -> Region:
    region.answers[LIST] = [Reply(200, HOSTS)]
    region.answers["GET machines/"] = [Reply(200, [MACHINE])]
    return region


async def in_bash(home: Path, path: str, line: str) -> list[str]:
    ran = await finished(await spawned(home, "bash", "--norc", "-c", BASH.format(line=line), PATH=path))
    assert ran.err == ""
    return ran.out.split()


async def completed(home: Path, path: str, line: str) -> Ran:
    return await finished(await spawned(home, "innkeeper", "__complete", "line", line, PATH=path))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("innkeeper vm-host re", ["read", "refresh"]),
        ("innkeeper vm-host read w", ["west"]),
        ("innkeeper vm-host read ", ["local", "west", "1", "2"]),
        ("innkeeper vm-host compose west mem", ["memory="]),
        ("innkeeper completion z", ["zsh"]),
        ("innkeeper machines read --filter=host", ["hostname="]),
    ],
)
async def test_bash_completes(region_with_hosts: Region, home: Path, path: str, line: str, expected: list[str]) -> None:
    assert await in_bash(home, path, line) == expected


async def test_objects_are_cached_for_the_next_key_presses(region_with_hosts: Region, home: Path, path: str) -> None:
    for _ in range(3):
        assert "west\t2" in (await completed(home, path, "innkeeper vm-host read ")).out
    assert [seen.path for seen in region_with_hosts.seen] == ["vm-hosts/"]
    (cached,) = (home / ".cache/innkeeper").iterdir()
    assert cached.stat().st_mode & 0o777 == 0o600


async def test_a_region_that_is_gone_delays_and_prints_nothing(
    region_with_hosts: Region, home: Path, path: str
) -> None:
    await stop_listening(region_with_hosts.port)
    assert await completed(home, path, "innkeeper vm-host read ") == Ran(0, "", "")
    region_with_hosts.start()


async def test_a_region_that_hangs_does_not_hang_the_shell(logged_in: Cli, home: Path, path: str) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    profiles = home / ".config/innkeeper/profiles.json"
    port = server.sockets[0].getsockname()[1]
    text = profiles.read_text()
    url = text.partition('"url": "')[2].partition('"')[0]
    profiles.write_text(text.replace(url, f"http://127.0.0.1:{port}/MAAS/api/2.0/"))
    assert await completed(home, path, "innkeeper vm-host read ") == Ran(0, "", "")  # ends: a request has 300 s
    server.close()


@pytest.mark.parametrize("content", ["{", '{"profiles": 3}', '{"profiles": {"admin": {"url": "x", "key": "y"}}}'])
async def test_damaged_profiles_do_not_appear_in_the_prompt(home: Path, path: str, content: str) -> None:
    (home / ".config/innkeeper").mkdir(parents=True)
    (home / ".config/innkeeper/profiles.json").write_text(content)
    ran = await completed(home, path, "innkeeper vm-host read ")
    assert (ran.status, ran.err) == (0, "")


async def test_an_unknown_shell_is_a_usage_error(cli: Cli) -> None:
    ran = await cli("completion", "tcsh")
    assert (ran.status, ran.err) == (2, "usage: innkeeper completion bash|fish|zsh\n")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
async def test_zsh_completes(region_with_hosts: Region, home: Path, path: str) -> None:
    ran = await finished(
        await spawned(home, "zsh", "-f", "-c", ZSH.format(words="innkeeper vm-host read we"), PATH=path)
    )
    assert (ran.out, ran.err) == ("west\n", "")
    ran = await finished(await spawned(home, "zsh", "-f", "-c", ZSH.format(words="innkeeper vm-host re"), PATH=path))
    assert (ran.out, ran.err) == ("read\nrefresh\n", "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
async def test_fish_completes(region_with_hosts: Region, home: Path, path: str) -> None:
    script = 'innkeeper completion fish | source; complete -C "innkeeper vm-host read we"'
    ran = await finished(await spawned(home, "fish", "--no-config", "-c", script, PATH=path))
    assert (ran.out, ran.err) == ("west\t2\n", "")
