"""What composing and its dry run ask of the services, and what is refused by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from common.errors import WrongState
from regiond.machines.model import AskedHosts, ComposeRequest
from tests.unit.api_double import ADMIN_KEY, USER_KEY, World, asked_of, at_once, json_of
from tests.unit.api_samples import ADMIN, PLACEMENT


def test_compose_passes_on_what_was_asked_and_answers_which_machine_it_is() -> None:
    world = World()
    form = {
        "cores": "4",
        "memory": "4096.0",
        "storage": "root:8,data:5(images)",
        "hostname": "db-1",
        "zone": "2",
        "pool": "1",
    }
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="compose", form=form, idempotency_key="k1"))
    assert json_of(reply) == {"system_id": "wdpx3n", "resource_uri": "/MAAS/api/2.0/machines/wdpx3n/"}
    asked = asked_of(world, "machines.start_compose")
    expected = ComposeRequest(
        host_id=4, cores=4, memory_mib=4096, storage="root:8,data:5(images)", hostname="db-1", zone="2", pool="1"
    )
    assert (asked.args, asked.named) == ((ADMIN, expected), {"idempotency_key": "k1", "need_rack": True})


WITH_CONSTRAINTS = ComposeRequest(
    memory_mib=8192,
    interfaces="eth0:space=dmz;eth1:subnet=10.1.0.0/24,ip=10.1.0.20",
    pinned_cores=(2, 3),
    huge_pages_backed=True,
    huge_page_size_mib=1024,
    one_numa_node=True,
)


@pytest.mark.parametrize("as_json", [False, True], ids=["form", "json"])
@pytest.mark.parametrize("op", ["compose", "place"])
def test_constraints_are_passed_on_by_compose_and_its_dry_run(op: str, *, as_json: bool) -> None:
    world = World()
    path, name = ("vm-hosts/", "machines.dry_run") if op == "place" else ("vm-hosts/4/", "machines.start_compose")
    given: dict[str, Any] = {
        "memory": 8192,
        "interfaces": WITH_CONSTRAINTS.interfaces,
        "pinned_cores": [2, 3],
        "hugepages_backed": True,
        "hugepage_size": 1024,
        "one_numa_node": True,
    }
    if as_json:
        reply = at_once(world.ask("POST", path, query=f"op={op}", document=given))
    else:
        reply = at_once(world.ask("POST", path, op=op, form=given))
    assert reply.status == 200
    asked = asked_of(world, name).args[0 if op == "place" else 1]
    assert asked == evolve(WITH_CONSTRAINTS, host_id=None if op == "place" else 4)


def test_compose_has_defaults_for_everything() -> None:
    world = World()
    form = {
        "hugepages_backed": "false",
        "pinned_cores": "",
        "interfaces": "",
        "domain": "0",
        "skip_commissioning": "true",
    }
    assert at_once(world.ask("POST", "vm-hosts/4/", op="compose", form=form)).status == 200
    assert asked_of(world, "machines.start_compose").args[1] == ComposeRequest(host_id=4)


@pytest.mark.parametrize(
    ("form", "field", "said"),
    [
        ({"cores": "5"}, "cores", "Ensure this value is less than or equal to 4."),
        ({"memory": "12289"}, "memory", "Ensure this value is less than or equal to 12288."),
        ({"memory": "1023"}, "memory", "Ensure this value is greater than or equal to 1024."),
        ({"cpu_speed": "2401"}, "cpu_speed", "Ensure this value is less than or equal to 2400."),
        ({"architecture": "amd64"}, "architecture", "Select a valid choice."),
        ({"architecture": "arm64/generic"}, "architecture", "Select a valid choice."),
        ({"storage": "8gb"}, "storage", "Malformed storage constraint"),
        ({"storage": "1.2.3"}, "storage", "no size"),
        ({"interfaces": "eth0:space"}, "interfaces", "Malformed key/value pair"),
        ({"interfaces": "a:ip=10.1.0.9;b:ip=10.1.0.9"}, "interfaces", "asked for more than one card"),
        ({"pinned_cores": ["1", "2", "1"]}, "pinned_cores", "Core 1 is given more than once."),
        ({"pinned_cores": "1,2"}, "pinned_cores", "Enter a whole number."),
        ({"pinned_cores": "1", "pin_cores": "2"}, "pin_cores", "Give either pinned_cores"),
        ({"pin_cores": "0"}, "pin_cores", "greater than or equal to 1"),
        ({"hugepage_size": "2"}, "hugepage_size", "ask for hugepages_backed too"),
        ({"hugepages_backed": "true", "hugepage_size": "1024", "memory": "1536"}, "hugepage_size", "do not divide"),
        ({"one_numa_node": "true"}, "one_numa_node", "ask for either too"),
        ({"hostname": "a_b"}, "hostname", "Enter a host name"),
        ({"hostname": "-a"}, "hostname", "Enter a host name"),
        ({"hostname": "a" * 64}, "hostname", "Enter a host name"),
        ({"domain": "7"}, "domain", "Select a valid choice."),
    ],
)
def test_what_the_host_cannot_give_is_refused_by_field(form: Mapping[str, Any], field: str, said: str) -> None:
    world = World()
    reply = at_once(world.ask("POST", "vm-hosts/4/", op="compose", form=form))
    assert reply.status == 400
    (messages,) = [json_of(reply)[field]]
    assert said in messages[0]
    assert not world.done()


def test_a_host_of_unknown_size_has_no_bounds_and_the_service_decides() -> None:
    world = World()
    world.answers["machines.start_compose"] = WrongState("Its capacity is not known yet.")
    reply = at_once(world.ask("POST", "vm-hosts/5/", op="compose", form={"cores": "400"}))
    assert (reply.status, reply.body) == (409, b"Its capacity is not known yet.")


def test_a_dry_run_passes_on_what_was_asked_for_anyone_with_a_key() -> None:
    for path, key in (("vm-hosts/", ADMIN_KEY), ("pods/", USER_KEY)):
        world = World()
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
        reply = at_once(world.ask("POST", path, op="place", form=form, key=key))
        told = json_of(reply)
        assert (reply.status, told["chosen"], told["chosen_id"]) == (200, "hv-01", 4)
        (asked,) = world.done()
        request = ComposeRequest(cores=4, architecture="amd64", storage="root:8,data:5(images)")
        hosts = AskedHosts(
            hosts=("4", "rack 7, left"), zones=("east", "north", "1"), not_in_zones=("west",), pools=("0",),
            not_in_pools=("lab", "web"), tags=("gpu", "ssd"), not_tags=("old",), cpu_speed_mhz=2400,
        )  # fmt: skip
        assert (asked.name, asked.args, asked.named) == ("machines.dry_run", (request, hosts), {"strategy": "pack"})


def test_a_dry_run_in_json_takes_lists_and_has_defaults_for_everything() -> None:
    world = World()
    for document, hosts in (
        ({}, AskedHosts()),
        ({"host": [4], "tags": ["gpu"]}, AskedHosts(hosts=("4",), tags=("gpu",))),
    ):
        assert at_once(world.ask("POST", "vm-hosts/", query="op=place", document=document)).status == 200
        assert world.asked[-1].args == (ComposeRequest(), hosts)
        assert world.asked[-1].named == {"strategy": None}


def test_that_nothing_fits_is_an_answer_of_a_dry_run() -> None:
    world = World()
    world.answers["machines.dry_run"] = evolve(PLACEMENT, order=())
    reply = at_once(world.ask("POST", "vm-hosts/", op="place"))
    told = json_of(reply)
    assert (reply.status, told["chosen"], told["chosen_id"], told["disks"]) == (200, None, None, [])
    assert told["left_out"] == [{"hosts": 3, "reason": "not enough cores left"}]


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({"storage": "8gb"}, ["storage"]),
        ({"architecture": "amd64/hwe"}, ["architecture"]),
        ({"interfaces": "eth0:room=dmz", "storage": "8()"}, ["interfaces", "storage"]),
        ({"pinned_cores": ["1", "1"], "hugepage_size": "3"}, ["hugepage_size", "pinned_cores"]),
        ({"cores": "0", "memory": "1023", "strategy": "guess"}, ["cores", "memory", "strategy"]),
    ],
)
def test_what_compose_would_refuse_a_dry_run_refuses_by_field(form: Mapping[str, Any], fields: list[str]) -> None:
    world = World()
    reply = at_once(world.ask("POST", "vm-hosts/", op="place", form=form))
    assert (reply.status, sorted(json_of(reply))) == (400, fields)
    assert not world.done()
