"""The calls that requests make to the services, and requests that are rejected before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve

from common.values import PowerAction
from regiond.events.model import EventFilter, Level
from regiond.groups.model import PoolChange
from regiond.images.model import ImageState
from regiond.machines.values.requests import AllocateRequest
from regiond.machines.values.search import MachineFilter
from regiond.machines.values.states import MAAS_STATUS, MachineState
from regiond.reconciler.model import DiscrepancyKind
from tests.unit.answers.accounts import ADMIN_KEY, USER_KEY
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.api_samples import ADMIN, IMAGE, POOL, RACK_ID
from tests.unit.support.machine_samples import MACHINE, OPERATION


@pytest.mark.parametrize(
    ("url", "state", "is_importing"),
    [
        ("https://a/b.img", ImageState.DOWNLOADING, True),
        ("https://a/b.img", ImageState.CHECKING, True),
        ("https://a/b.img", ImageState.READY, False),
        ("https://a/b.img", ImageState.FAILED, False),
        (None, ImageState.UPLOADING, False),
        (None, ImageState.CHECKING, False),
    ],
)
def test_images_are_imported_until_their_download_was_checked(
    api: ApiDouble, url: str | None, state: ImageState, is_importing: bool
) -> None:
    api.answers["images.list"] = (evolve(IMAGE, state=ImageState.READY), evolve(IMAGE, url=url, state=state))
    assert api.json("GET", "boot-resources/", query="op=is_importing") is is_importing


def test_devices_have_no_tags(api: ApiDouble) -> None:
    assert api.json("GET", "tags/virtual/", query="op=devices") == []
    assert api.request("GET", "tags/nothing/", query="op=devices").status == 404


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
        assert api.json("POST", "machines/wdpx3n/", op=op, form=form, key=key)["system_id"] == "wdpx3n"
        assert api.call("machines.start_power").args[1:] == ("wdpx3n", action)


def test_other_users_may_not_change_the_power_state(api: ApiDouble) -> None:
    api.answers["machines.read"] = evolve(MACHINE, owner=None)
    reply = api.request("POST", "machines/wdpx3n/", op="power_off", key=USER_KEY)
    assert reply.status == 403
    assert not api.done()


def test_a_paused_machine_is_on(api: ApiDouble) -> None:
    assert api.json("GET", "machines/wdpx3n/", op="query_power_state") == {"state": "on"}


def test_machine_filters_are_applied_by_the_query(api: ApiDouble) -> None:
    form: dict[str, Any] = {"id": ["a", "b"], "mac_address": "52:54:00:AA:00:01", "pod": "hv-01", "status": "ready"}
    form |= {"agent_name": "juju", "tags": "virtual", "limit": "2", "after": "vm-1"}
    assert len(api.json("GET", "machines/", form=form)) == 1
    expected = MachineFilter(
        system_ids=("a", "b"), mac_addresses=("52:54:00:aa:00:01",), hosts=("hv-01",), agent_names=("juju",),
        states=(MachineState.READY,), tags=("virtual",),
    )  # fmt: skip
    called = api.call("machines.by_hostname")
    assert (called.args, called.named["limit"]) == ((evolve(expected, after="vm-1"),), 2)


def test_machines_to_release_are_read_at_once_by_their_system_ids(api: ApiDouble) -> None:
    api.json("POST", "machines/", op="release", form={"machines": ["wdpx3n", "id:wdpx3n", "quick-fox"]})
    assert api.call("releases.start_all").args[1] == ["wdpx3n", "wdpx3n", "wdpx3n"]
    by_id, by_name = [one.args[0] for one in api.calls if one.name == "machines.list"]
    assert (set(by_id.system_ids), by_name.hostnames) == ({"wdpx3n"}, ("quick-fox",))


def test_hosts_of_a_machine_filter_are_resolved_by_one_query(api: ApiDouble) -> None:
    api.json("GET", "machines/", form={"pod": ["4", "id:4", "hv-01"]})
    (wanted,) = api.call("machines.long_list").args
    assert wanted.hosts == ("hv-01", "hv-01", "hv-01")
    assert [set(one.args[0]) for one in api.calls if one.name == "hosts.names_of"] == [{4}]


def test_a_machine_filter_names_hosts_that_exist(api: ApiDouble) -> None:
    problems = api.rejected("GET", "machines/", form={"pod": ["4", "9", "id:9", "hv-02"], "not_pod": "name:web"})
    assert [text.partition(";")[0] for text in problems["pod"]] == [
        "There is no VM host 9", "There is no VM host 'id:9'", "There is no VM host 'hv-02'",
    ]  # fmt: skip
    assert problems["not_pod"] == ["There is no VM host 'name:web'; there is hv-01."]


@pytest.mark.parametrize(
    ("form", "states"),
    [
        ({"status": "ready"}, {MachineState.READY}),
        ({"status": "Ready"}, {MachineState.READY}),
        ({"status": "4"}, {MachineState.READY}),
        ({"status": ["deployed", "ready"]}, {MachineState.DEPLOYED, MachineState.READY}),
        ({"status": "failed_commissioning"}, {MachineState.FAILED, MachineState.FAILED_COMPOSE}),
        ({"status": "missing"}, {MachineState.MISSING}),
    ],
)
def test_a_status_is_all_states_with_its_name_or_number(
    api: ApiDouble, form: Mapping[str, Any], states: set[MachineState]
) -> None:
    assert machine_filter_of(api, form).states == tuple(state for state in MachineState if state in states)


@pytest.mark.parametrize("state", list(MachineState))
def test_a_simple_status_is_the_status_without_its_details(api: ApiDouble, state: MachineState) -> None:
    name = MAAS_STATUS[state].name.lower()
    simple = {"missing": "other", "failed commissioning": "failed", "failed deployment": "failed"}.get(name, name)
    assert state.value in machine_filter_of(api, {"simple_status": simple}).criteria.wanted.states
    assert state.value in machine_filter_of(ApiDouble(), {"not_simple_status": simple}).criteria.excluded.states
    assert state.value not in machine_filter_of(ApiDouble(), {"simple_status": "testing"}).criteria.wanted.states


@pytest.mark.parametrize(
    ("form", "unknown"),
    [
        ({"domain": ["maas", "0"], "status": ["ready", "testing"]}, ()),
        ({"not_domain": ["0", "maas"]}, ("not_domain",)),
        ({"status": "testing"}, ("status",)),
        ({"simple_status": "testing"}, ("simple_status",)),
        ({"deployment_target": ["disk", "memory"], "not_deployment_target": "memory"}, ()),
        ({"deployment_target": "memory"}, ("deployment_target",)),
        ({"not_deployment_target": "disk"}, ("not_deployment_target",)),
        ({"devices": "vendor_id=8086"}, ("devices",)),
        ({"not_link_speed": "1000", "not_cpu_speed": "2400"}, ()),
    ],
)
def test_a_filter_for_what_no_machine_has_finds_none(
    api: ApiDouble, form: Mapping[str, Any], unknown: tuple[str, ...]
) -> None:
    assert machine_filter_of(api, form).criteria.wanted.unknown == unknown


def machine_filter_of(api: ApiDouble, form: Mapping[str, Any]) -> MachineFilter:
    """The filter with which `machines/` asks for its machines."""
    assert "Warning" not in api.request("GET", "machines/", form=form).headers
    found: MachineFilter = api.call("machines.long_list").args[0]
    return found


def test_discrepancies_are_filtered_and_encoded(api: ApiDouble) -> None:
    (found,) = api.json("GET", "discrepancies/", form={"host": "4", "kind": "machine_missing"})
    assert api.call("reconciler.check").named == {
        "host_id": 4, "kind": DiscrepancyKind.MACHINE_MISSING, "system_id": None,
    }  # fmt: skip
    assert (found["kind"], found["host_name"]) == ("machine_missing", "hv-01")
    assert (found["ours"], found["data_at_risk"]) == (False, True)
    assert found["since"] == found["first_seen_at"] == "2026-11-20T08:30:00+00:00"


def test_events_are_filtered_and_their_pages_linked(api: ApiDouble) -> None:
    form = {"level": "WARNING", "host": "4", "limit": "5", "before": "100"}
    page = api.json("GET", "events/", op="query", form=form)
    (event_filter,) = api.call("events.list").args
    assert event_filter == EventFilter(levels=(Level.WARNING, Level.ERROR), host_id=4, limit=5, before_id=100)
    assert (page["count"], page["events"][0]["created"]) == (1, "Fri, 20 Nov. 2026 08:30:00")
    assert page["next_uri"] == "/MAAS/api/2.0/events/?op=query&level=WARNING&limit=5&host=4&before=9"
    assert page["prev_uri"] == "/MAAS/api/2.0/events/?op=query&level=WARNING&limit=5&host=4&after=9"


def test_events_are_searched_by_kind_user_text_and_time(api: ApiDouble) -> None:
    form = {"kind": ["host_added", "tag_created"], "user": "ann", "q": "disk", "since": "2026-11-20T08:00Z"}
    page = api.json("GET", "events/", op="query", form=form)
    (event_filter,) = api.call("events.list").args
    since = datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert event_filter == EventFilter(kinds=("host_added", "tag_created"), username="ann", text="disk", since=since)
    assert page["next_uri"].endswith(
        "&user=ann&q=disk&since=2026-11-20T08%3A00%3A00%2B00%3A00&kind=host_added&kind=tag_created&before=9"
    )


def test_events_of_machines_are_selected_by_what_the_machines_have(api: ApiDouble) -> None:
    form = {"hostname": ["a", "b"], "zone": "default", "owner": "ann", "agent_name": "juju", "limit": "1"}
    page = api.json("GET", "events/", op="query", form={"op": "query", **form})
    (wanted,) = api.call("machines.system_ids").args
    assert (wanted.hostnames, wanted.zones, wanted.agent_names) == (("a", "b"), ("default",), ("juju",))
    assert (wanted.criteria.wanted.owners, wanted.criteria.wanted.unknown) == (("ann",), ())
    assert api.call("events.list").args[0].system_ids == ("wdpx3n",)
    assert "hostname=a&hostname=b&zone=default&agent_name=juju&owner=ann" in page["next_uri"]


@pytest.mark.parametrize(
    ("form", "machines"),
    [
        ({}, None),
        ({"id": "wdpx3n"}, ("wdpx3n",)),
        ({"id": "wdpx3n", "hostname": "quick-fox"}, ("wdpx3n",)),
        ({"id": "aaaaaa", "hostname": "quick-fox"}, ()),
        ({"domain": "maas"}, ("wdpx3n",)),
    ],
)
def test_events_are_those_of_machines_that_match_every_filter(
    api: ApiDouble, form: dict[str, str], machines: tuple[str, ...] | None
) -> None:
    def system_ids(wanted: MachineFilter) -> list[str]:
        return [] if wanted.criteria.wanted.unknown else ["wdpx3n"]

    api.answers["machines.system_ids"] = system_ids
    reply = api.request("GET", "events/", form={"op": "query", **form})
    assert (reply.status, "Warning" in reply.headers) == (200, False)
    assert api.call("events.list").args[0].system_ids == machines


def test_operations_are_filtered(api: ApiDouble) -> None:
    form = {"state": ["failed", "running"], "host": "4", "machine": "wdpx3n", "limit": "5", "before": "100"}
    form |= {"parent": "70", "kind": ["deploy", "power"], "user": "ann", "since": "2026-11-21T08:00Z"}
    assert api.request("GET", "operations/", form=form).status == 200
    expected = {"states": ("failed", "running"), "host_id": 4, "system_id": "wdpx3n", "limit": 5, "before_id": 100}
    expected |= {"caller": ADMIN, "parent_id": 70, "text": "", "after_id": None, "oldest_first": False}
    expected |= {"kinds": ("deploy", "power"), "username": "ann", "until": None}
    expected["since"] = datetime(2026, 11, 21, 8, tzinfo=UTC)
    assert api.call("operations.list").named == expected


def test_a_rack_token_has_the_requested_lifetime(api: ApiDouble) -> None:
    issued = api.json("POST", "racks/", op="token")
    assert issued["token"] == "innkeeper-token"  # noqa: S105  # of the double
    assert datetime.fromisoformat(issued["expires_at"]) > datetime.now(UTC)
    assert api.call("racks.create_token").named == {"lifetime_s": 3600.0, "zones": None}


def test_a_rack_gets_the_zones_that_are_named(api: ApiDouble) -> None:
    api.json("POST", "racks/", op="token", form={"zones": "west,lab"})
    assert api.call("racks.create_token").named["zones"] == ("west", "lab")
    api.json("PUT", f"racks/{RACK_ID}/", form={"zones": "west"})
    assert api.call("racks.update").named == {"zones": ("west",)}


def test_a_rack_serves_named_zones_or_all_of_them(api: ApiDouble) -> None:
    both = api.request("PUT", f"racks/{RACK_ID}/", form={"all_zones": "true", "zones": "west"})
    assert (both.status, b"not both" in both.body) == (400, True)
    api.json("PUT", f"racks/{RACK_ID}/", form={"all_zones": "true"})
    assert api.call("racks.update").named == {"zones": None}


def test_deleting_an_unknown_zone_succeeds(api: ApiDouble) -> None:
    assert api.request("DELETE", "zones/nowhere/").status == 204
    call = api.call("groups.delete_zone")
    assert (call.args, call.named) == ((ADMIN, "nowhere"), {"move_to": None, "dry_run": False})


def test_a_zone_is_deleted_into_another(api: ApiDouble) -> None:
    assert api.request("DELETE", "zones/north/", form={"move_to": "south", "dry_run": False}).status == 204
    assert api.call("groups.delete_zone").named == {"move_to": "south", "dry_run": False}


def test_a_pool_has_a_strategy_or_uses_that_of_the_region(api: ApiDouble) -> None:
    api.answers["groups.update_pool"] = evolve(POOL, strategy="pack")
    assert api.json("POST", "resourcepools/", form={"name": "gold"})["strategy"] == ""
    assert api.call("groups.create_pool").args == (ADMIN, PoolChange(name="gold", description="", strategy=""))
    assert api.json("PUT", "resourcepool/0/", form={"strategy": "pack"})["strategy"] == "pack"
    api.request("PUT", "resourcepool/0/", form={"strategy": ""})
    updates = [one for one in api.calls if one.name == "groups.update_pool"]
    assert [one.args[-1].strategy for one in updates] == ["pack", ""]
    assert api.request("PUT", "resourcepool/0/", form={"strategy": "unknown"}).status == 400


def test_owner_data_takes_all_keys(api: ApiDouble) -> None:
    document = {"comment": "stored too", "size": 5, "removed": "", "nothing": None, "blank": " "}
    assert api.request("POST", "machines/wdpx3n/", op="set_owner_data", document=document).status == 200
    stored = {"comment": "stored too", "size": "5", "removed": "", "nothing": "", "blank": ""}
    assert api.call("ownership.set_owner_data").args == (ADMIN, "wdpx3n", stored)


@pytest.mark.parametrize(
    "document", [{"a" * 256: "x"}, {"": "x"}, {"nul\x00": "x"}, {"a": "nul\x00"}, {"a": "x" * 65537}, {"a": {"b": 1}}]
)
def test_owner_data_that_cannot_be_stored_is_rejected(api: ApiDouble, document: Mapping[str, Any]) -> None:
    assert api.request("POST", "machines/wdpx3n/", op="set_owner_data", document=document).status == 400
    assert not api.done()


def test_allocate_accepts_the_formats_of_each_client(api: ApiDouble) -> None:
    form: dict[str, Any] = {
        "mem": "1024.0", "cpu_count": "2", "tags": ["a, b", "c d"], "not_in_zones": "east", "arch": "amd64/generic",
        "name": "Web-1.maas", "not_subnets": "space:4", "agent_name": "juju", "comment": "", "link_speed": "0",
    }  # fmt: skip
    assert api.request("POST", "machines/", op="allocate", form=form, key=USER_KEY).status == 200
    (caller, request) = api.call("allocation.start").args
    assert caller.username == "ann"
    assert request == AllocateRequest(
        memory_mib=1024, cores=2, tags=("a", "b", "c", "d"), not_in_zones=("east",), architectures=("amd64",),
        name="web-1", not_subnets=("space:4",), agent_name="juju",
    )  # fmt: skip


def test_a_dry_run_of_allocate_starts_nothing(api: ApiDouble) -> None:
    found = api.json("POST", "machines/", op="allocate", form={"dry_run": "true"})
    assert (found["system_id"], found["explanation"]["chosen"]) == (None, "hv-01")
    assert [call.name for call in api.done()] == ["allocation.dry_run"]


def test_a_stream_continues_after_the_header_else_the_field(api: ApiDouble) -> None:
    for header, field, after in ((None, None, None), (None, "5", 5), ("7", "5", 7), (" ", "5", 5)):
        api.calls.clear()
        form = {"level": "ERROR"} | ({} if field is None else {"after": field})
        reply = api.request("GET", "events/stream", form=form, last_event_id=header)
        assert (reply.status, reply.content_type) == (200, "text/event-stream; charset=utf-8")
        call = api.call("event_streams.open")
        assert call.args[1:] == (EventFilter(levels=(Level.ERROR,)),)
        assert call.named == {"after_id": after, "duration_s": 1500}
    assert api.request("GET", "events/stream", last_event_id="x").status == 400


def test_a_part_of_an_image_has_its_offset_in_the_query() -> None:
    api = ApiDouble()
    api.json("PUT", "boot-resources/1000/upload/1000/", form={"offset": "4096"})
    call = api.call("image_uploads.append")
    assert (call.args[1:], call.named) == ((1000, b"part"), {"offset": 4096})
    assert ApiDouble().request("PUT", "boot-resources/1000/upload/1001/").status == 404
    assert list(ApiDouble().rejected("PUT", "boot-resources/1000/upload/1000/", form={"offset": "-1"})) == ["offset"]


@pytest.mark.parametrize(
    ("state", "power", "expected"),
    [
        ("off", "off", "OK"),
        ("off", "on", "OK: quick-fox boots from sdb at its next start."),
        ("on", None, "OK: quick-fox boots from sdb at its next start."),
    ],
)
def test_a_boot_disk_says_when_it_takes_effect(state: str, power: str | None, expected: str) -> None:
    """The host's answer counts, not the last known state; without one, the operation continues."""
    api, (first,) = ApiDouble(), MACHINE.disks
    api.answers["machines.read"] = lambda _: evolve(
        MACHINE, power_state=state, disks=(first, evolve(first, id=32, index=1))
    )
    result = {} if power is None else {"power_state": power}
    api.answers["machine_disks.start_set_boot_disk"] = evolve(OPERATION, result=result)
    reply = api.request("POST", "nodes/wdpx3n/blockdevices/sdb/", op="set_boot_disk")
    assert (reply.status, reply.body.decode()) == (200, expected)
    assert api.call("machine_disks.start_set_boot_disk").args == (ADMIN, "wdpx3n", 32)
    api.answers["machine_disks.start_set_boot_disk"] = None
    assert api.request("POST", "nodes/wdpx3n/blockdevices/32/", op="set_boot_disk").body == b"OK"
