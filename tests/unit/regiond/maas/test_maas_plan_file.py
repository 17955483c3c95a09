"""The file of a plan: what a person may change in it, and when the region refuses it."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from attrs import evolve

from common.errors import InvalidRequest
from common.maas.inventory import DnsName, Inventory, IpRange, ReservedAddress
from common.serialization import to_dict
from regiond.maas.api.imports import choices_of
from regiond.maas.imports import inventory_file
from regiond.maas.imports.inventory_file import Assembly, lines_of, make_plan_possible, pack, unpack
from regiond.maas.imports.model import Plan, read_document
from regiond.maas.imports.region_state import KnownUser
from tests.maas_site.plans import DB, EMPTY, FULL, SITE, WEB, host, plan, planned

OLAF_HERE = evolve(EMPTY, users={"olaf": KnownUser(username="olaf", email="x@example.com", is_admin=False)})


def packed(plain: bytes) -> bytes:
    return gzip.compress(plain, mtime=0)  # the same in each worker


def file_of(found: Plan) -> Any:
    """The plan as a person reads it from a file."""
    return json.loads(json.dumps(found.as_document()))


def with_choice(document: Any, kind: str, source_id: str, choice: str) -> Any:
    (one,) = [each for each in document["objects"][kind] if each["source_id"] == source_id]
    one["choice"] = choice
    return document


def test_a_plan_is_the_same_again_after_its_file() -> None:
    found = plan(state=OLAF_HERE)
    seen = read_document(file_of(found), {})
    assert seen.differences(plan(state=OLAF_HERE).items) == ()
    assert seen.planned_with == {}


def test_a_plan_has_no_secrets() -> None:
    text = json.dumps(plan().as_document())
    assert "KEY" not in text
    assert "pbkdf2" not in text


def test_choices_in_the_file_and_of_the_command_are_combined() -> None:
    document = with_choice(file_of(plan(state=OLAF_HERE)), "users", "3", "same")
    seen = read_document(document, {("hosts", "7"): "leave_out"})
    assert seen.choices == {
        ("users", "3"): "same", ("hosts", "7"): "leave_out", ("machines", "aaaaa1"): "adopt",
        ("machines", "aaaaa2"): "adopt",
    }  # fmt: skip
    after = planned(SITE, OLAF_HERE, {"_".join(key): choice for key, choice in seen.choices.items()})
    assert not after.undecided
    assert read_document(document, {("users", "3"): "leave_out"}).choices["users", "3"] == "leave_out"


def test_a_plan_made_with_choices_is_compared_with_them() -> None:
    document = file_of(plan(state=OLAF_HERE, hosts_7="leave_out", users_3="rename=olaf2"))
    seen = read_document(with_choice(document, "users", "3", "same"), {})
    assert seen.planned_with == {("hosts", "7"): "leave_out", ("users", "3"): "rename=olaf2"}
    assert seen.differences(plan(state=OLAF_HERE, hosts_7="leave_out", users_3="rename=olaf2").items) == ()
    assert seen.choices["users", "3"] == "same"


def test_a_changed_region_is_a_difference_and_what_exists_by_now_is_none() -> None:
    seen = read_document(file_of(plan()), {})
    assert seen.differences(plan(state=FULL).items) == ()
    assert seen.differences(plan(state=evolve(EMPTY, hostnames=frozenset({"web"}))).items) == (
        "machines aaaaa1 (web) was new, and is conflict now.",
    )


def test_another_inventory_is_a_difference() -> None:
    seen = read_document(file_of(plan()), {})
    assert seen.differences(plan(evolve(SITE, machines=(WEB,))).items) == ("machines aaaaa2 is not in the import.",)
    more = evolve(SITE, machines=(WEB, DB, evolve(DB, system_id="aaaaa3", hostname="db-3")))
    assert seen.differences(plan(more).items) == ("machines aaaaa3 (db-3) is not in the plan.",)


def test_a_host_of_another_address_is_a_difference() -> None:
    seen = read_document(file_of(plan()), {})
    (found,) = seen.differences(plan(host(power_address="10.0.0.9")).items)
    assert found.startswith("hosts 7 (kvm-1) was new")


def test_the_digest_names_the_content() -> None:
    assert plan().digest == plan().digest
    assert plan().digest != plan(hosts_7="leave_out").digest
    assert plan().digest != plan(state=OLAF_HERE).digest


@pytest.mark.parametrize(
    "document",
    [
        None, [], "plan", {}, {"format": "another"}, {"format": "innkeeper-maas-import-1"},
        {"format": "innkeeper-maas-import-1", "objects": []},
        {"format": "innkeeper-maas-import-1", "objects": {"hosts": [{}]}, "planned_with": []},
        {"format": "innkeeper-maas-import-1", "objects": {"hosts": 3}, "planned_with": []},
        {"format": "innkeeper-maas-import-1", "objects": {"hosts": ["x"]}, "planned_with": []},
        {"format": "innkeeper-maas-import-1", "objects": {}, "planned_with": [["a", "b"]]},
        {"format": "innkeeper-maas-import-1", "objects": {}, "planned_with": 3},
    ],
)  # fmt: skip
def test_what_is_no_plan_is_refused(document: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        read_document(document, {})
    assert "This is no plan of an import from MAAS." in error.value.fields["plan"][0]


def test_choices_are_read_from_words() -> None:
    assert choices_of(("users:3=rename=anna", "networks:subnet:5=move", "hosts:7=")) == {
        ("users", "3"): "rename=anna", ("networks", "subnet:5"): "move", ("hosts", "7"): "",
    }  # fmt: skip
    assert choices_of(None) == {}
    for text in ("", "users", "users:3", "users=same", "users:=same"):
        with pytest.raises(InvalidRequest):
            choices_of((text,))


def test_an_inventory_is_the_same_after_it_was_packed() -> None:
    assert unpack(pack(SITE)) == SITE
    assert unpack(packed(json.dumps(to_dict(SITE)).encode())) == SITE
    assert json.loads(gzip.decompress(pack(SITE))) == json.loads(json.dumps(to_dict(SITE)))  # as earlier releases did


def test_an_inventory_is_the_same_after_it_came_by_lines() -> None:
    assembly = Assembly()
    for line in lines_of(SITE):
        assembly.add(*json.loads(line))
    assert assembly.inventory() == SITE


@pytest.mark.parametrize(
    "content",
    [
        b"", b"nothing", b"{}", packed(b""), packed(b"[1"), packed(b"[]"), packed(b"3"),
        packed(b"\xff"), packed(b"{}"), packed(b"[" * 100_000), packed(b"{}")[:-4],
        packed(json.dumps({**to_dict(SITE), "hosts": [3]}).encode()),
        packed(json.dumps({**to_dict(SITE), "machines": None}).encode()),
    ],
)  # fmt: skip
def test_a_malformed_inventory_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest) as error:
        unpack(content)
    (text,) = error.value.fields["inventory"]
    assert len(text) < 1000


def test_an_inventory_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory_file, "MAX_INVENTORY_BYTES", 100)
    with pytest.raises(InvalidRequest) as error:
        unpack(packed(json.dumps(to_dict(SITE)).encode()))
    assert error.value.fields["inventory"] == ["An inventory has at most 100 bytes."]


@pytest.mark.parametrize(
    "changed",
    [
        evolve(SITE, hosts=(SITE.hosts[0], SITE.hosts[0])),
        evolve(SITE, hosts=tuple(evolve(SITE.hosts[0], id=str(number)) for number in range(2001))),
        evolve(SITE, machines=(WEB, WEB)),
        evolve(SITE, users=(SITE.users[1], SITE.users[1])),
        evolve(SITE, zones=(SITE.zones[0], SITE.zones[0])),
        evolve(SITE, clusters=(SITE.clusters[0], SITE.clusters[0])),
        evolve(SITE, subnets=(SITE.subnets[0], SITE.subnets[0])),
        evolve(SITE, ranges=(IpRange(id="1", subnet="10.0.0.0/24", type="dynamic", start_ip="a", end_ip="10.0.0.2"),)),
        evolve(SITE, reserved_addresses=(ReservedAddress(ip="10.0.0.300"),)),
        evolve(SITE, dns_names=(DnsName(id="1", name="www", domain="example.com", addresses=("",)),)),
    ],
)
def test_an_inventory_whose_objects_cannot_be_named_is_refused(changed: Inventory) -> None:
    with pytest.raises(InvalidRequest) as error:
        make_plan_possible(changed)
    assert set(error.value.fields) == {"inventory"}


def test_a_plan_of_the_site_is_possible() -> None:
    make_plan_possible(SITE)
