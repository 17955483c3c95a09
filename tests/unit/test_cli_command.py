"""The command as people run it: a process of its own, against a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from attrs import frozen
from twisted.internet.defer import Deferred

from common.bridge import from_deferred
from tests.unit.cli_region import BASE, KEY, Region, Reply, action, description, handler
from tests.waiting import eventually, settle

RUN_S = 90.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@frozen
class Ran:
    status: int
    out: str
    err: str


@pytest.fixture
def region() -> Iterator[Region]:
    made = Region()
    made.start()
    yield made
    settle(_stopped(made))


async def _stopped(region: Region) -> None:
    stopped = region.port.stopListening()
    if isinstance(stopped, Deferred):
        await from_deferred(stopped)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


Cli = Callable[..., Awaitable[Ran]]


async def started(home: Path, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "innkeeper",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"},
        start_new_session=True,
    )


async def finished(process: asyncio.subprocess.Process, given: str = "") -> Ran:
    async with asyncio.timeout(RUN_S):
        out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ran(process.returncode, out.decode(), err.decode())


@pytest.fixture
def cli(home: Path) -> Cli:
    async def run(*words: str, given: str = "") -> Ran:
        return await finished(await started(home, *words), given)

    return run


@pytest.fixture
def logged_in(cli: Cli, region: Region) -> Cli:
    async def login() -> None:
        assert (await cli("login", "admin", region.url, KEY)).status == 0

    settle(login())
    region.seen.clear()
    return cli


# Profiles ------------------------------------------------------------------------------------------------------------


async def test_login_keeps_a_key_that_the_region_takes_where_only_its_owner_reads_it(
    cli: Cli, region: Region, home: Path
) -> None:
    ran = await cli("login", "admin", f"{region.url}/MAAS/", KEY)
    assert (ran.status, ran.out) == (0, "")
    assert f"Logged in to {region.url}{BASE} as admin" in ran.err
    kept = home / ".config/innkeeper/profiles.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(kept.read_text())["profiles"]["admin"]["key"] == KEY
    shown = await cli("profiles")
    assert json.loads(shown.out) == [{"name": "admin", "url": f"{region.url}{BASE}"}]
    assert KEY not in shown.out


async def test_a_key_can_come_from_a_file_or_from_standard_input(cli: Cli, region: Region, home: Path) -> None:
    (home / "key").write_text(KEY + "\n")
    assert (await cli("login", "a", region.url, f"@{home / 'key'}")).status == 0
    assert (await cli("login", "b", region.url, "-", given=KEY + "\n")).status == 0
    assert {each["name"] for each in json.loads((await cli("profiles")).out)} == {"a", "b"}


async def test_a_refused_key_is_not_kept_and_not_repeated(cli: Cli, region: Region) -> None:
    ran = await cli("login", "admin", region.url, "consumer:token:wrong")
    assert ran.status == 1
    assert "does not accept this API key" in ran.err
    assert "wrong" not in ran.err
    assert json.loads((await cli("profiles")).out) == []


async def test_a_forgotten_profile_is_gone(logged_in: Cli) -> None:
    assert (await logged_in("logout", "admin")).status == 0
    ran = await logged_in("admin", "vm-hosts", "read")
    assert ran.status == 1
    assert "innkeeper login admin URL KEY" in ran.err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("login", "rack", "http://h", KEY), 1, "that is a command of innkeeper"),
        (("login", "admin", "somewhere", KEY), 1, "http://127.0.0.1:5240/MAAS"),
        (("login", "admin", "http://127.0.0.1:1", "one:two"), 1, "three parts"),
        (("login", "admin"), 2, "usage: innkeeper login PROFILE URL KEY"),
        ((), 2, "usage: innkeeper PROFILE RESOURCE ACTION"),
        (("--jsno",), 2, "Did you mean --json"),
        (("rack", "tokn"), 2, "usage: innkeeper [--profile PROFILE] rack token"),
    ],
)
async def test_what_cannot_be_done_is_told_in_a_sentence(
    cli: Cli, words: tuple[str, ...], status: int, said: str
) -> None:
    ran = await cli(*words)
    assert (ran.status, ran.out) == (status, "")
    assert said in ran.err


async def test_a_region_that_is_not_there_is_named_with_what_to_check(cli: Cli) -> None:
    ran = await cli("login", "admin", "http://127.0.0.1:1", KEY)
    assert ran.status == 1
    assert f"http://127.0.0.1:1{BASE}" in ran.err
    assert "check that the region runs" in ran.err
    assert len(ran.err.splitlines()) == 1


async def test_a_damaged_profiles_file_is_named(cli: Cli, home: Path) -> None:
    kept = home / ".config/innkeeper/profiles.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{")
    ran = await cli("profiles")
    assert ran.status == 1
    assert str(kept) in ran.err


async def test_version_and_help_need_no_region(cli: Cli) -> None:
    assert (await cli("--version")).out.startswith("innkeeper 0.")
    assert (await cli("help")).out.startswith("usage: innkeeper PROFILE RESOURCE ACTION")


# Calls ---------------------------------------------------------------------------------------------------------------


async def test_the_storage_pools_of_a_host_can_be_cut_out_with_jq(logged_in: Cli) -> None:
    ran = await logged_in("admin", "vm-host", "read", "1")
    wanted = ("name", "type", "path", "total", "used", "available")
    rows = [[pool[key] for key in wanted] for pool in json.loads(ran.out)["storage_pools"]]
    assert rows == [["default", "dir", "/var/pool", 100, 40, 60], ["fast", "zfs", "/tank", 10, 0, 10]]


async def test_fields_are_sent_as_a_form_and_lists_as_repeated_fields(logged_in: Cli, region: Region) -> None:
    region.give("POST vm-hosts/1/?op=compose", Reply(200, {"system_id": "abc123"}))
    ran = await logged_in(
        "admin", "vm-host", "compose", "1", "cores=2", "pinned_cores=1", "pinned_cores=2", "hostname=ä &="
    )
    assert json.loads(ran.out) == {"system_id": "abc123"}
    (sent,) = region.asked("POST vm-hosts/1/?op=compose")
    assert sent.form == [("cores", "2"), ("pinned_cores", "1"), ("pinned_cores", "2"), ("hostname", "ä &=")]
    assert "prefer" not in sent.headers


async def test_arguments_of_reads_and_deletions_go_into_the_query(logged_in: Cli, region: Region) -> None:
    region.give("DELETE vm-hosts/1/?decompose=true", Reply(204))
    ran = await logged_in("admin", "vm-host", "delete", "1", "decompose=true")
    assert (ran.status, ran.out, ran.err) == (0, "", "")


async def test_a_name_is_encoded_as_one_part_of_the_path(logged_in: Cli, region: Region) -> None:
    region.give(f"GET zones/{quote('a/b c', safe='')}/", Reply(200, {"name": "a/b c"}))
    assert json.loads((await logged_in("admin", "zone", "read", "a/b c")).out) == {"name": "a/b c"}


async def test_a_value_is_taken_from_a_file_as_text_or_as_bytes(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("POST files/", Reply(200, {}))
    (home / "text").write_text("zwei\nZeilen")
    (home / "bytes").write_bytes(b"\xff\x00\r\n--x")
    assert (await logged_in("admin", "files", "create", f"file@={home / 'text'}")).status == 0
    assert (await logged_in("admin", "files", "create", f"file@={home / 'bytes'}")).status == 0
    first, second = region.asked("POST files/")
    assert first.form == [("file", "zwei\nZeilen")]
    assert second.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"\r\nContent-Type: application/octet-stream\r\n\r\n\xff\x00\r\n--x\r\n--' in second.body
    missing = await logged_in("admin", "files", "create", "file@=/nowhere")
    assert (missing.status, missing.err) == (1, "file: /nowhere cannot be read: No such file or directory.\n")


async def test_a_refusal_lists_each_field_on_a_line(logged_in: Cli, region: Region) -> None:
    errors = {"cores": ["Enter a whole number."], "__all__": ["Too much at once."]}
    region.give("POST vm-hosts/1/?op=compose", Reply(400, errors))
    ran = await logged_in("admin", "vm-host", "compose", "1", "cores=x")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines() == ["The request was refused:", "  cores: Enter a whole number.", "  Too much at once."]


@pytest.mark.parametrize("status", [400, 403, 404, 409, 500, 503])
async def test_the_servers_own_words_are_shown_and_nothing_is_sent_twice(
    logged_in: Cli, region: Region, status: int
) -> None:
    refusal = Reply(status, text="memory: 4096 MiB asked, 2100 left", headers={"Retry-After": "1"})
    region.give("POST vm-hosts/1/?op=compose", refusal)
    ran = await logged_in("admin", "vm-host", "compose", "1")
    assert (ran.status, ran.out, ran.err) == (1, "", "memory: 4096 MiB asked, 2100 left\n")
    assert len(region.asked("POST vm-hosts/1/?op=compose")) == 1


async def test_a_misspelt_resource_suggests_the_right_one(logged_in: Cli) -> None:
    ran = await logged_in("admin", "vmhosts", "read")
    assert (ran.status, ran.out) == (2, "")
    assert "Did you mean vm-hosts" in ran.err


async def test_a_misspelt_field_is_doubted_and_sent(logged_in: Cli, region: Region) -> None:
    region.give("POST vm-hosts/1/?op=compose", Reply(200, {}))
    ran = await logged_in("admin", "vm-host", "compose", "1", "core=2")
    assert (ran.status, ran.err) == (0, "note: 'core' is not a documented field; did you mean 'cores'?\n")


async def test_help_of_an_action_shows_its_fields(logged_in: Cli, region: Region) -> None:
    ran = await logged_in("admin", "vm-host", "compose", "--help")
    assert ":param cores: int: how many cores." in ran.out
    assert not region.seen


async def test_a_command_that_the_region_has_learnt_since_is_found(logged_in: Cli, region: Region) -> None:
    racks = handler("RacksHandler", "racks/", action("read", "GET"))
    region.described = description(extra=(racks,), stamp="2" * 40)
    region.give("GET racks/", Reply(200, []))
    assert (await logged_in("admin", "racks", "read")).out == "[]\n"


async def test_a_changed_description_is_fetched_once_and_kept(logged_in: Cli, region: Region) -> None:
    region.described = description(stamp="2" * 40)
    assert (await logged_in("admin", "vm-hosts", "read")).status == 0
    assert (await logged_in("admin", "vm-hosts", "read")).status == 0
    assert len(region.asked("GET describe/")) == 1


# Waiting -------------------------------------------------------------------------------------------------------------


def operation(state: str, **more: object) -> Reply:
    plain = {"id": 7, "kind": "compose", "state": state, "step": "create_volumes", "system_id": "abc123", **more}
    accepted = state == "queued"
    return Reply(202 if accepted else 200, plain, headers={"Location": f"{BASE}operations/7/"} if accepted else {})


async def test_wait_follows_the_operation_and_prints_what_it_made(logged_in: Cli, region: Region) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    region.give("GET operations/7/", operation("running"), Reply(503, text="starting"), operation("succeeded"))
    ran = await logged_in("admin", "vm-host", "compose", "1", "--wait")
    assert (ran.status, ran.err) == (0, "")
    assert json.loads(ran.out)["hostname"] == "kind-fox"
    assert region.asked("POST vm-hosts/1/?op=compose")[0].headers["prefer"] == "respond-async"


async def test_no_wait_prints_the_operation(logged_in: Cli, region: Region) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    ran = await logged_in("admin", "vm-host", "compose", "1", "--no-wait")
    assert json.loads(ran.out)["id"] == 7
    assert not region.asked("GET operations/7/")


async def test_wait_ends_with_the_operations_own_error(logged_in: Cli, region: Region) -> None:
    error = {"code": "driver_failed", "message": "no space left", "details": {"fields": 3}}
    failed = operation("failed", error=error, undone=["volume a"])
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    region.give("GET operations/7/", failed)
    ran = await logged_in("admin", "vm-host", "compose", "1", "--wait")
    assert (ran.status, ran.out, ran.err) == (1, "", "no space left\n  undone: volume a\n")


async def test_wait_prints_the_answer_of_what_is_no_operation(logged_in: Cli) -> None:
    assert json.loads((await logged_in("admin", "vm-hosts", "read", "--wait")).out)[0]["name"] == "local"


async def test_an_answer_that_came_too_late_says_where_it_goes_on(logged_in: Cli, region: Region) -> None:
    late = Reply(504, text="Operation 7 goes on.", headers={"Location": f"{BASE}operations/7/"})
    region.give("POST vm-hosts/1/?op=compose", late)
    ran = await logged_in("admin", "vm-host", "compose", "1")
    assert ran.status == 1
    assert "innkeeper admin operation read 7" in ran.err


async def test_an_interrupted_wait_says_that_the_operation_goes_on(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    region.give("GET operations/7/", operation("running"))
    process = await started(home, "admin", "vm-host", "compose", "1", "--wait")
    await eventually(lambda: region.asked("GET operations/7/"))
    process.send_signal(signal.SIGINT)
    ran = await finished(process)
    assert (ran.status, ran.out) == (130, "")
    assert ran.err == "Operation 7 goes on; look at it with: innkeeper admin operation read 7\n"


# Membership ----------------------------------------------------------------------------------------------------------


async def test_a_racks_token_stands_alone_on_standard_output(logged_in: Cli, region: Region) -> None:
    region.give("POST racks/?op=token", Reply(200, {"token": "TOKEN-TEXT"}))
    ran = await logged_in("rack", "token")
    assert (ran.status, ran.out) == (0, "TOKEN-TEXT\n")
    assert "rackd join" in ran.err


async def test_an_rpc_clients_files_are_private_and_never_overwritten(
    logged_in: Cli, region: Region, home: Path
) -> None:
    made = {"certificate": "CERT", "key": "SECRET", "authority": "CA", "address": "127.0.0.1:5250"}
    region.give("POST rpc-clients/", Reply(200, made))
    folder = home / "made" / "here"
    ran = await logged_in("client", "issue", "robot", "--to", str(folder))
    assert ran.status == 0
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "certificate.pem": "CERT",
        "key.pem": "SECRET",
        "authority.pem": "CA",
    }
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert "SECRET" not in ran.out + ran.err
    assert region.asked("POST rpc-clients/")[0].form == [("name", "robot")]
    again = await logged_in("client", "issue", "robot", "--to", str(folder))
    assert again.status == 1
    assert "is there already" in again.err
    assert len(region.asked("POST rpc-clients/")) == 1


async def test_with_several_profiles_and_no_admin_one_must_be_named(cli: Cli, region: Region) -> None:
    for name in ("a", "b"):
        assert (await cli("login", name, region.url, KEY)).status == 0
    ran = await cli("rack", "token")
    assert ran.status == 1
    assert "--profile" in ran.err
    region.give("POST racks/?op=token", Reply(200, {"token": "T"}))
    assert (await cli("--profile", "b", "rack", "token")).out == "T\n"


# Output --------------------------------------------------------------------------------------------------------------


async def test_a_table_can_be_had_without_a_terminal(logged_in: Cli) -> None:
    ran = await logged_in("admin", "vm-hosts", "read", "--table")
    head, row = [line for line in ran.out.splitlines() if line.strip()]
    assert head.split() == ["id", "name", "type", "cores", "memory", "GiB", "storage", "GB", "pool", "zone"]
    assert row.split()[:6] == ["1", "local", "virsh", "1/4", "1.0/8.0", "40/100"]


async def test_a_terminal_gets_a_table_and_json_when_asked(logged_in: Cli, home: Path) -> None:
    table = await _on_terminal(home, "admin", "machines", "read")
    assert "system id" in table
    assert "kind-fox" in table
    assert json.loads(await _on_terminal(home, "admin", "machines", "read", "--json"))[0]["hostname"] == "kind-fox"


async def test_a_terminal_sees_how_the_operation_goes(logged_in: Cli, region: Region, home: Path) -> None:
    region.give("POST vm-hosts/1/?op=compose", operation("queued"))
    region.give("GET operations/7/", *[operation("running")] * 3, operation("succeeded"))
    seen = await _on_terminal(home, "admin", "vm-host", "compose", "1", "--wait", "--json")
    assert "running: create_volumes, 0 s" in seen
    assert '"hostname": "kind-fox"' in seen


async def test_a_key_asked_for_on_a_terminal_is_not_shown(region: Region, home: Path) -> None:
    seen = await _on_terminal(home, "login", "admin", region.url, given={"API key: ": KEY + "\n"})
    assert "Logged in to" in seen
    assert KEY not in seen


async def _on_terminal(home: Path, *words: str, given: Mapping[str, str] | None = None) -> str:
    """What the command writes to a terminal of 80 columns, which `script` makes; `given` is typed after each prompt."""
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


async def test_a_reader_that_has_had_enough_is_no_error(logged_in: Cli, region: Region, home: Path) -> None:
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
