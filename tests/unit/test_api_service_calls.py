"""What the services are asked, and what is refused before they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from common.values import DriverType, PowerAction
from regiond.api.endpoint import SiteInfo
from regiond.events.model import EventFilter, Level
from regiond.hosts.model import HostChange, NewHost
from regiond.machines.life import MachineState
from regiond.machines.model import AllocateRequest, MachineFilter
from regiond.reconciler.model import Kind
from tests.unit.api_double import ADMIN_KEY, USER_KEY, World, asked_of, at_once, json_of
from tests.unit.api_samples import ADMIN, MACHINE, POOL


def test_a_host_is_created_with_what_was_given() -> None:
    world = World()
    form = {
        "type": "virsh",
        "power_address": "qemu+ssh://virsh@10.0.0.5/system",
        "power_user": "ignored",
        "tags": "a, b",
        "zone": "east",
        "cpu_over_commit_ratio": "2",
        "power_pass": " secret ",
        "default_macvlan_mode": "",
    }
    assert at_once(world.ask("POST", "vm-hosts/", form=form)).status == 200
    assert asked_of(world, "hosts.create").args == (
        ADMIN,
        NewHost(
            driver=DriverType.LIBVIRT,
            address="qemu+ssh://virsh@10.0.0.5/system",
            zone="east",
            tags=("a", "b"),
            cpu_over_commit_ratio=2.0,
            power_pass=form["power_pass"],
        ),
    )


@pytest.mark.parametrize(
    ("form", "field", "said"),
    [
        ({"type": "lxd", "power_address": "http://10.0.0.5"}, "power_address", "HTTPS"),
        ({"type": "lxd", "power_address": "10.0.0.5", "project": "a/b"}, "project", "no blanks, slashes"),
        ({"type": "vmware", "power_address": "x"}, "type", "vmware is not one of the available choices"),
        ({"type": "virsh", "power_address": "qemu:///system?command=rm"}, "power_address", "Query parameters"),
        ({"type": "virsh", "power_address": "http://x"}, "power_address", "not known"),
        ({"type": "simulated", "power_address": "simulated:s?cores=0"}, "power_address", "cores"),
        ({"power_address": "qemu:///system"}, "type", "This field is required."),
    ],
)
def test_a_host_that_cannot_be_added_is_refused_by_field(form: Mapping[str, str], field: str, said: str) -> None:
    world = World()
    reply = at_once(world.ask("POST", "vm-hosts/", form=form))
    assert reply.status == 400
    (messages,) = [json_of(reply)[field]]
    assert said in messages[0]
    assert not world.done()


def test_simulated_hosts_are_refused_where_they_are_off() -> None:
    world = World(info=SiteInfo())
    form = {"type": "simulated", "power_address": "simulated:s"}
    assert list(json_of(at_once(world.ask("POST", "vm-hosts/", form=form)))) == ["type"]
    assert not world.done()


def test_an_update_says_only_what_was_given() -> None:
    world = World()
    form = {"type": "virsh", "memory_over_commit_ratio": "1.5", "tags": "", "name": ""}
    assert at_once(world.ask("PUT", "pods/4/", form=form)).status == 200
    expected = HostChange(driver=DriverType.LIBVIRT, memory_over_commit_ratio=1.5, tags=())
    assert asked_of(world, "hosts.update").args == (ADMIN, 4, expected)


def test_a_host_keeps_its_type() -> None:
    world = World()
    reply = at_once(world.ask("PUT", "vm-hosts/4/", form={"type": "lxd"}))
    assert (reply.status, list(json_of(reply))) == (400, ["type"])
    assert not world.done()


@pytest.mark.parametrize(
    ("text", "decompose"), [("", False), ("0", False), ("false", False), ("true", True), ("1", True)]
)
def test_only_a_clear_word_decomposes(text: str, decompose: bool) -> None:
    world = World()
    assert at_once(world.ask("DELETE", "vm-hosts/4/", form={"decompose": text})).status == 204
    assert asked_of(world, "hosts.start_remove").named == {"decompose": decompose}


@pytest.mark.parametrize("path", ["vm-hosts/4/", "pods/4/"])
def test_numa_nodes_are_for_anyone_with_a_key(path: str) -> None:
    world = World()
    first, second = json_of(at_once(world.ask("GET", path, op="numa", key=USER_KEY)))
    assert (first["node_id"], second["node_id"]) == (0, 1)
    assert (first["cores"]["used_by_ours"], first["cores"]["used_by_others"]) == ([2], [3])
    assert [one.args for one in world.done()] == [(4,)]


def test_a_host_that_was_never_looked_at_has_no_numa_nodes() -> None:
    world = World()
    world.answers["hosts.numa"] = ()
    assert json_of(at_once(world.ask("GET", "vm-hosts/5/", op="numa"))) == []


@pytest.mark.parametrize(
    ("op", "form", "action"),
    [
        ("power_on", {}, PowerAction.ON),
        ("power_off", {}, PowerAction.OFF),
        ("power_off", {"stop_mode": "soft"}, PowerAction.OFF),
        ("power_off", {"stop_mode": "hard"}, PowerAction.FORCE_OFF),
        ("power_cycle", {}, PowerAction.CYCLE),
    ],
)
def test_power_is_switched_by_admins_and_the_owner(op: str, form: Mapping[str, str], action: PowerAction) -> None:
    for key in (ADMIN_KEY, USER_KEY):
        world = World()
        assert (
            json_of(at_once(world.ask("POST", "machines/wdpx3n/", op=op, form=form, key=key)))["system_id"] == "wdpx3n"
        )
        assert asked_of(world, "machines.start_power").args[1:] == ("wdpx3n", action)


def test_others_may_not_switch_a_machine() -> None:
    world = World()
    world.answers["machines.read"] = evolve(MACHINE, owner=None)
    reply = at_once(world.ask("POST", "machines/wdpx3n/", op="power_off", key=USER_KEY))
    assert reply.status == 403
    assert not world.done()


def test_a_paused_machine_is_on() -> None:
    reply = at_once(World().ask("GET", "machines/wdpx3n/", op="query_power_state"))
    assert json_of(reply) == {"state": "on"}


def test_machines_are_narrowed_by_the_service_and_filtered_by_what_it_does_not_know() -> None:
    world = World()
    form: dict[str, Any] = {"id": ["a", "b"], "mac_address": "52:54:00:AA:00:01", "pod": "hv-01", "status": "ready"}
    form |= {"agent_name": "juju", "tags": "virtual", "limit": "2", "after": "vm-1"}
    assert len(json_of(at_once(world.ask("GET", "machines/", form=form)))) == 1
    expected = MachineFilter(
        system_ids=("a", "b"), mac_addresses=("52:54:00:aa:00:01",), hosts=("hv-01",), agent_names=("juju",),
        states=(MachineState.READY,), tags=("virtual",), limit=2, after="vm-1",
    )  # fmt: skip
    assert asked_of(world, "machines.list").args == (expected,)


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ({"status": "ready"}, 1),
        ({"status": "Ready"}, 1),
        ({"status": "4"}, 1),
        ({"status": ["deployed", "ready"]}, 1),
        ({"status": "failed_commissioning"}, 0),
        ({"tags": "virtual"}, 1),
        ({"tags": ["virtual", "ssd"]}, 0),
        ({"domain": "maas"}, 1),
        ({"domain": "example.org"}, 0),
    ],
)
def test_machines_that_do_not_match_are_left_out(form: Mapping[str, Any], found: int) -> None:
    assert len(json_of(at_once(World().ask("GET", "machines/", form=form)))) == found


def test_every_state_of_a_machine_can_be_filtered_for() -> None:
    world = World()
    world.answers["machines.list"] = tuple(evolve(MACHINE, state=state) for state in MachineState)
    assert len(json_of(at_once(world.ask("GET", "machines/", form={"status": "missing"})))) == 1


def test_differences_are_narrowed_and_told_whole() -> None:
    world = World()
    (found,) = json_of(at_once(world.ask("GET", "differences/", form={"host": "4", "kind": "machine_missing"})))
    assert asked_of(world, "reconciler.check").named == {"host_id": 4, "kind": Kind.MACHINE_MISSING}
    assert (found["kind"], found["host_name"], found["ours"], found["data_at_risk"]) == (
        "machine_missing",
        "hv-01",
        False,
        True,
    )
    assert found["since"] == found["first_seen_at"] == "2026-11-20T08:30:00+00:00"


def test_events_are_narrowed_and_their_pages_linked() -> None:
    world = World()
    form = {"level": "WARNING", "host": "4", "limit": "5", "before": "100"}
    page = json_of(at_once(world.ask("GET", "events/", op="query", form=form)))
    (asked,) = asked_of(world, "events.list").args
    assert asked == EventFilter(levels=(Level.WARNING, Level.ERROR), host_id=4, limit=5, before_id=100)
    assert (page["count"], page["events"][0]["created"]) == (1, "Fri, 20 Nov. 2026 08:30:00")
    assert page["next_uri"] == "/MAAS/api/2.0/events/?op=query&level=WARNING&limit=5&host=4&before=9"
    assert page["prev_uri"] == "/MAAS/api/2.0/events/?op=query&level=WARNING&limit=5&host=4&after=9"


def test_operations_are_narrowed() -> None:
    world = World()
    form = {"state": ["failed", "running"], "host": "4", "machine": "wdpx3n", "limit": "5", "before": "100"}
    assert at_once(world.ask("GET", "operations/", form=form)).status == 200
    assert asked_of(world, "operations.list").named == {
        "states": ("failed", "running"),
        "host_id": 4,
        "system_id": "wdpx3n",
        "limit": 5,
        "before_id": 100,
    }


def test_a_rack_token_lives_for_the_time_asked() -> None:
    world = World()
    assert json_of(at_once(world.ask("POST", "racks/", op="token"))) == {"token": "innkeeper-token"}
    assert asked_of(world, "racks.make_token").named == {"lifetime_s": 3600.0}


def test_deleting_an_unknown_zone_is_no_error() -> None:
    world = World()
    assert at_once(world.ask("DELETE", "zones/nowhere/")).status == 204
    assert asked_of(world, "groups.delete_zone").args == (ADMIN, "nowhere")


def test_a_resource_pool_has_a_strategy_or_takes_the_regions_own() -> None:
    world = World()
    world.answers["groups.update_pool"] = evolve(POOL, strategy="pack")
    assert json_of(at_once(world.ask("POST", "resourcepools/", form={"name": "gold"})))["strategy"] == ""
    assert asked_of(world, "groups.create_pool").args == (ADMIN, "gold", "", "")
    changed = at_once(world.ask("PUT", "resourcepool/0/", form={"strategy": "pack"}))
    assert json_of(changed)["strategy"] == "pack"
    at_once(world.ask("PUT", "resourcepool/0/", form={"strategy": ""}))
    updates = [one for one in world.asked if one.name == "groups.update_pool"]
    assert [one.named["strategy"] for one in updates] == ["pack", ""]
    assert at_once(world.ask("PUT", "resourcepool/0/", form={"strategy": "guess"})).status == 400


def test_owner_data_are_all_keys_that_were_sent() -> None:
    world = World()
    document = {"comment": "kept too", "size": 5, "gone": "", "nothing": None, "blank": " "}
    assert at_once(world.ask("POST", "machines/wdpx3n/", op="set_owner_data", document=document)).status == 200
    kept = {"comment": "kept too", "size": "5", "gone": "", "nothing": "", "blank": ""}
    assert asked_of(world, "keeping.set_owner_data").args == (ADMIN, "wdpx3n", kept)


@pytest.mark.parametrize(
    "document", [{"a" * 256: "x"}, {"": "x"}, {"nul\x00": "x"}, {"a": "nul\x00"}, {"a": "x" * 65537}, {"a": {"b": 1}}]
)
def test_owner_data_that_cannot_be_kept_are_refused(document: Mapping[str, Any]) -> None:
    world = World()
    assert at_once(world.ask("POST", "machines/wdpx3n/", op="set_owner_data", document=document)).status == 400
    assert not world.done()


def test_allocate_takes_tags_and_numbers_as_each_client_writes_them() -> None:
    world = World()
    form: dict[str, Any] = {
        "mem": "1024.0", "cpu_count": "2", "tags": ["a, b", "c d"], "not_in_zones": "east", "arch": "amd64/generic",
        "name": "Web-1.maas", "not_subnets": "space:4", "agent_name": "juju", "comment": "", "unknown": "x",
    }  # fmt: skip
    assert at_once(world.ask("POST", "machines/", op="allocate", form=form, key=USER_KEY)).status == 200
    (caller, request) = asked_of(world, "allocation.start").args
    assert caller.username == "ann"
    assert request == AllocateRequest(
        memory_mib=1024, cores=2, tags=("a", "b", "c", "d"), not_in_zones=("east",), architectures=("amd64",),
        name="web-1", not_subnets=("space:4",), agent_name="juju",
    )  # fmt: skip


def test_a_dry_run_of_allocate_starts_nothing() -> None:
    world = World()
    found = json_of(at_once(world.ask("POST", "machines/", op="allocate", form={"dry_run": "true"})))
    assert (found["system_id"], found["explanation"]["chosen"]) == (None, "hv-01")
    assert [asked.name for asked in world.done()] == ["allocation.dry_run"]
