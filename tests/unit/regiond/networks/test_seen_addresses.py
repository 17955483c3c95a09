"""Which reported addresses are recorded, and what a discovery run changes."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from common.values import Guest, GuestNic, NicKind, OwnershipMarker, PowerState
from regiond.networks.ipam.seen import MAX_ADDRESSES, NicRecord, address_changes, usable_addresses_of

INSTALLATION, MACHINE = UUID(int=1), UUID(int=2)
MAC = "52:54:00:00:00:01"
NIC = NicRecord(
    id=7, machine_uuid=MACHINE, mac_address=MAC, addresses=frozenset({ip_address("10.1.0.9"), ip_address("10.1.0.10")})
)


def guest(*addresses: str, known: bool = True, **changes: Any) -> Guest:
    found = Guest(
        name="web",
        guest_id="its own id",
        power=PowerState.ON,
        cores=1,
        memory_mib=1,
        marker=OwnershipMarker(installation_id=INSTALLATION, machine_id=MACHINE),
        nics=(GuestNic(mac_address=MAC.upper(), kind=NicKind.BRIDGE, addresses=addresses if known else None),),
    )
    return evolve(found, **changes)


def changed(*guests: Guest) -> tuple[list[str], list[str]]:
    """The addresses that are added and removed."""
    changes = address_changes([NIC], guests, installation_id=INSTALLATION)
    assert {nic_id for nic_id, _ in (*changes.added, *changes.removed)} <= {NIC.id}
    return [str(one) for _, one in changes.added], [str(one) for _, one in changes.removed]


def test_what_the_guest_has_now_replaces_what_it_had() -> None:
    assert changed(guest("10.1.0.10", "fd00::9", "10.1.0.11")) == (["10.1.0.11", "fd00::9"], ["10.1.0.9"])
    assert changed(guest("10.1.0.9", "10.1.0.10")) == ([], [])
    assert changed(guest()) == ([], ["10.1.0.10", "10.1.0.9"])


def test_unknown_addresses_change_nothing() -> None:
    assert changed(guest(known=False)) == ([], [])
    assert changed(guest(nics=())) == ([], [])
    assert changed() == ([], [])


def test_a_guest_that_is_off_has_none() -> None:
    off = guest("10.1.0.9", power=PowerState.OFF)
    assert changed(off) == ([], ["10.1.0.10", "10.1.0.9"])
    assert changed(guest(known=False, power=PowerState.PAUSED)) == ([], [])


def test_other_guests_with_the_mac_address_are_no_evidence() -> None:
    other = OwnershipMarker(installation_id=UUID(int=9), machine_id=MACHINE)
    assert changed(guest("10.1.0.11", marker=other)) == ([], [])
    assert changed(guest("10.1.0.11", marker=None)) == ([], [])
    adopted = guest("10.1.0.9", "10.1.0.10", "10.1.0.11", marker=None, guest_id=str(MACHINE))
    assert changed(adopted) == (["10.1.0.11"], [])


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "::1", "169.254.3.4", "fe80::1", "fe80::1%eth0", "fd00::1%eth0", "224.0.0.1", "ff02::1",
        "::", str(IPv4Address(0)), "0.1.2.3", "255.255.255.255", "240.0.0.1", "::ffff:10.1.0.1", "10.1.0",
        "10.1.0.1/24", "", "eth0",
    ],
)  # fmt: skip
def test_what_nobody_can_reach_is_not_recorded(text: str) -> None:
    assert usable_addresses_of([text]) == ()


@pytest.mark.parametrize(
    "text", ["10.1.0.1", "100.64.0.1", "192.0.2.1", "8.8.8.8", "fd00::1", "2001:db8::1", "2a00::1"]
)
def test_private_and_global_addresses_are_recorded(text: str) -> None:
    assert [str(one) for one in usable_addresses_of([text, text])] == [text]


def test_the_number_of_addresses_of_a_nic_is_bounded() -> None:
    many = [f"2001:db8::{number}" for number in range(1, 100)]
    found = usable_addresses_of([*many, "10.1.0.1"])
    assert len(found) == MAX_ADDRESSES
    assert str(found[0]) == "10.1.0.1"
