"""The calls that requests make to the services, and requests that are rejected before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from common.values import DriverType, PowerAction
from regiond.api.endpoint import SiteInfo
from regiond.events.model import EventFilter, Level
from regiond.hosts.model import HostChange, NewHost
from regiond.machines.model import AllocateRequest, MachineFilter, MachineState
from regiond.reconciler.model import DiscrepancyKind
from tests.unit.api_double import ADMIN_KEY, USER_KEY, ApiDouble, call_of, json_of, result_of
from tests.unit.api_samples import ADMIN, MACHINE, POOL


def test_a_host_is_created_with_the_given_fields() -> None:
    api = ApiDouble()
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
    assert result_of(api.request("POST", "vm-hosts/", form=form)).status == 200
    assert call_of(api, "hosts.create").args == (
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
    ("form", "field", "expected"),
    [
        ({"type": "lxd", "power_address": "http://10.0.0.5"}, "power_address", "HTTPS"),
        ({"type": "lxd", "power_address": "10.0.0.5", "project": "a/b"}, "project", "no blanks, slashes"),
        ({"type": "vmware", "power_address": "x"}, "type", "'vmware' is not one of: lxd, virsh, simulated."),
        ({"type": "virsh", "power_address": "qemu:///system?command=rm"}, "power_address", "Query parameters"),
        ({"type": "virsh", "power_address": "http://x"}, "power_address", "not known"),
        ({"type": "simulated", "power_address": "simulated:s?cores=0"}, "power_address", "cores"),
        ({"power_address": "qemu:///system"}, "type", "This field is required."),
    ],
)
def test_an_invalid_new_host_is_rejected_by_field(form: Mapping[str, str], field: str, expected: str) -> None:
    api = ApiDouble()
    reply = result_of(api.request("POST", "vm-hosts/", form=form))
    assert reply.status == 400
    (messages,) = [json_of(reply)[field]]
    assert expected in messages[0]
    assert not api.done()


def test_simulated_hosts_are_rejected_unless_permitted() -> None:
    api = ApiDouble(info=SiteInfo())
    form = {"type": "simulated", "power_address": "simulated:s"}
    assert list(json_of(result_of(api.request("POST", "vm-hosts/", form=form)))) == ["type"]
    assert not api.done()


def test_an_update_passes_only_given_fields() -> None:
    api = ApiDouble()
    form = {"type": "virsh", "memory_over_commit_ratio": "1.5", "tags": "", "name": ""}
    assert result_of(api.request("PUT", "pods/4/", form=form)).status == 200
    expected = HostChange(driver=DriverType.LIBVIRT, memory_over_commit_ratio=1.5, tags=())
    assert call_of(api, "hosts.update").args == (ADMIN, 4, expected)


def test_the_type_of_a_host_cannot_change() -> None:
    api = ApiDouble()
    reply = result_of(api.request("PUT", "vm-hosts/4/", form={"type": "lxd"}))
    assert (reply.status, list(json_of(reply))) == (400, ["type"])
    assert not api.done()


@pytest.mark.parametrize(
    ("text", "decompose"), [("", False), ("0", False), ("false", False), ("true", True), ("1", True)]
)
def test_only_a_true_value_decomposes(text: str, decompose: bool) -> None:
    api = ApiDouble()
    assert result_of(api.request("DELETE", "vm-hosts/4/", form={"decompose": text})).status == 204
    assert call_of(api, "hosts.start_remove").named == {"decompose": decompose}


@pytest.mark.parametrize("path", ["vm-hosts/4/", "pods/4/"])
def test_any_user_may_read_numa_nodes(path: str) -> None:
    api = ApiDouble()
    first, second = json_of(result_of(api.request("GET", path, op="numa", key=USER_KEY)))
    assert (first["node_id"], second["node_id"]) == (0, 1)
    assert (first["cores"]["used_by_ours"], first["cores"]["used_by_others"]) == ([2], [3])
    assert [one.args for one in api.done()] == [(4,)]


def test_a_host_without_a_refresh_has_no_numa_nodes() -> None:
    api = ApiDouble()
    api.answers["hosts.numa"] = ()
    assert json_of(result_of(api.request("GET", "vm-hosts/5/", op="numa"))) == []


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
def test_admins_and_the_owner_may_change_the_power_state(op: str, form: Mapping[str, str], action: PowerAction) -> None:
    for key in (ADMIN_KEY, USER_KEY):
        api = ApiDouble()
        assert (
            json_of(result_of(api.request("POST", "machines/wdpx3n/", op=op, form=form, key=key)))["system_id"]
            == "wdpx3n"
        )
        assert call_of(api, "machines.start_power").args[1:] == ("wdpx3n", action)


def test_other_users_may_not_change_the_power_state() -> None:
    api = ApiDouble()
    api.answers["machines.read"] = evolve(MACHINE, owner=None)
    reply = result_of(api.request("POST", "machines/wdpx3n/", op="power_off", key=USER_KEY))
    assert reply.status == 403
    assert not api.done()


def test_a_paused_machine_is_on() -> None:
    reply = result_of(ApiDouble().request("GET", "machines/wdpx3n/", op="query_power_state"))
    assert json_of(reply) == {"state": "on"}


def test_machine_filters_are_applied_by_query_and_result() -> None:
    api = ApiDouble()
    form: dict[str, Any] = {"id": ["a", "b"], "mac_address": "52:54:00:AA:00:01", "pod": "hv-01", "status": "ready"}
    form |= {"agent_name": "juju", "tags": "virtual", "limit": "2", "after": "vm-1"}
    assert len(json_of(result_of(api.request("GET", "machines/", form=form)))) == 1
    expected = MachineFilter(
        system_ids=("a", "b"), mac_addresses=("52:54:00:aa:00:01",), hosts=("hv-01",), agent_names=("juju",),
        states=(MachineState.READY,), tags=("virtual",), limit=2, after="vm-1",
    )  # fmt: skip
    assert call_of(api, "machines.list").args == (expected,)


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
def test_machines_that_do_not_match_are_not_listed(form: Mapping[str, Any], found: int) -> None:
    assert len(json_of(result_of(ApiDouble().request("GET", "machines/", form=form)))) == found


def test_machines_can_be_filtered_by_every_state() -> None:
    api = ApiDouble()
    api.answers["machines.list"] = tuple(evolve(MACHINE, state=state) for state in MachineState)
    assert len(json_of(result_of(api.request("GET", "machines/", form={"status": "missing"})))) == 1


def test_discrepancies_are_filtered_and_encoded() -> None:
    api = ApiDouble()
    (found,) = json_of(result_of(api.request("GET", "discrepancies/", form={"host": "4", "kind": "machine_missing"})))
    assert call_of(api, "reconciler.check").named == {"host_id": 4, "kind": DiscrepancyKind.MACHINE_MISSING}
    assert (found["kind"], found["host_name"], found["ours"], found["data_at_risk"]) == (
        "machine_missing",
        "hv-01",
        False,
        True,
    )
    assert found["since"] == found["first_seen_at"] == "2026-11-20T08:30:00+00:00"


def test_events_are_filtered_and_their_pages_linked() -> None:
    api = ApiDouble()
    form = {"level": "WARNING", "host": "4", "limit": "5", "before": "100"}
    page = json_of(result_of(api.request("GET", "events/", op="query", form=form)))
    (event_filter,) = call_of(api, "events.list").args
    assert event_filter == EventFilter(levels=(Level.WARNING, Level.ERROR), host_id=4, limit=5, before_id=100)
    assert (page["count"], page["events"][0]["created"]) == (1, "Fri, 20 Nov. 2026 08:30:00")
    assert page["next_uri"] == "/MAAS/api/2.0/events/?op=query&level=WARNING&limit=5&host=4&before=9"
    assert page["prev_uri"] == "/MAAS/api/2.0/events/?op=query&level=WARNING&limit=5&host=4&after=9"


def test_operations_are_filtered() -> None:
    api = ApiDouble()
    form = {"state": ["failed", "running"], "host": "4", "machine": "wdpx3n", "limit": "5", "before": "100"}
    assert result_of(api.request("GET", "operations/", form=form)).status == 200
    assert call_of(api, "operations.list").named == {
        "states": ("failed", "running"),
        "host_id": 4,
        "system_id": "wdpx3n",
        "limit": 5,
        "before_id": 100,
    }


def test_a_rack_token_has_the_requested_lifetime() -> None:
    api = ApiDouble()
    issued = json_of(result_of(api.request("POST", "racks/", op="token")))
    assert issued["token"] == "innkeeper-token"  # noqa: S105  # of the double
    assert datetime.fromisoformat(issued["expires_at"]) > datetime.now(UTC)
    assert call_of(api, "racks.create_token").named == {"lifetime_s": 3600.0}


def test_deleting_an_unknown_zone_succeeds() -> None:
    api = ApiDouble()
    assert result_of(api.request("DELETE", "zones/nowhere/")).status == 204
    assert call_of(api, "groups.delete_zone").args == (ADMIN, "nowhere")


def test_a_pool_has_a_strategy_or_uses_that_of_the_region() -> None:
    api = ApiDouble()
    api.answers["groups.update_pool"] = evolve(POOL, strategy="pack")
    assert json_of(result_of(api.request("POST", "resourcepools/", form={"name": "gold"})))["strategy"] == ""
    assert call_of(api, "groups.create_pool").args == (ADMIN, "gold", "", "")
    changed = result_of(api.request("PUT", "resourcepool/0/", form={"strategy": "pack"}))
    assert json_of(changed)["strategy"] == "pack"
    result_of(api.request("PUT", "resourcepool/0/", form={"strategy": ""}))
    updates = [one for one in api.calls if one.name == "groups.update_pool"]
    assert [one.named["strategy"] for one in updates] == ["pack", ""]
    assert result_of(api.request("PUT", "resourcepool/0/", form={"strategy": "unknown"})).status == 400


def test_owner_data_takes_all_keys() -> None:
    api = ApiDouble()
    document = {"comment": "stored too", "size": 5, "removed": "", "nothing": None, "blank": " "}
    assert result_of(api.request("POST", "machines/wdpx3n/", op="set_owner_data", document=document)).status == 200
    stored = {"comment": "stored too", "size": "5", "removed": "", "nothing": "", "blank": ""}
    assert call_of(api, "ownership.set_owner_data").args == (ADMIN, "wdpx3n", stored)


@pytest.mark.parametrize(
    "document", [{"a" * 256: "x"}, {"": "x"}, {"nul\x00": "x"}, {"a": "nul\x00"}, {"a": "x" * 65537}, {"a": {"b": 1}}]
)
def test_owner_data_that_cannot_be_stored_is_rejected(document: Mapping[str, Any]) -> None:
    api = ApiDouble()
    assert result_of(api.request("POST", "machines/wdpx3n/", op="set_owner_data", document=document)).status == 400
    assert not api.done()


def test_allocate_accepts_the_formats_of_each_client() -> None:
    api = ApiDouble()
    form: dict[str, Any] = {
        "mem": "1024.0", "cpu_count": "2", "tags": ["a, b", "c d"], "not_in_zones": "east", "arch": "amd64/generic",
        "name": "Web-1.maas", "not_subnets": "space:4", "agent_name": "juju", "comment": "", "unknown": "x",
    }  # fmt: skip
    assert result_of(api.request("POST", "machines/", op="allocate", form=form, key=USER_KEY)).status == 200
    (caller, request) = call_of(api, "allocation.start").args
    assert caller.username == "ann"
    assert request == AllocateRequest(
        memory_mib=1024, cores=2, tags=("a", "b", "c", "d"), not_in_zones=("east",), architectures=("amd64",),
        name="web-1", not_subnets=("space:4",), agent_name="juju",
    )  # fmt: skip


def test_a_dry_run_of_allocate_starts_nothing() -> None:
    api = ApiDouble()
    found = json_of(result_of(api.request("POST", "machines/", op="allocate", form={"dry_run": "true"})))
    assert (found["system_id"], found["explanation"]["chosen"]) == (None, "hv-01")
    assert [call.name for call in api.done()] == ["allocation.dry_run"]
