"""What a read shows first, what `--all`, `--columns` and `--sort` change, and what fits on a narrow terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from innkeeper.arguments import Usage, split_options
from innkeeper.output.list_columns import LISTS
from innkeeper.output.object_lines import OBJECTS
from innkeeper.output.tables import Paper, Rendered, json_text, rendered
from innkeeper.view import View
from regiond.api.serializers.machines import MACHINE_JSON
from tests.unit.support.cli_region import HOST
from tests.unit.support.machine_samples import MACHINE as SAMPLE_MACHINE

COMMAND = "curl -k https://10.1.2.3:8443/1.0 --cert me.pem | lxc config trust add - --name innkeeper"
FULL: dict[str, Any] = {
    **HOST,
    "state": "unreachable",
    "address": "https://10.1.2.3:8443",
    "project": "innkeeper-project",
    "cluster_name": "cloud",
    "cpu_over_commit_ratio": 4.0,
    "memory_over_commit_ratio": 1.0,
    "error": {"code": "not_trusted", "message": f"LXD rejects the certificate. On that server: {COMMAND}"},
}
NARROW = Paper(width=80)


def host(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {**HOST, "id": number, "name": name, **more}


def names(found: Rendered) -> list[str]:
    return [line.split()[0] for line in found.lines[1:]]


def test_the_list_of_hosts_has_the_columns_that_matter() -> None:
    heading = rendered([FULL], "vm-hosts read").lines[0]
    for word in ("state", "address", "project", "cluster", "core ratio", "error", "cores", "memory GiB"):
        assert word in heading
    assert "memory ratio" not in heading  # it is 1


def test_capacity_replaces_used_and_total() -> None:
    share = {"total": 8, "claimable": 6, "claimed": 4, "elsewhere": 0, "free": 2}
    with_capacity = {**HOST, "capacity": {"cores": share, "memory_mib": share, "storage_bytes": share}}
    head, row = rendered([with_capacity], "vm-hosts read", view=View(columns=("free_cores",))).lines
    assert (head, row.strip()) == ("free cores", "2/6")
    assert "1/4" not in rendered([with_capacity], "vm-hosts read").text


def test_a_machine_shows_first_what_a_person_needs() -> None:
    machine = MACHINE_JSON.encode(SAMPLE_MACHINE)
    found = rendered(machine, "machine read", NARROW)
    assert len(found.lines) < 30
    for word in ("hostname", "host ", "status", "power", "owner", "disks", "interfaces"):
        assert word in found.text
    assert "hwe_kernel" not in found.text.replace(" ", "_")
    assert found.notes[-1].startswith("--all shows ")
    assert "hwe kernel" in rendered(machine, "machine read", view=View(all=True)).text


def test_the_disks_of_a_machine_have_size_and_pool() -> None:
    machine = MACHINE_JSON.encode(SAMPLE_MACHINE)
    disk = SAMPLE_MACHINE.disks[0]
    for found in (rendered(machine, "machine read"), rendered(machine["blockdevice_set"], "block-devices read")):
        (line,) = [line for line in found.lines if " sda " in line]
        assert f"{disk.size_bytes / 1e9:.1f}" in line.split()
        assert disk.storage_pool_name in line.split()


def test_a_machine_shows_its_guest_only_under_another_name() -> None:
    machine = {"system_id": "abc123", "hostname": "web-1", "guest_name": "Web_1", "pod": {"name": "west"}}
    assert rendered([machine], "machines read").lines[0].split()[-1] == "guest"
    assert "guest" not in rendered([{**machine, "guest_name": "web-1"}], "machines read").lines[0]


def test_a_narrow_terminal_loses_whole_columns_and_says_which() -> None:
    found = rendered([FULL], "vm-hosts read", NARROW)
    assert max(map(len, found.lines[:2])) <= 80
    assert found.lines[0].split()[:2] == ["id", "name"]
    *_, note = found.notes
    assert "tags" in note
    assert "--all or --json" in note


def test_80_columns_show_how_a_host_is_reached_and_overcommitted() -> None:
    share = {"total": 64, "claimable": 64, "claimed": 14, "elsewhere": 0, "free": 50}
    memory, storage = ({key: value * unit for key, value in share.items()} for unit in (1024, 10**10))
    capacity = {"cores": share, "memory_mib": memory, "storage_bytes": storage}
    found = rendered(
        [{**FULL, "project": "ci", "memory_over_commit_ratio": 1.5, "capacity": capacity}], "vm-hosts read", NARROW
    )
    head, row, error = found.lines
    assert head.split() == ["id", "name", "state", "CPU", "×CPU", "×RAM", "address", "project", "cluster"]
    assert row.split() == ["1", "local", "unreachable", "50/64", "4.00", "1.50", "10.1.2.3:8443", "ci", "cloud"]
    assert error.startswith("    error: LXD rejects")
    meanings, dropped = found.notes
    assert meanings == "CPU = free cores, ×CPU = core ratio, ×RAM = memory ratio."
    assert "--columns" in dropped
    chosen = View(columns=("name", "CPU"))
    assert rendered([{**FULL, "capacity": capacity}], "vm-hosts read", view=chosen).lines[1].split() == [
        "local",
        "50/64",
    ]


def test_a_lone_column_of_prose_needs_no_label() -> None:
    event = {
        "id": 1,
        "at": "2026-11-20T08:30:00Z",
        "level": "INFO",
        "kind": "host_unreachable",
        "description": "x" * 60,
    }
    assert rendered([event], "events query", NARROW).lines[2] == "    " + "x" * 60


def test_a_command_in_an_error_is_never_broken() -> None:
    for plain, command in (([FULL], "vm-hosts read"), (FULL, "vm-host read")):
        lines = rendered(plain, command, NARROW).lines
        assert [line for line in lines if line.endswith(COMMAND)]


def test_no_cell_is_broken_at_any_width() -> None:
    for width in (1, 20, 40, 60, 80, 120, 200):
        for line in rendered([FULL], "vm-hosts read", Paper(width=width)).lines[1:2]:
            assert {"1", "local", "unreachable"} <= {*line.split()}


def test_all_keeps_every_column_on_a_narrow_terminal() -> None:
    found = rendered([FULL], "vm-hosts read", NARROW, View(all=True))
    assert "https://10.1.2.3:8443" in found.lines[1]
    assert "resource uri" in found.lines[0]
    assert not found.notes


def test_a_certificate_keeps_its_lines() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    lines = rendered({"name": "ci", "certificate": pem}, "rpc-clients create", NARROW).lines
    assert lines[-3:] == pem.splitlines()


def test_columns_are_keys_headings_or_paths() -> None:
    for word in ("zone.name", "zone"):
        assert rendered([FULL], "vm-hosts read", view=View(columns=("name", word))).lines[1].split() == [
            "local",
            "default",
        ]
    assert rendered(FULL, "vm-host read", view=View(columns=("cores",))).lines == ["cores  1 of 4"]


def test_an_unknown_column_names_a_similar_one() -> None:
    with pytest.raises(Usage, match=r"vm-hosts has no column 'stat'\. Did you mean state"):
        rendered([FULL], "vm-hosts read", view=View(columns=("stat",)))
    with pytest.raises(Usage, match="no column 'bogus'"):
        json_text([FULL], "vm-hosts read", View(sort="bogus"))


def test_rows_are_sorted_by_number_and_by_name() -> None:
    hosts = [host(10, "h10"), host(2, "H9"), host(1, "h1", used={"cores": 3}), host(3, "x", used={"cores": None})]
    assert names(rendered(hosts, "vm-hosts read", view=View(sort="id"))) == ["1", "2", "3", "10"]
    assert names(rendered(hosts, "vm-hosts read", view=View(sort="name"))) == ["1", "2", "10", "3"]
    assert names(rendered(hosts, "vm-hosts read", view=View(sort="-cores")))[0] == "1"
    assert names(rendered(hosts, "vm-hosts read", view=View(sort="-cores")))[-1] == "3"


def test_json_has_only_the_columns_in_order() -> None:
    hosts = [host(2, "b"), host(1, "a")]
    chosen = json.loads(json_text(hosts, "vm-hosts read", View(columns=("name", "zone.name"), sort="name")))
    assert chosen == [{"name": "a", "zone.name": "default"}, {"name": "b", "zone.name": "default"}]
    assert json.loads(json_text(hosts, "vm-hosts read", View(sort="name")))[0] == hosts[1]
    assert json.loads(json_text(HOST, "vm-host read", View(columns=("id",)))) == {"id": 1}


def test_a_page_of_events_is_a_table() -> None:
    event = {"id": 1, "at": "2026-11-20T08:30:00Z", "level": "INFO", "kind": "rack_joined", "description": "Joined."}
    head, row = rendered({"count": 1, "events": [event], "next_uri": None}, "events query").lines
    assert head.split() == ["id", "at", "level", "kind", "description"]
    assert row.endswith("Joined.")


def test_every_column_has_its_own_heading() -> None:
    for kind, known in LISTS.items():
        alternatives = [one.heading for one in known if not one.unless]
        assert len(alternatives) == len(set(alternatives)), kind
    assert {*OBJECTS} <= {*LISTS}


@pytest.mark.parametrize(
    ("words", "view"),
    [
        (["--all"], View(all=True)),
        (["--columns", "name,state"], View(columns=("name", "state"))),
        (["--columns=name, state,name"], View(columns=("name", "state"))),
        (["--sort", "-memory"], View(sort="-memory")),
        (["--watch"], View(watch_s=2.0)),
        (["--watch=0.5"], View(watch_s=0.5)),
    ],
)
def test_view_options_are_parsed(words: list[str], view: View) -> None:
    assert split_options(["admin", *words, "read"]) == (["admin", "read"], split_options(words)[1])
    assert split_options(words)[1].view == view


@pytest.mark.parametrize(
    "words",
    [["--columns"], ["--columns", ","], ["--sort"], ["--sort=-"], ["--watch=never"], ["--watch=0"], ["--all=1"]],
)
def test_a_view_option_with_a_wrong_value_is_refused(words: list[str]) -> None:
    with pytest.raises(Usage, match=words[0].partition("=")[0]):
        split_options(words)


def test_a_narrow_column_stays_where_a_wider_one_is_dropped() -> None:
    found = rendered([{**FULL, "address": "https://" + "h" * 90, "error": None}], "vm-hosts read", NARROW)
    heading = found.lines[0]
    assert ("address" in heading, "project" in heading) == (False, True)
    assert max(map(len, found.lines)) <= 80


def test_the_reason_of_a_maintenance_is_below_its_row() -> None:
    since = {"since": "2026-11-20T08:30:00Z", "by": "admin", "reason": "new disks"}
    found = rendered(
        [{**FULL, "error": None, "maintenance": since}, host(2, "b", state="ready")], "vm-hosts read", NARROW
    )
    assert "    maintenance: since 2026-11-20 08:30:00Z by admin: new disks" in found.lines
    assert "address" in found.lines[0]
