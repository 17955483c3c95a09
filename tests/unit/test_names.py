"""Names and addresses that the region chooses, and host names that people choose."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.names import check_hostname, legal_hostname, new_hostname, new_mac_address, new_system_id, numbered, serial

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def test_new_host_names_are_host_names_and_many() -> None:
    made = {new_hostname() for _ in range(300)}
    assert all(check_hostname(name) == name for name in made)
    assert len(made) > 200


def test_a_number_makes_another_good_name_of_one() -> None:
    assert re.fullmatch(r"calm-otter-[1-9][0-9]{3}", numbered("calm-otter"))


def test_system_ids_are_six_letters_and_digits_that_are_not_mistaken_for_each_other() -> None:
    made = {new_system_id() for _ in range(1000)}
    assert len(made) > 990
    assert not set("".join(made)) & set("1ilo5")
    assert {len(one) for one in made} == {6}


def test_new_mac_addresses_are_in_the_range_of_qemu() -> None:
    assert all(re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", new_mac_address()) for _ in range(100))


@given(machine=st.uuids(), index=st.integers(min_value=0, max_value=25))
def test_a_serial_number_fits_a_virtio_disk_and_never_changes(machine: UUID, index: int) -> None:
    assert serial(machine, index) == serial(machine, index)
    assert len(serial(machine, index)) <= 18


def test_serial_numbers_tell_disks_and_machines_apart() -> None:
    machines = [uuid4() for _ in range(100)]
    assert len({serial(machine, index) for machine in machines for index in range(26)}) == 2600


@pytest.mark.parametrize("name", ["a", "7", "web", "web-1", "1-web", "x" * 63])
def test_good_host_names_pass(name: str) -> None:
    assert check_hostname(name) == name


def test_host_names_are_kept_in_lower_case() -> None:
    assert check_hostname("Web-ONE") == "web-one"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-web",
        "web-",
        "we b",
        "web.example",
        "web_1",
        "x" * 64,
        "wéb",
        "\N{KELVIN SIGN}elvin",
        "web\n",
        "a\0",
        "../x",
    ],
)
def test_bad_host_names_are_refused_by_field(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_hostname(name)
    assert list(refused.value.fields) == ["hostname"]


@given(st.text(max_size=70))
def test_what_passes_is_one_dns_label(name: str) -> None:
    try:
        checked = check_hostname(name)
    except InvalidRequest:
        return
    assert LABEL.fullmatch(checked)


@pytest.mark.parametrize(
    ("name", "hostname"),
    [
        ("web-1", "web-1"),
        ("Web-1", "web-1"),
        ("My VM_1.example", "my-vm-1-example"),
        ("_x_", "x"),
        ("a" * 70, "a" * 63),
    ],
)
def test_a_guests_name_is_kept_where_it_is_a_host_name_and_mended_where_not(name: str, hostname: str) -> None:
    assert legal_hostname(name) == hostname


@given(st.text(max_size=100))
def test_every_guests_name_becomes_a_host_name(name: str) -> None:
    assert check_hostname(legal_hostname(name)) == legal_hostname(name) or not re.search("[a-z0-9]", name.lower())
    assert LABEL.fullmatch(legal_hostname(name))
