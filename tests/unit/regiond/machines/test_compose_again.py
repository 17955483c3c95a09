"""A compose that was requested before becomes a form that requests the same."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from common.guests.compose_request import ComposeRequest
from common.serialization import to_dict
from regiond.machines.values.requests import ComposeIntent, HostConstraints, requested_fields
from regiond.ui.machines.compose.compose_again import form_again
from regiond.ui.machines.compose.compose_form import ComposeForm
from regiond.ui.machines.compose.compose_request import asked_by

ASKED = ComposeRequest(
    hostname="db-1", cores=2, memory_mib=4096, storage="root:20(pool:local),disk1:100(pool:fast,data)",
    interfaces="eth0:space=front,ip=10.1.0.20;eth1:subnet=10.2.0.0/24,type=bridge", power_on=True,
    huge_pages_backed=True, affinity=("db",), anti_affinity=("web:soft", "x"),
)  # fmt: skip
HOSTS = HostConstraints(hosts=("alder",), zones=("east", "west"), pools=("ci",), tags=("ssd", "new"))


def again(request: ComposeRequest = ASKED, hosts: HostConstraints = HOSTS) -> ComposeForm | None:
    return form_again({"spec": {}, "intent": to_dict(ComposeIntent(request=request, hosts=hosts))})


def fields_of(form: ComposeForm | None) -> dict[str, Any]:
    assert form is not None
    asked = asked_by(form)
    assert asked.problems == {}
    return {name: value for name, value in asked.fields.items() if value is not None}


def test_the_form_requests_the_same() -> None:
    assert fields_of(again()) == {
        "hostname": "db-1", "host": "alder", "zone": ["east", "west"], "pool": ["ci"], "tags": ["ssd", "new"],
        "cores": "2", "memory": "4096", "affinity": ["db"], "anti_affinity": ["web:soft", "x"],
        "storage": ASKED.storage,
        "interfaces": "eth0:space=front,ip=10.1.0.20;eth1:subnet=10.2.0.0/24,type=bridge", "power_on": "true",
        "hugepages_backed": "true", "stock": "false",
    }  # fmt: skip


def test_whose_it_is_stays() -> None:
    assert fields_of(again(evolve(ASKED, stock=True)))["stock"] == "true"
    for_ann = fields_of(again(evolve(ASKED, owner="ann")))
    assert (for_ann["owner"], "stock" in for_ann) == ("ann", False)


def test_pinned_cores_stay_pinned() -> None:
    fields = fields_of(again(evolve(ASKED, pinned_cores=(4, 5, 6, 9))))
    assert fields["pinned_cores"] == [4, 5, 6, 9]
    assert "cores" not in fields


def test_what_the_vm_and_its_host_must_be_is_kept() -> None:
    request = evolve(
        ASKED, zone="north", pool="lab", architecture="amd64", pin_cores=4, huge_page_size_mib=1024, one_numa_node=True
    )
    fields = fields_of(again(request, evolve(HOSTS, not_tags=("old",), not_in_zones=("south",))))
    assert (fields["machine_zone"], fields["machine_pool"], fields["architecture"]) == ("north", "lab", "amd64")
    assert (fields["pin_cores"], fields["hugepage_size"], fields["one_numa_node"]) == ("4", "1024", "true")
    assert (fields["not_tags"], fields["not_in_zone"]) == (["old"], ["south"])


def test_a_rejected_request_is_stored_in_another_form() -> None:
    stored = {"requested": {**requested_fields(ASKED), "hosts": to_dict(HOSTS)}}
    assert fields_of(form_again(stored)) == fields_of(again())


def test_a_request_without_constraints_is_that_of_an_empty_form() -> None:
    form = again(ComposeRequest(), HostConstraints())
    assert form is not None
    assert form.disks == ComposeForm().disks
    assert fields_of(form) == {"cores": "1", "memory": "2048", "storage": "root:8", "stock": "false"}


@pytest.mark.parametrize(
    ("request_", "hosts"),
    [
        (ASKED, HostConstraints(not_hosts=("old",))),
        (ASKED, HostConstraints(hosts=("a", "b"))),
        (evolve(ASKED, huge_page_size_mib=4), HOSTS),
        (evolve(ASKED, storage="root:8.5"), HOSTS),
        (evolve(ASKED, storage="root:8(pool:a,pool:b)"), HOSTS),
        (evolve(ASKED, interfaces="eth0:not_space=dmz"), HOSTS),
        (evolve(ASKED, interfaces="eth0:vid=7"), HOSTS),
        (evolve(ASKED, interfaces="eth0:space=a,mode=unconfigured"), HOSTS),
    ],
)
def test_what_the_form_cannot_show_is_not_offered(request_: ComposeRequest, hosts: HostConstraints) -> None:
    assert again(request_, hosts) is None


@pytest.mark.parametrize("stored", [{}, {"spec": {}}, {"intent": {"request": 3}}, {"requested": {"cores": "many"}}])
def test_what_other_releases_stored_is_not_offered(stored: dict[str, Any]) -> None:
    assert form_again(stored) is None
