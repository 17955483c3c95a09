"""Generated identifiers and the validation of hostnames."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.requests.identifiers import (
    MAAS_SYSTEM_ID,
    OWN_SYSTEM_ID,
    check_hostname,
    legal_hostname,
    new_host_system_id,
    new_hostname,
    new_mac_address,
    new_system_id,
    numbered,
    serial,
)

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def test_generated_hostnames_are_valid_and_varied() -> None:
    generated = {new_hostname() for _ in range(300)}
    assert all(check_hostname(name) == name for name in generated)
    assert len(generated) > 200


def test_numbered_appends_four_digits() -> None:
    assert re.fullmatch(r"calm-otter-[1-9][0-9]{3}", numbered("calm-otter"))


def test_no_vm_host_has_the_system_id_of_a_machine() -> None:
    assert {new_host_system_id()[0] for _ in range(100)}.isdisjoint(new_system_id()[0] for _ in range(1000))
    assert {len(new_host_system_id()), len(new_system_id())} == {6}


def test_system_ids_have_six_unambiguous_characters() -> None:
    generated = {new_system_id() for _ in range(1000)}
    assert len(generated) > 990
    assert not set("".join(generated)) & set("1ilo5")
    assert {len(one) for one in generated} == {6}


def test_no_new_system_id_can_be_one_of_maas() -> None:
    assert set(OWN_SYSTEM_ID).isdisjoint(MAAS_SYSTEM_ID)
    assert all(set(OWN_SYSTEM_ID) & set(one()) for one in (new_system_id, new_host_system_id) for _ in range(1000))


def test_mac_addresses_are_in_the_range_of_qemu() -> None:
    assert all(re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", new_mac_address()) for _ in range(100))


@given(machine=st.uuids(), index=st.integers(min_value=0, max_value=25))
def test_a_serial_number_is_stable_and_fits_virtio(machine: UUID, index: int) -> None:
    assert serial(machine, index) == serial(machine, index)
    assert len(serial(machine, index)) <= 18


def test_serial_numbers_are_unique_per_machine_and_disk() -> None:
    machines = [uuid4() for _ in range(100)]
    assert len({serial(machine, index) for machine in machines for index in range(26)}) == 2600


@pytest.mark.parametrize("name", ["a", "7", "web", "web-1", "1-web", "x" * 63, "Web-ONE"])
def test_valid_hostnames_are_accepted_in_lower_case(name: str) -> None:
    assert check_hostname(name) == name.lower()


INVALID = "-web", "web-", "we b", "web.example", "web_1", "wéb", "\N{KELVIN SIGN}elvin", "web\n", "a\0", "../x"


@pytest.mark.parametrize("name", ["", "x" * 64, *INVALID])
def test_invalid_hostnames_are_rejected_for_their_field(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_hostname(name)
    assert list(caught.value.fields) == ["hostname"]


@given(st.text(max_size=70))
def test_an_accepted_hostname_is_one_dns_label(name: str) -> None:
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
def test_guest_names_become_hostnames(name: str, hostname: str) -> None:
    assert legal_hostname(name) == hostname


@given(st.text(max_size=100))
def test_any_guest_name_becomes_a_valid_hostname(name: str) -> None:
    assert check_hostname(legal_hostname(name)) == legal_hostname(name) or not re.search("[a-z0-9]", name.lower())
    assert LABEL.fullmatch(legal_hostname(name))
