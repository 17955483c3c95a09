"""Compose and its dry run: the calls of the services, and the fields that are rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from common.errors import WrongState
from common.guests.compose_request import ComposeRequest
from regiond.machines.values.requests import HostConstraints
from regiond.placement.model import DryRun
from tests.unit.answers.accounts import ADMIN_KEY, USER_KEY
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.api_samples import ADMIN, USER
from tests.unit.support.machine_samples import PLACEMENT


def test_compose_passes_the_request_and_returns_the_machine(api: ApiDouble) -> None:
    names: dict[str, Any] = {"storage": "root:8,data:5(images)", "hostname": "db-1", "zone": "2", "pool": "1"}
    form = {"cores": "4", "memory": "4096.0", **names}
    composed = api.json("POST", "vm-hosts/4/", op="compose", form=form, idempotency_key="k1")
    assert composed == {"system_id": "wdpx3n", "resource_uri": "/MAAS/api/2.0/machines/wdpx3n/"}
    call = api.call("composer.start_compose")
    expected = ComposeRequest(host_id=4, cores=4, memory_mib=4096, stock=True, **names)
    assert (call.args, call.named["need_rack"]) == ((ADMIN, expected), True)
    assert call.named["idempotency_key"].text == "k1"


WITH_CONSTRAINTS = ComposeRequest(
    stock=True,
    memory_mib=8192,
    interfaces="eth0:space=dmz;eth1:subnet=10.1.0.0/24,ip=10.1.0.20",
    pinned_cores=(2, 3),
    huge_pages_backed=True,
    huge_page_size_mib=1024,
    one_numa_node=True,
)


@pytest.mark.parametrize("as_json", [False, True], ids=["form", "json"])
@pytest.mark.parametrize("op", ["compose", "place"])
def test_compose_and_dry_run_pass_all_constraints(api: ApiDouble, op: str, *, as_json: bool) -> None:
    path, name = ("vm-hosts/", "composer.dry_run") if op == "place" else ("vm-hosts/4/", "composer.start_compose")
    given: dict[str, Any] = {
        "memory": 8192,
        "interfaces": WITH_CONSTRAINTS.interfaces,
        "pinned_cores": [2, 3],
        "hugepages_backed": True,
        "hugepage_size": 1024,
        "one_numa_node": True,
    }
    assert api.request("POST", path, op=op, **{"document" if as_json else "form": given}).status == 200
    call = api.call(name).args[1]
    assert call == evolve(WITH_CONSTRAINTS, host_id=None if op == "place" else 4)


def test_compose_takes_disks_and_nics_as_repeated_keys(api: ApiDouble) -> None:
    form = {"storage": ["root:8", "data:5"], "interfaces": ["eth0:subnet=1", "eth1:subnet=2"]}
    api.json("POST", "vm-hosts/4/", op="compose", form=form)
    _, request = api.call("composer.start_compose").args
    assert (request.storage, request.interfaces) == ("root:8,data:5", "eth0:subnet=1;eth1:subnet=2")


def test_compose_has_defaults_for_everything(api: ApiDouble) -> None:
    form = {"hugepages_backed": "false", "pinned_cores": "", "interfaces": "", "domain": "0"}
    form |= {"skip_commissioning": "true"}
    assert api.request("POST", "vm-hosts/4/", op="compose", form=form).status == 200
    assert api.call("composer.start_compose").args[1] == ComposeRequest(host_id=4, stock=True)


@pytest.mark.parametrize(
    ("form", "field", "expected"),
    [
        ({"cores": "5"}, "cores", "host hv-01 has only 4 cores"),
        ({"memory": "12289"}, "memory", "host hv-01 has only 12288 MiB of memory"),
        ({"memory": "1023"}, "memory", "Must be at least 1024 MiB, not 1023."),
        ({"cpu_speed": "2401"}, "cpu_speed", "the CPUs of host hv-01 run at 2400 MHz"),
        ({"architecture": "amd64"}, "architecture", "'amd64' is not one of: amd64/generic."),
        ({"architecture": "arm64/generic"}, "architecture", "is not one of: amd64/generic."),
        ({"storage": "8gb"}, "storage", "Malformed storage constraint"),
        ({"storage": "1.2.3"}, "storage", "not a size"),
        ({"interfaces": "eth0:space"}, "interfaces", "Malformed key/value pair"),
        ({"interfaces": "a:ip=10.1.0.9;b:ip=10.1.0.9"}, "interfaces", "More than one NIC requests the address"),
        ({"pinned_cores": ["1", "2", "1"]}, "pinned_cores", "Core 1 is given more than once."),
        ({"pinned_cores": "1,2"}, "pinned_cores", "Enter a whole number from 0 to 65535"),
        ({"pinned_cores": "1", "pin_cores": "2"}, "pin_cores", "Use either pinned_cores"),
        ({"pin_cores": "0"}, "pin_cores", "Must be from 1 to 65535, not 0."),
        ({"hugepage_size": "2"}, "hugepage_size", "This requires hugepages_backed"),
        (
            {"hugepages_backed": "true", "hugepage_size": "1024", "memory": "1536"},
            "hugepage_size",
            "is not a multiple of",
        ),
        ({"one_numa_node": "true"}, "one_numa_node", "This requires pinned_cores"),
        ({"hostname": "a_b"}, "hostname", "Enter a hostname"),
        ({"hostname": "-a"}, "hostname", "Enter a hostname"),
        ({"hostname": "a" * 64}, "hostname", "Enter a hostname"),
        ({"domain": "7"}, "domain", "'7' is not one of: maas."),
    ],
)
def test_what_the_host_cannot_provide_is_rejected_by_field(
    api: ApiDouble, form: Mapping[str, Any], field: str, expected: str
) -> None:
    (message,) = api.rejected("POST", "vm-hosts/4/", op="compose", form=form)[field]
    assert expected in message


@pytest.mark.parametrize(("path", "op"), [("vm-hosts/4/", "compose"), ("vm-hosts/", "place")])
def test_unparsable_and_invalid_fields_are_reported_in_one_reply(api: ApiDouble, path: str, op: str) -> None:
    form = {"cores": "many", "memory": "5", "storage": "root:x", "pinned_cores": ["1", "1"]}
    assert set(api.rejected("POST", path, op=op, form=form)) == set(form)


def test_a_host_of_unknown_capacity_sets_no_limits(api: ApiDouble) -> None:
    api.answers["composer.start_compose"] = WrongState("Its capacity is not known yet.")
    reply = api.request("POST", "vm-hosts/5/", op="compose", form={"cores": "400"})
    assert (reply.status, reply.body) == (409, b"Its capacity is not known yet.")


def test_an_operator_may_make_a_dry_run_with_all_constraints() -> None:
    for path, key, caller in (("vm-hosts/", ADMIN_KEY, ADMIN), ("pods/", USER_KEY, USER)):
        api = ApiDouble()
        form = {
            "cores": "4",
            "cpu_speed": "2400",
            "architecture": "amd64/generic",
            "storage": "root:8,data:5(images)",
            "host": ["4", "rack 7, left"],
            "zone": ["east", "north, 1"],
            "not_in_zone": "west",
            "pool": "0",
            "not_in_pool": "lab,web",
            "tags": "gpu, ssd",
            "not_tags": "old",
            "strategy": "pack",
            "hostname": "is-no-matter",
        }
        placement = api.json("POST", path, op="place", form=form, key=key)
        assert (placement["chosen"], placement["chosen_id"]) == ("hv-01", 4)
        call, capacities = api.done()
        assert (capacities.name, capacities.args) == ("hosts.capacities", ([4, 5],))
        request = ComposeRequest(cores=4, architecture="amd64", storage="root:8,data:5(images)", stock=True)
        hosts = HostConstraints(
            hosts=("4", "rack 7, left"), zones=("east", "north", "1"), not_in_zones=("west",), pools=("0",),
            not_in_pools=("lab", "web"), tags=("gpu", "ssd"), not_tags=("old",), cpu_speed_mhz=2400,
        )  # fmt: skip
        assert (call.name, call.args, call.named) == (
            "composer.dry_run",
            (caller, request, hosts),
            {"strategy": "pack", "count": 1},
        )


def test_a_dry_run_accepts_json_lists_and_has_defaults(api: ApiDouble) -> None:
    for document, hosts in (
        ({}, HostConstraints()),
        ({"host": [4], "tags": ["gpu"]}, HostConstraints(hosts=("4",), tags=("gpu",))),
    ):
        assert api.request("POST", "vm-hosts/", op="place", document=document).status == 200
        call, _ = api.done()[-2:]
        assert (call.args, call.named) == ((ADMIN, ComposeRequest(stock=True), hosts), {"strategy": None, "count": 1})


def test_a_dry_run_without_a_fitting_host_returns_200(api: ApiDouble) -> None:
    api.answers["composer.dry_run"] = DryRun(placements=(evolve(PLACEMENT, ranked=()),))
    placement = api.json("POST", "vm-hosts/", op="place")
    assert (placement["chosen"], placement["chosen_id"], placement["disks"]) == (None, None, [])
    assert placement["summarized"] == [{"hosts": 3, "reason": "not enough free cores", "check": "cores"}]


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({"storage": "8gb"}, ["storage"]),
        ({"architecture": "amd64/hwe"}, ["architecture"]),
        ({"interfaces": "eth0:unknown=dmz", "storage": "8()"}, ["interfaces", "storage"]),
        ({"pinned_cores": ["1", "1"], "hugepage_size": "3"}, ["hugepage_size", "pinned_cores"]),
        ({"cores": "0", "memory": "1023", "strategy": "unknown"}, ["cores", "memory", "strategy"]),
    ],
)
def test_a_dry_run_rejects_the_same_fields_as_compose(
    api: ApiDouble, form: Mapping[str, Any], fields: list[str]
) -> None:
    assert sorted(api.rejected("POST", "vm-hosts/", op="place", form=form)) == fields
