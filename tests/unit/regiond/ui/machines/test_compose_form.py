"""The form that composes VMs, the fields of the API that it makes, and what is wrong with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.ui.machines.compose.compose_form import MOST_ROWS, ComposeForm, DiskRow, NicRow, read_form
from regiond.ui.machines.compose.compose_request import asked_by, parse_cores, problems_of
from regiond.ui.web_request import WebRequest

SOUND = {"count": "1", "cores": "1", "memory": "2048", "disk0-size": "8"}


def sent(**fields: str) -> ComposeForm:
    """A sound form with these fields, with `__` for the hyphen of a row's field."""
    form = {name: (value,) for name, value in {**SOUND, **_named(fields)}.items()}
    return read_form(WebRequest(method="POST", path="/MAAS/ui/compose", form=form))


def _named(fields: dict[str, str]) -> dict[str, str]:
    return {name.replace("__", "-"): value for name, value in fields.items()}


def test_rows_become_constraint_texts() -> None:
    asked = asked_by(
        sent(
            cores="2", memory="4096", disk0__size="20", disk0__pool="local", disk2__size="100",
            disk2__tags="data, fast", nic0__name="eth0", nic0__space="front", nic0__ip="10.1.0.20", power_on="true",
        )
    )  # fmt: skip
    assert asked.problems == {}
    assert asked.fields["storage"] == "root:20(pool:local),disk2:100(data,fast)"
    assert asked.fields["interfaces"] == "eth0:space=front,ip=10.1.0.20"
    assert {name: asked.fields[name] for name in ("cores", "memory", "power_on", "hugepages_backed")} == {
        "cores": "2", "memory": "4096", "power_on": "true", "hugepages_backed": None,
    }  # fmt: skip


def test_blanks_around_a_text_do_not_count() -> None:
    form = sent(hostname=" web-1 ", cores=" 2 ", memory="\t4096 ", disk0__size=" 20 ", tags=" ssd , new ")
    asked = asked_by(form)
    assert asked.problems == {}
    assert (asked.fields["hostname"], asked.fields["cores"], asked.fields["memory"]) == ("web-1", "2", "4096")
    assert (asked.fields["storage"], asked.fields["tags"]) == ("root:20", ["ssd", "new"])


def test_groups_of_the_vm_are_not_those_of_its_host() -> None:
    fields = asked_by(sent(vm_zone="east", vm_pool="lab", zone="west, !north", pool="ci", tags="!old")).fields
    assert (fields["machine_zone"], fields["machine_pool"]) == ("east", "lab")
    assert (fields["zone"], fields["not_in_zone"], fields["pool"]) == (["west"], ["north"], ["ci"])
    assert (fields["tags"], fields["not_tags"]) == (None, ["old"])


def test_pinned_cores_replace_their_number() -> None:
    by_id = asked_by(sent(pins="yes", cores="8", pinned_cores="1,4-6"))
    assert (by_id.fields.get("cores"), by_id.fields["pinned_cores"], by_id.problems) == (None, [1, 4, 5, 6], {})
    any_of_a_node = asked_by(sent(pins="count", cores="8"))
    assert (any_of_a_node.fields.get("cores"), any_of_a_node.fields["pin_cores"]) == (None, "8")


def test_an_address_can_name_host_and_core() -> None:
    request = WebRequest(method="GET", path="/", query=(("host", "alder"), ("pinned_cores", "7")))
    form = read_form(request)
    assert (form.pins, form.values["host"], asked_by(form).fields["pinned_cores"]) == ("yes", "alder", [7])


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"hostname": "123"}, ["hostname"]),
        ({"hostname": "-web"}, ["hostname"]),
        ({"hostname": "web.example.org"}, ["hostname"]),
        ({"hostname": "a" * 64}, ["hostname"]),
        ({"hostname": "a" * 62, "count": "2"}, ["hostname"]),
        ({"count": ""}, ["count"]),
        ({"count": "0"}, ["count"]),
        ({"count": "21"}, ["count"]),
        ({"count": "many"}, ["count"]),
        ({"cores": ""}, ["cores"]),
        ({"cores": "", "pins": "count"}, ["cores"]),
        ({"memory": ""}, ["memory"]),
        ({"memory": " "}, ["memory"]),
        ({"pinned_cores": "1,2"}, ["pinned_cores"]),
        ({"pins": "count", "pinned_cores": "1,2"}, ["pinned_cores"]),
        ({"pins": "yes", "pinned_cores": "4-1"}, ["pinned_cores"]),
        ({"pins": "yes", "pinned_cores": ""}, ["pinned_cores"]),
        ({"pins": "yes", "pinned_cores": "1,1"}, ["pinned_cores"]),
        ({"disk0__size": ""}, ["disk0-size"]),
        ({"disk0__size": "0"}, ["disk0-size"]),
        ({"disk0__size": "-3"}, ["disk0-size"]),
        ({"disk0__size": "1.5"}, ["disk0-size"]),
        ({"disk0__size": "much"}, ["disk0-size"]),
        ({"disk0__size": "9" * 12}, ["disk0-size"]),
        ({"disk3__size": "00"}, ["disk3-size"]),
        ({"disk0__tags": "fast)"}, ["disk0-tags"]),
        ({"disk0__tags": ","}, ["disk0-tags"]),
        ({"zone": ", ,"}, ["zone"]),
        ({"pool": "!"}, ["pool"]),
        ({"tags": ","}, ["tags"]),
        ({"affinity": ","}, ["affinity"]),
        ({"one_numa_node": "true"}, ["one_numa_node"]),
        ({"hugepage_size": "2"}, ["hugepage_size"]),
        ({"nic1__name": "eth1"}, ["nic1-subnet"]),
        ({"nic1__name": "e;f", "nic1__space": "front"}, ["nic1-name"]),
        ({"nic1__name": "e:f", "nic1__space": "front"}, ["nic1-name"]),
        ({"nic1__name": "e", "nic1__ip": "10.1.0"}, ["nic1-ip"]),
        ({"nic0__name": "e", "nic0__space": "a", "nic1__name": "e", "nic1__space": "a"}, ["nic1-name"]),
        ({"memory": "", "disk0__size": "", "hostname": "1"}, ["disk0-size", "hostname", "memory"]),
    ],
)
def test_nothing_that_was_typed_is_ignored(fields: dict[str, str], names: list[str]) -> None:
    form = sent(**fields)
    asked = asked_by(form)
    assert sorted(asked.problems) == names
    assert all(name in form.labels for name in names)
    assert all(text.endswith((".", "12")) for texts in asked.problems.values() for text in texts)


@pytest.mark.parametrize(
    "name",
    ["host", "zone", "pool", "tags", "vm_zone", "vm_pool", "architecture", "affinity", "anti_affinity", "hostname"],
)
def test_each_text_reaches_the_region(name: str) -> None:
    fields = asked_by(sent(**{name: "marked-value"})).fields
    assert any("marked-value" in str(value) for value in fields.values())


@pytest.mark.parametrize(
    ("typed", "problem", "place"),
    [
        (("10.0.0.1", "10.0.0.12"), "10.0.0.12 is taken.", "nic1-ip"),
        (("10.0.0.1", "10.0.0.12"), "Already in use: 10.0.0.12.", "nic1-ip"),
        (("fd00::1", "fd00::12"), "'fd00::12' is taken.", "nic1-ip"),
        (("10.0.0.1", "FD00:0::1"), "fd00::1: it is in no subnet of the space.", "nic1-ip"),
        (("10.0.0.1", "10.0.0.0"), "The subnet 10.0.0.0/24 has no free address.", "nics"),
    ],
)
def test_a_problem_of_an_address_stands_at_the_row_with_it(typed: tuple[str, str], problem: str, place: str) -> None:
    nics = {f"nic{number}__ip": ip for number, ip in enumerate(typed)}
    form = sent(**nics)
    assert problems_of(InvalidRequest.of({"interfaces": [problem]}), form) == {place: [problem]}


def test_a_problem_of_the_region_stands_at_the_field_of_the_form() -> None:
    form = sent(nic0__name="a", nic0__ip="10.1.0.7", nic1__name="b", nic1__space="front")
    found = problems_of(
        InvalidRequest.of(
            {
                "machine_zone": ["no zone"], "not_in_pool": ["no pool"], "pin_cores": ["too many"],
                "interfaces": ["10.1.0.7 is taken.", "no space"], "storage": ["too large"], "__all__": ["closed"],
            }
        ),
        form,
    )  # fmt: skip
    assert found == {
        "vm_zone": ["no zone"], "pool": ["no pool"], "cores": ["too many"], "nic0-ip": ["10.1.0.7 is taken."],
        "nics": ["no space"], "disks": ["too large"], "": ["closed"],
    }  # fmt: skip
    assert problems_of(InvalidRequest("It is closed."), form) == {"": ["It is closed."]}


def test_several_vms_have_numbered_names() -> None:
    assert sent(hostname="web", count="3").names == ("web-1", "web-2", "web-3")
    assert sent(hostname="web-8", count="3").names == ("web-8", "web-9", "web-10")
    assert sent(hostname="web", count="1").names == ("web",)
    assert sent(count="3").names == ()


def test_rows_are_added_with_free_numbers_and_removed() -> None:
    form = ComposeForm(disks=(DiskRow(number=0), DiskRow(number=2)))
    assert [row.number for row in form.changed("add-disk").disks] == [0, 2, 1]
    assert [row.number for row in form.changed("remove-disk-0").disks] == [2]
    assert len(ComposeForm().changed("remove-disk-0").disks) == 1
    assert form.changed("add-nic").nics == (NicRow(number=0, name="eth0"),)
    assert form.changed("add-nic").changed("remove-nic-0").nics == ()
    assert form.changed("nonsense") == form


def test_rows_are_bounded() -> None:
    form = ComposeForm()
    for _ in range(MOST_ROWS + 5):
        form = form.changed("add-disk").changed("add-nic")
    assert (len(form.disks), len(form.nics)) == (MOST_ROWS, MOST_ROWS)


@given(st.text(alphabet="0123456789,-– x", max_size=20))
def test_any_text_is_ids_of_cores_or_a_problem(text: str) -> None:
    try:
        found = parse_cores(text)
    except InvalidRequest:
        return
    assert found
    assert len(set(found)) == len(found)
