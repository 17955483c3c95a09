"""UEFI, Secure Boot and a TPM, with which a guest is composed."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import Unsupported
from common.guests.guest_spec import GuestSpec
from common.values import Guest, PowerAction, PowerState
from tests.contract.support.driver_fixtures import EVERY_HOST, FIXTURES, DriverFixture, spec_for
from tests.lab.servers.needs import require, why_no_tpm

# libvirt's test driver has no firmware.
HAS_SECURE_BOOT = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id != "libvirt-test"], indirect=True)
HAS_BIOS = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"simulated", "libvirt-qemu"}], indirect=True
)
NEEDS_SWTPM = pytest.mark.parametrize("host", [one for one in FIXTURES if one.id == "libvirt-test"], indirect=True)


def listed(host: DriverFixture, spec: GuestSpec) -> Guest:
    guest = next(guest for guest in host.driver.discover().guests if guest.marker == spec.marker)
    found = host.driver.find(spec.ref)
    assert found is not None
    assert (found.secure_boot, found.tpm) == (guest.secure_boot, guest.tpm)
    return guest


@EVERY_HOST
@pytest.mark.clusters
def test_a_guest_has_neither_unless_asked(host: DriverFixture) -> None:
    spec = spec_for(host, "plain")
    guest = host.driver.compose(spec)
    assert (guest.secure_boot, guest.tpm) == (False, False)
    assert (listed(host, spec).secure_boot, listed(host, spec).tpm) == (False, False)


@HAS_BIOS
def test_a_guest_has_a_bios_unless_asked(host: DriverFixture) -> None:
    spec = spec_for(host, "old")
    assert host.driver.compose(spec).uefi is False
    assert listed(host, spec).uefi is False


@HAS_SECURE_BOOT
def test_a_guest_with_uefi_starts_any_system_and_keeps_it(host: DriverFixture) -> None:
    spec = evolve(spec_for(host, "new"), uefi=True)
    guest = host.driver.compose(spec)
    assert (guest.uefi, guest.secure_boot) == (True, False)
    assert host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    host.driver.undeploy(spec)
    found = listed(host, spec)
    assert (found.uefi, found.secure_boot) == (True, False)


@HAS_SECURE_BOOT
def test_a_guest_with_secure_boot_starts_and_keeps_it(host: DriverFixture) -> None:
    spec = evolve(spec_for(host, "signed", disks=2), secure_boot=True)
    guest = host.driver.compose(spec)
    assert (guest.uefi, guest.secure_boot) == (True, True)
    assert host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    assert listed(host, spec).secure_boot is True
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    host.driver.undeploy(spec)
    assert listed(host, spec).secure_boot is True
    assert host.driver.compose(spec).secure_boot is True
    host.driver.decompose(spec.ref, tuple((disk.pool_id, disk.volume) for disk in spec.disks))


@HAS_SECURE_BOOT
def test_a_guest_has_a_tpm(host: DriverFixture, request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("lab") is not None:
        require(why_no_tpm())
    spec = evolve(spec_for(host, "trusted"), tpm=True)
    guest = host.driver.compose(spec)
    assert (guest.tpm, guest.secure_boot) == (True, False)
    assert host.driver.power(spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    host.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    host.driver.undeploy(spec)
    assert listed(host, spec).tpm is True


@NEEDS_SWTPM
def test_a_host_without_them_says_what_to_install(host: DriverFixture) -> None:
    spec = spec_for(host, "bare")
    for wanted, package in (
        (evolve(spec, tpm=True), "swtpm"), (evolve(spec, secure_boot=True), "ovmf"), (evolve(spec, uefi=True), "ovmf")
    ):  # fmt: skip
        with pytest.raises(Unsupported, match=package):
            host.driver.compose(wanted)
    assert host.driver.find(spec.ref) is None
    assert host.volumes() == set()
