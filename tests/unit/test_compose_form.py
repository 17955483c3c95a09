"""The form that composes a VM, and the fields of the API that it makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.ui.machines.compose_form import (
    MOST_ROWS,
    ComposeForm,
    DiskRow,
    NicRow,
    parse_cores,
    problems_of,
    read_form,
)
from regiond.ui.web_request import WebRequest


def sent(**fields: str) -> ComposeForm:
    form = {name.replace("__", "-"): (value,) for name, value in fields.items()}
    return read_form(WebRequest(method="POST", path="/MAAS/ui/compose", form=form))


def test_rows_become_constraint_texts() -> None:
    form = sent(
        cores="2", memory="4096", disk0__size="20", disk0__pool="local", disk2__size="100", disk2__tags="data, fast",
        nic0__name="eth0", nic0__space="front", nic0__ip="10.1.0.20", power_on="true",
    )  # fmt: skip
    fields = form.fields()
    assert fields["storage"] == "root:20(pool:local),disk2:100(data,fast)"
    assert fields["interfaces"] == "eth0:space=front,ip=10.1.0.20"
    assert (fields["cores"], fields["memory"], fields["power_on"], fields["hugepages_backed"]) == (
        "2",
        "4096",
        "true",
        None,
    )


def test_pinned_cores_replace_their_number() -> None:
    fields = sent(pins="yes", cores="8", pinned_cores="1,4-6").fields()
    assert (fields["cores"], fields["pinned_cores"]) == (None, [1, 4, 5, 6])


def test_an_address_can_name_host_and_core() -> None:
    request = WebRequest(method="GET", path="/", query=(("host", "alder"), ("pinned_cores", "7")))
    form = read_form(request)
    assert (form.pins, form.values["host"], form.fields()["pinned_cores"]) == (True, "alder", [7])


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"disk0__size": "much"}, "disk0-size"),
        ({"disk0__size": "8", "nic1__name": "eth1"}, "nic1-subnet"),
        ({"disk0__size": "8", "nic1__name": "e;f", "nic1__space": "front"}, "nic1-name"),
        ({"disk0__size": "8", "pins": "yes", "pinned_cores": "4-1"}, "pinned_cores"),
        ({"disk0__size": "8", "pins": "yes", "pinned_cores": ""}, "pinned_cores"),
        ({"disk0__size": "8", "pins": "yes", "pinned_cores": "1,1"}, "pinned_cores"),
    ],
)
def test_a_problem_names_the_field_of_the_form(fields: dict[str, str], name: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        sent(**fields).fields()
    assert list(problems_of(error.value)) == [name]


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
