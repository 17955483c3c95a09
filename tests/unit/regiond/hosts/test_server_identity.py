"""The identity of a server: what the connection proves decides, not what the server reports."""

from __future__ import annotations

from uuid import UUID

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DriverFailed, NotTrusted, PeerChanged
from common.values import DriverType, HostFacts
from regiond.hosts.address.server_identity import Contact, became_member, identity_of, is_common_uuid

FACTS = HostFacts(server_identity="one", hypervisor_version="1", architecture="amd64", cores=1, memory_mib=1024)
LXD = Contact(host_id=3, driver=DriverType.LXD, address="https://h:8443", pinned_fingerprint="aa")
KVM = Contact(host_id=3, driver=DriverType.LIBVIRT, address="qemu:///system", pinned_fingerprint=None)
ZEROS = "libvirt:system:00000000-0000-0000-0000-000000000000"


def reported(identity: str) -> HostFacts:
    return evolve(FACTS, server_identity=identity)


@given(st.text(min_size=1), st.text("abc", min_size=1) | st.none())
def test_an_lxd_server_is_its_certificate_whatever_it_reports(report: str, member: str | None) -> None:
    facts = evolve(FACTS, server_identity=report, cluster_member=member)
    expected = "lxd/lxd:aa" if member is None else f"lxd/lxd:aa:{member}"
    assert identity_of(LXD, facts, known=None) == expected


def test_an_lxd_server_without_a_pinned_certificate_has_none() -> None:
    with pytest.raises(NotTrusted):
        identity_of(evolve(LXD, pinned_fingerprint=None), FACTS, known=None)


def test_a_simulated_host_is_the_name_in_its_address() -> None:
    contact = Contact(host_id=1, driver=DriverType.SIMULATED, address="simulated:a?cores=2", pinned_fingerprint=None)
    assert identity_of(contact, reported("simulated/a"), known=None) == "simulated/simulated/a"
    with pytest.raises(PeerChanged):
        identity_of(contact, reported("simulated/b"), known=None)


@pytest.mark.parametrize(
    "uuid",
    [
        "00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009",
        "12345678-1234-5678-90AB-CDDEEFAABBCC", "20202020-2020-2020-2020-202020202020",
    ],
)  # fmt: skip
def test_uuids_of_many_boards_are_known(uuid: str) -> None:
    assert is_common_uuid(uuid)


@given(st.uuids(version=4))
def test_a_random_uuid_is_that_of_one_board(uuid: UUID) -> None:
    assert not is_common_uuid(str(uuid))


def test_a_common_uuid_is_a_server_of_each_host() -> None:
    first = identity_of(KVM, reported(ZEROS), known=None)
    second = identity_of(evolve(KVM, host_id=4), reported(ZEROS), known=None)
    assert (first, second) == (f"virsh/{ZEROS}@host-3", f"virsh/{ZEROS}@host-4")
    assert identity_of(KVM, reported(ZEROS), known=first) == first


@pytest.mark.parametrize("known", [f"virsh/{ZEROS}", f"virsh/{ZEROS}@host-9"])
def test_a_host_stays_with_its_server_despite_a_common_uuid(known: str) -> None:
    assert identity_of(KVM, reported(ZEROS), known=known) == known


def test_a_common_uuid_after_another_one_is_a_change() -> None:
    known = "virsh/libvirt:system:45603dbb-9c9a-4de5-8f2c-1f0a1c1d2e3f"
    assert identity_of(KVM, reported(ZEROS), known=known) == f"virsh/{ZEROS}@host-3"


@pytest.mark.parametrize("report", ["x" * 301, "a\0b", "a\nb"])
def test_a_report_that_cannot_be_stored_is_refused(report: str) -> None:
    with pytest.raises(DriverFailed):
        identity_of(KVM, reported(report), known=None)


@pytest.mark.parametrize(
    ("known", "claimed", "same"),
    [
        ("lxd/lxd:aa", "lxd/lxd:aa:m1", True),
        ("lxd/lxd:aa", "lxd/lxd:aab:m1", False),
        ("lxd/lxd:aa:m1", "lxd/lxd:aa:m1:x", False),
        ("lxd/lxd:aa:m1", "lxd/lxd:aa", False),
        ("virsh/lxd:aa", "virsh/lxd:aa:m1", False),
    ],
)
def test_only_a_server_that_was_alone_becomes_a_member(known: str, claimed: str, same: bool) -> None:
    assert became_member(known, claimed) is same
