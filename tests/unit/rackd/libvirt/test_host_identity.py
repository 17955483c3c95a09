"""What identifies a host: its fingerprint, and pins that are not exactly one certificate or key."""

from __future__ import annotations

from uuid import UUID

import pytest

from common.addresses.host_identity import identity_fingerprint
from common.errors import NotTrusted
from common.trust.certificates import make_authority, utc_now
from common.values import DriverType, HostAccess
from rackd.drivers.libvirt.factory import connector
from rackd.drivers.lxd.factory import LxdDriverFactory
from tests.unit.regiond.credentials.test_key_pairs import small_pair

PEMS = [make_authority(name, utc_now())[1] for name in ("server", "another")]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"  # github.com's, well known


def test_an_identity_has_the_fingerprint_that_people_compare() -> None:
    assert len(identity_fingerprint(PEMS[0])) == 64
    assert identity_fingerprint(KEY) == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


@pytest.mark.parametrize("pinned", ["".join(PEMS), PEMS[0].strip(), "", KEY + "\n"])
def test_a_driver_of_lxd_trusts_no_other_pin(pinned: str) -> None:
    pair = small_pair()
    access = HostAccess(
        host_id=1, driver=DriverType.LXD, address="lxd1", installation_id=UUID(int=1), pinned=pinned,
        credentials={"certificate": pair.certificate_pem, "key": pair.key_pem},
    )  # fmt: skip
    with pytest.raises(NotTrusted, match=r"What is pinned for https://lxd1:8443 is n"):
        LxdDriverFactory().open(access)


@pytest.mark.parametrize("pinned", [f"{KEY}\nkvm1 {KEY}", f"{KEY} comment", "", "".join(PEMS)])
def test_a_driver_of_libvirt_trusts_no_other_pin(pinned: str) -> None:
    access = HostAccess(
        host_id=1, driver=DriverType.LIBVIRT, address="qemu+ssh://me@kvm1/system", installation_id=UUID(int=1),
        credentials={"ssh_private_key": "key"}, pinned=pinned,
    )  # fmt: skip
    with pytest.raises(NotTrusted, match=r"What is pinned for qemu\+ssh://me@kvm1/system is n"):
        connector(access)
