"""A command for several objects: by id or by filter, with a result for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.command.processes import Cli, on_terminal
from tests.unit.support.cli_region import DESTRUCTIVE, Region, Reply, action, description, handler, operation

LISTED = [{"system_id": name, "hostname": f"web-{name}"} for name in ("a", "b", "c")]
GUEST = {
    "name": "web-a", "host": "west", "system_id": "a", "adopted": False, "power_state": "on", "volumes": [],
}  # fmt: skip
PLAN = {"name": "web-a", "confirm": "name", "deleted": [GUEST], "kept": [], "effects": []}
COMPOSE = action(
    "compose", "POST", op="compose", doc="Compose.\n\n:param memory: MiB\n:param pinned_cores: ids\n:param storage: x",
    destructive=False, dry_run=False, formats={"memory": "mib", "pinned_cores": "integers", "storage": "disks_gb"},
)  # fmt: skip


@pytest.fixture
def bulk(region: Region, logged_in: Cli) -> Region:
    machines = action("read", "GET", doc="List.\n\n:param status: x\n:param pool: x")
    region.described = description(
        extra=(
            *DESTRUCTIVE,
            handler("MachinesHandler", "machines/", machines),
            handler("VmHostHandler", "vm-hosts/{id}/", COMPOSE, params=("id",)),
        ),
        stamp="2" * 40,
    )
    for name in ("a", "b", "c"):
        region.give(f"POST machines/{name}/?op=power_off", Reply(200, {"system_id": name}))
        region.give(f"DELETE machines/{name}/?dry_run=true", Reply(200, {**PLAN, "name": f"web-{name}"}))
        region.give(f"DELETE machines/{name}/", Reply(204))
    return region


def results(plain: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(row["object"], row["result"]) for row in plain]


async def test_an_action_runs_for_each_of_several_ids(logged_in: Cli, bulk: Region) -> None:
    ran = await logged_in("admin", "machine", "power-off", "a", "b", "a", "c", "stop_mode=hard")
    assert (ran.status, results(ran.plain)) == (0, [("a", "done"), ("b", "done"), ("c", "done")])
    (request,) = bulk.requests_to("POST machines/a/?op=power_off")
    assert request.form == [("stop_mode", "hard")]


async def test_warnings_name_the_objects_that_they_are_about(logged_in: Cli, bulk: Region) -> None:
    for name in ("a", "c"):
        bulk.give(f"DELETE machines/{name}/", Reply(204, headers={"Warning": '299 - "Its certificate stays."'}))
    ran = await logged_in("admin", "machine", "delete", "a", "b", "c")
    assert (ran.status, ran.err) == (0, "Note: a, c: Its certificate stays.\n")


async def test_notes_of_a_finished_operation_are_printed(logged_in: Cli, bulk: Region) -> None:
    fate = {"removed": False, "message": "Its certificate stays on LXD."}
    for name in ("a", "b"):
        bulk.give(f"DELETE machines/{name}/", Reply(202, {"resource_uri": "/MAAS/api/2.0/operations/7/"}))
    ended = operation("succeeded", kind="remove_host", result={"certificate": fate}, request={})
    bulk.give("GET operations/7/", ended)
    ran = await logged_in("admin", "machine", "delete", "a", "b", "--wait")
    assert (ran.status, ran.err) == (0, "Note: a, b: Its certificate stays on LXD.\n")


async def test_several_that_are_read_are_shown_as_a_list(logged_in: Cli, bulk: Region) -> None:
    bulk.give("GET machines/a/", Reply(200, LISTED[0]))
    bulk.give("GET machines/c/", Reply(200, LISTED[2]))
    ran = await logged_in("admin", "machine", "read", "a", "b", "c")
    assert (ran.status, ran.plain) == (1, [LISTED[0], LISTED[2]])
    assert ran.err == "machine read b is refused: Not Found\n"


async def test_one_that_fails_does_not_stop_the_others(logged_in: Cli, bulk: Region) -> None:
    bulk.give("POST machines/a/?op=power_off", Reply(409, text="web-a is locked."))
    ran = await logged_in("admin", "machine", "power-off", "a", "b", "c")
    assert (ran.status, results(ran.plain)) == (1, [("a", "failed"), ("b", "done"), ("c", "done")])
    assert ran.plain[0]["reason"] == "web-a is locked."
    ran = await logged_in("admin", "machine", "power-off", "a", "b", "--table")
    assert [line.split()[:2] for line in ran.out.splitlines()[1:]] == [["a", "failed"], ["b", "done"]]


async def test_a_filter_selects_by_the_list_of_the_region(logged_in: Cli, bulk: Region) -> None:
    bulk.give("GET machines/?status=ready&pool=x", Reply(200, LISTED[:2]))
    words = ("power-off", "--filter", "status=ready", "--filter", "pool=x")
    ran = await logged_in("admin", "machines", *words)
    assert [(row["object"], row["name"], row["result"]) for row in ran.plain] == [
        ("a", "web-a", "done"), ("b", "web-b", "done"),
    ]  # fmt: skip
    assert (await logged_in("admin", "machine", *words)).plain == ran.plain
    bulk.give("GET machines/?pool=empty", Reply(200, []))
    ran = await logged_in("admin", "machines", "delete", "--filter", "pool=empty")
    assert (ran.status, ran.out, ran.err) == (0, "", "No object of machines matches the filters.\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("machines", "delete", "--filter", "statuss=ready"), "Did you mean 'status'?"),
        (("machines", "delete", "--filter", "pool="), "The filter pool has no value."),
        (("machines", "delete", "--filter", "ready"), "'ready' is not a filter."),
        (("machine", "delete", "a", "--filter", "pool=x"), "Give either --filter or SYSTEM_ID, not both."),
        (("rpc-client", "revoke", "--filter", "name=x"), "the region has no list of it."),
        (("machine", "power-off", "a", "stop_mode"), "'stop_mode' is a field of machine power-off: stop_mode=VALUE"),
        (("machine", "power-off", "a", "b", "--dry-run"), "machine power-off has no dry run."),
    ],
)
async def test_a_mistaken_selection_sends_nothing(
    logged_in: Cli, bulk: Region, words: tuple[str, ...], message: str
) -> None:
    ran = await logged_in("admin", *words)
    assert ran.status == 2
    assert message in ran.err
    assert all(each.path.startswith(("users/", "describe/")) for each in bulk.seen)


async def test_a_bulk_deletion_lists_all_and_asks_once(home: Path, bulk: Region) -> None:
    bulk.give("DELETE machines/c/?dry_run=true", Reply(409, text="web-c is locked."))
    words = ("admin", "machine", "delete", "a", "b", "c")
    prompt = "Type 2, the number of objects, to confirm:"
    ran = await on_terminal(home, *words, given={prompt: "web-a\n"})
    assert (ran.status, bulk.requests_to("DELETE machines/a/")) == (1, [])
    assert "machine delete c is refused: web-c is locked.\n" in ran.out
    ran = await on_terminal(home, *words, given={prompt: "2\n"})
    sent = [len(bulk.requests_to(f"DELETE machines/{name}/")) for name in ("a", "b", "c")]
    assert (ran.status, sent) == (1, [1, 1, 0])


async def test_a_bulk_dry_run_deletes_nothing(logged_in: Cli, bulk: Region) -> None:
    ran = await logged_in("admin", "machine", "delete", "a", "b", "--dry-run")
    assert (ran.status, [row["plan"]["name"] for row in ran.plain]) == (0, ["web-a", "web-b"])
    ran = await logged_in("admin", "machine", "delete", "a", "b", "--dry-run", "--table")
    assert ran.out.startswith("machine delete web-a\n  deletes 1 VM:\n")
    assert bulk.requests_to("DELETE machines/a/") == []


async def test_started_operations_are_waited_for_or_named(logged_in: Cli, bulk: Region) -> None:
    started = Reply(202, {"id": 7, "state": "queued"}, headers={"Location": "/MAAS/api/2.0/operations/7/"})
    bulk.give("POST machines/a/?op=power_off", started)
    bulk.give("POST machines/b/?op=power_off", started)
    failed = {"id": 7, "state": "failed", "error": {"code": "busy", "message": "The host hung."}}
    bulk.give("GET operations/7/", Reply(200, failed))
    ran = await logged_in("admin", "machine", "power-off", "a", "b", "--no-wait")
    assert (ran.status, results(ran.plain)) == (0, [("a", "operation 7"), ("b", "operation 7")])
    ran = await logged_in("admin", "machine", "power-off", "a", "b", "--wait")
    assert (ran.status, [row["reason"] for row in ran.plain]) == (1, ["The host hung."] * 2)


async def test_units_and_ranges_are_converted_before_they_are_sent(logged_in: Cli, bulk: Region) -> None:
    bulk.give("POST vm-hosts/1/?op=compose", Reply(200, {"system_id": "abc123"}))
    words = ("memory=2G", "storage=root:8G,data:1T", "pinned_cores=0-2,5")
    assert (await logged_in("admin", "vm-host", "compose", "1", *words)).status == 0
    (request,) = bulk.requests_to("POST vm-hosts/1/?op=compose")
    pins = [("pinned_cores", core) for core in ("0", "1", "2", "5")]
    assert request.form == [("memory", "2048"), ("storage", "root:8,data:1000"), *pins]
    ran = await logged_in("admin", "vm-host", "compose", "1", "memory=2X")
    assert ran.status == 2
    assert ran.err.startswith("memory=2X: give a number of MiB such as 2048, or with a unit: ")
