"""The command as a separate process with a real HTTP server: its idempotency keys and repeated requests."""

from __future__ import annotations

import signal
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest

from tests.support.waiting import eventually
from tests.unit.command.processes import Cli, finished, started
from tests.unit.support.cli_region import DESTRUCTIVE, LOST, Region, Reply, action, description, handler

COMPOSE = "POST vm-hosts/1/?op=compose"
COMPOSED = Reply(200, {"system_id": "abc123"})
IN_PROGRESS = Reply(409, text="It still runs.", headers={"Retry-After": "1"})


def keys_of(region: Region, what: str) -> list[str | None]:
    return [one.headers.get("idempotency-key") for one in region.requests_to(what)]


async def test_each_change_has_a_new_key_and_a_read_none(logged_in: Cli, region: Region) -> None:
    region.give(COMPOSE, COMPOSED)
    region.give("POST racks/?op=token", Reply(200, {"token": "T", "expires_at": "2026-01-02T02:22:00+00:00"}))
    for words in (("vm-host", "compose", "1"), ("vm-host", "compose", "1"), ("rack", "token"), ("vm-hosts", "read")):
        assert (await logged_in(*words)).status == 0
    first, second = keys_of(region, COMPOSE)
    (third,) = keys_of(region, "POST racks/?op=token")
    assert len({UUID(first), UUID(second), UUID(third)}) == 3
    assert keys_of(region, "GET vm-hosts/") == [None]


async def test_a_script_gives_the_key(logged_in: Cli, region: Region) -> None:
    region.give(COMPOSE, COMPOSED)
    assert (await logged_in("vm-host", "compose", "1", "--idempotency-key", "job-7")).status == 0
    assert (await logged_in("--idempotency-key=job-7", "vm-host", "compose", "1")).status == 0
    assert keys_of(region, COMPOSE) == ["job-7", "job-7"]


async def test_each_of_several_objects_has_a_key_of_its_own(logged_in: Cli, region: Region) -> None:
    region.described = description(extra=DESTRUCTIVE)
    for name in "ab":
        region.give(f"POST machines/{name}/?op=power_off", Reply(200, {}))
    await logged_in("refresh")
    ran = await logged_in("machine", "power-off", "a", "b", "--idempotency-key", "k")
    assert ran.status == 0
    assert keys_of(region, "POST machines/a/?op=power_off") == ["k:machines/a/"]
    assert keys_of(region, "POST machines/b/?op=power_off") == ["k:machines/b/"]


@pytest.mark.parametrize(
    "words", [("machine", "power-off", "a", "b"), ("machines", "power-off", "--filter", "hostname=a")]
)
async def test_a_key_too_long_for_several_objects_is_a_usage_error(
    logged_in: Cli, region: Region, words: tuple[str, ...]
) -> None:
    region.described = description(extra=DESTRUCTIVE)
    await logged_in("refresh")
    ran = await logged_in(*words, "--idempotency-key", "k" * 191)
    assert (ran.status, "--idempotency-key of several objects has at most 190 characters" in ran.err) == (2, True)
    assert {one.path for one in region.seen} <= {"describe/", "users/?op=whoami"}


async def test_two_objects_with_long_names_can_be_changed(logged_in: Cli, region: Region) -> None:
    region.described = description(extra=DESTRUCTIVE)
    await logged_in("refresh")
    names = ["\u6771" * 30 + end for end in "ab"]
    for name in names:
        region.give(f"DELETE zones/{quote(name)}/", Reply(204))
    ran = await logged_in("zone", "delete", *names, "--yes")
    assert ran.status == 0, ran
    keys = {key for name in names for key in keys_of(region, f"DELETE zones/{quote(name)}/")}
    assert [key is not None and len(key) < 255 for key in keys] == [True, True]


async def test_a_region_that_may_ignore_keys_gets_none(logged_in: Cli, region: Region) -> None:
    zones = handler("ZonesHandler", "zones/", action("create", "POST", takes_key=False))
    region.described = description(extra=(zones,), stamp="2" * 40)
    region.give("POST zones/", LOST)
    ran = await logged_in("zones", "create")
    assert (ran.status, keys_of(region, "POST zones/")) == (7, [None])
    ran = await logged_in("zones", "create", "--idempotency-key", "k")
    assert (ran.status, len(region.requests_to("POST zones/"))) == (2, 1)
    assert "zones create takes no --idempotency-key" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("vm-hosts", "read", "--idempotency-key", "k"),
        ("logout", "admin", "--idempotency-key", "k"),
        ("region", "check", "--idempotency-key", "k"),
        ("region", "admin", "create", "--idempotency-key", "k"),
        ("vm-host", "compose", "1", "--idempotency-key", ""),
        ("vm-host", "compose", "1", "--idempotency-key", "ä"),
        ("vm-host", "compose", "1", "--idempotency-key", "a b"),
        ("vm-host", "compose", "1", "--idempotency-key", "k" * 256),
    ],
)
async def test_a_key_that_would_not_be_sent_is_a_usage_error(
    logged_in: Cli, region: Region, words: tuple[str, ...]
) -> None:
    ran = await logged_in(*words)
    assert (ran.status, "--idempotency-key" in ran.err) == (2, True)
    assert {one.path for one in region.seen} <= {"describe/"}


@pytest.mark.parametrize("failure", [LOST, Reply(502, text="no upstream", of_proxy=True), IN_PROGRESS])
async def test_a_lost_answer_is_asked_for_with_the_same_key(logged_in: Cli, region: Region, failure: Reply) -> None:
    region.give(COMPOSE, failure, COMPOSED)
    ran = await logged_in("vm-host", "compose", "1", "cores=2")
    assert (ran.status, ran.plain) == (0, {"system_id": "abc123"})
    assert "The request is sent again in 1 s, with the same idempotency key." in ran.err
    first, second = region.requests_to(COMPOSE)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.form == second.form == [("cores", "2")]


async def test_a_read_is_not_repeated(logged_in: Cli, region: Region) -> None:
    region.give("GET vm-hosts/", LOST)
    ran = await logged_in("vm-hosts", "read")
    assert (ran.status, len(region.requests_to("GET vm-hosts/"))) == (7, 1)
    assert "carried out" not in ran.err


async def test_the_last_error_has_the_option_that_continues(logged_in: Cli, region: Region) -> None:
    region.give(COMPOSE, Reply(503, text="down", headers={"Retry-After": "600"}, of_proxy=True))
    ran = await logged_in("vm-host", "compose", "1")
    (sent,) = region.requests_to(COMPOSE)
    assert ran.status == 7
    assert "POST vm-hosts/1/ was sent and may have been carried out." in ran.err
    assert ran.err.endswith(f"add: --idempotency-key {sent.headers['idempotency-key']}\n")


async def test_a_key_of_another_request_is_a_conflict(logged_in: Cli, region: Region) -> None:
    region.give(COMPOSE, Reply(422, text="The idempotency key 'k' was used for another request (operation 7)."))
    ran = await logged_in("vm-host", "compose", "1", "--idempotency-key", "k")
    assert (ran.status, ran.err) == (5, "The idempotency key 'k' was used for another request (operation 7).\n")


async def test_an_interrupted_change_names_its_key(logged_in: Cli, region: Region, home: Path) -> None:
    region.give(COMPOSE, LOST)
    process = await started(home, "vm-host", "compose", "1")
    await eventually(lambda: region.requests_to(COMPOSE))
    process.send_signal(signal.SIGINT)
    ran = await finished(process)
    assert ran.status == 130
    assert f"--idempotency-key {keys_of(region, COMPOSE)[0]}" in ran.err
