"""Dry runs of destructive calls: each has one, it runs no change, and `describe/` says so."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from regiond.api.declaration.endpoint import Endpoint, Resource
from regiond.machines.removal_plans.host_removal_plan import AffectedGuest, HostRemovalPlan
from regiond.machines.removal_plans.machine_removal_plan import MachineRemovalPlan
from tests.unit.support.api_double import ApiDouble, json_of
from tests.unit.support.api_samples import ADMIN
from tests.unit.support.good_requests import ENDPOINTS, name_of, request
from tests.unit.support.machine_samples import MACHINE

DESTRUCTIVE = [one for one in ENDPOINTS if one[1].destructive]
destructive = pytest.mark.parametrize(("resource", "endpoint"), DESTRUCTIVE, ids=[name_of(*one) for one in DESTRUCTIVE])
CHANGES = {
    "hosts.start_remove",
    "clusters.start_remove",
    "machines.start_delete",
    "hardware.start",
    "kept_disks.start_delete",
    "composer.start_compose",
    "releases.start",
    "releases.start_all",
    "bulk.start",
    "adoption.start_forget",
    "operations.cancel",
    "reconciler.approve",
}
GUEST = AffectedGuest(
    name="web-1", host_name="hv-01", system_id="wdpx3n", adopted=False, locked=False, power_state="on",
    disks=MACHINE.disks, guest_name="web-1", addresses=("10.1.0.7",),
)  # fmt: skip


@destructive
def test_every_destructive_call_has_a_dry_run(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    reply = request(api, resource, endpoint, dry_run="true")
    assert reply.status == 200
    plan = json_of(reply)
    assert {"name", "confirm", "deleted", "kept", "effects"} <= plan.keys()
    assert plan["confirm"] in {"name", "yes"}
    assert CHANGES.isdisjoint(call.name for call in api.calls)
    for call in api.done():
        service, _, method = call.name.partition(".")
        if service in {"networks", "groups", "racks", "accounts"} and method != "read":
            assert call.named["dry_run"] is True


@destructive
def test_without_dry_run_the_call_is_carried_out(api: ApiDouble, resource: Resource, endpoint: Endpoint) -> None:
    assert request(api, resource, endpoint).status == endpoint.success
    for call in api.done():
        assert not call.named.get("dry_run")
        assert not call.name.endswith("plan")


def test_the_description_names_destructive_calls_and_dry_runs(api: ApiDouble) -> None:
    described: dict[str, Any] = {
        f"{handler['name'].removeprefix('Anon')}.{action['name']}": (action["destructive"], action["dry_run"])
        for handler in api.json("GET", "describe/")["handlers"]
        for action in handler["actions"]
    }
    assert described["MachineHandler.delete"] == (True, True)
    assert described["MachineHandler.power_off"] == (False, True)
    assert described["MachineHandler.lock"] == (False, False)
    assert described["VmHostHandler.compose"] == (False, True)
    assert described["MachinesHandler.allocate"] == (False, True)
    for resource, endpoint in DESTRUCTIVE:
        if resource.described:
            assert described[name_of(resource, endpoint)] == (True, True)


def test_the_plan_of_a_machine_names_its_vm_volumes_and_addresses(api: ApiDouble) -> None:
    api.answers["machines.deletion_plan"] = MachineRemovalPlan(name="web-1", deleted=(GUEST,))
    plan = api.json("DELETE", "machines/wdpx3n/", form={"dry_run": "true"})
    assert (plan["name"], plan["confirm"], plan["kept"]) == ("web-1", "name", [])
    (guest,) = plan["deleted"]
    assert (guest["host"], guest["guest_name"], guest["addresses"]) == ("hv-01", "web-1", ["10.1.0.7"])
    assert [volume["storage_pool"] for volume in guest["volumes"]] == [disk.storage_pool_name for disk in MACHINE.disks]
    assert api.call("machines.deletion_plan").args == (ADMIN, "wdpx3n")


def test_the_devices_of_lost_machines_are_deleted_too() -> None:
    lost = [evolve(GUEST, name=f"web-{n}", devices=(f"box-{n}a", f"box-{n}b")) for n in range(6)]
    plan = HostRemovalPlan(name="hv-01", deleted=(), kept=(GUEST,), lost=tuple(lost))
    (effect,) = plan.effects
    assert effect.startswith("Devices deleted with their machines (12): box-0a, box-0b,")
    assert effect.endswith("box-4b and 2 more.")


def test_the_plan_of_a_record_is_confirmed_with_yes(api: ApiDouble) -> None:
    plan = api.json("DELETE", "zones/default/", form={"dry_run": "true", "move_to": "west"})
    assert plan == {
        "name": "east",
        "confirm": "yes",
        "deleted": [{"kind": "zone", "id": "5", "name": "east"}],
        "kept": [],
        "effects": ["Members that move to the zone 'west': 1 VM host."],
    }


def test_the_dry_run_of_compose_is_a_placement(api: ApiDouble) -> None:
    plan = api.json("POST", "vm-hosts/4/", op="compose", form={"cores": "2", "dry_run": "true"})
    assert "chosen" in plan
    (_, wanted) = api.call("composer.dry_run").args
    assert (wanted.host_id, wanted.cores) == (4, 2)
