"""Real QEMU gets and loses NICs while it runs, and the network has their DHCP reservations."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from common.errors import WrongState
from common.guests.guest_spec import GuestSpec, NicSpec
from common.values import NicKind, PowerAction, PowerState
from rackd.drivers.libvirt.guests import live_devices
from tests.contract.support.boot_sector import returning_sector
from tests.contract.support.guest_samples import address, nic, volumes_of
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.lab.servers.host_setup import host_bridge
from tests.lab.servers.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.lab.support.libvirt_specs import small_spec

FIRST = nic(0, NicKind.USER, boot=True)


@pytest.fixture
def network(qemu: QemuFixture) -> Iterator[LabNetwork]:
    with lab_network(qemu.administrator) as made:
        yield made


@pytest.fixture
def new(network: LabNetwork) -> NicSpec:
    return nic(1, NicKind.NETWORK, network.name, address=address(f"{SUBNET}.120"))


def composed(qemu: QemuFixture, name: str = "vm", *, on: bool = False) -> GuestSpec:
    spec = small_spec(qemu, name, nics=(FIRST,))
    qemu.driver.compose(spec)
    if on:
        qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    return spec


def entry(one: NicSpec) -> dict[str, str]:
    assert one.address is not None
    return {"mac": one.mac_address, "ip": one.address.address}


def definitions(qemu: QemuFixture, spec: GuestSpec) -> tuple[list[str], list[str]]:
    """The MAC addresses in the live and in the persistent XML."""
    domain: Any = qemu.administrator.lookupByName(spec.name)
    trees = [ET.fromstring(domain.XMLDesc(flags)) for flags in (0, 2)]  # noqa: S314  of the test
    live, defined = ([one.get("address", "") for one in tree.iterfind("devices/interface/mac")] for tree in trees)
    return live, defined


def test_a_running_guest_gets_a_nic_with_its_reservation(qemu: QemuFixture, network: LabNetwork, new: NicSpec) -> None:
    spec = composed(qemu, on=True)
    for _ in range(2):
        assert qemu.driver.attach_nic(spec.ref, new) is PowerState.ON
        both = [FIRST.mac_address, new.mac_address]
        assert definitions(qemu, spec) == (both, both)
        assert network.hosts() == [entry(new)]
    taps = qemu.administrator.lookupByName(spec.name).XMLDesc()
    assert f"bridge='{network.bridge}'" in taps
    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert network.hosts() == []


def test_a_running_guest_moves_to_another_network(qemu: QemuFixture, network: LabNetwork, new: NicSpec) -> None:
    """Its system, which is none here, has no part in it."""
    spec = composed(qemu)
    qemu.driver.attach_nic(spec.ref, new)
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    with host_bridge("10.254.9.1/24") as bridge:
        for moved, reserved in (
            (evolve(new, kind=NicKind.BRIDGE, source=bridge, address=None), []),
            (new, [entry(new)]),
        ):
            for _ in range(2):
                assert qemu.driver.change_nic(spec.ref, new.mac_address, moved) is PowerState.ON
                name = bridge if moved.kind is NicKind.BRIDGE else network.bridge
                ports = [one.name for one in (Path("/sys/class/net") / name / "brif").iterdir()]
                assert ports == [tap_of(qemu, spec, new)]
                assert network.hosts() == reserved
                assert definitions(qemu, spec) == ([FIRST.mac_address, new.mac_address],) * 2


def tap_of(qemu: QemuFixture, spec: GuestSpec, one: NicSpec) -> str:
    domain: Any = qemu.administrator.lookupByName(spec.name)
    tree = ET.fromstring(domain.XMLDesc())  # noqa: S314  of the test
    nics = tree.iterfind("devices/interface")
    return next(
        found.find("target").get("dev", "")  # type: ignore[union-attr]  # a running one has it
        for found in nics
        if found.find(f"mac[@address='{one.mac_address}']") is not None
    )


def test_a_guest_that_keeps_a_nic_is_not_changed(
    qemu: QemuFixture, network: LabNetwork, new: NicSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No system runs in it, so nobody answers."""
    monkeypatch.setattr(live_devices, "UNPLUG_S", 2.0)
    spec = composed(qemu, on=True)
    qemu.driver.attach_nic(spec.ref, new)
    before = definitions(qemu, spec)
    for _ in range(2):
        with pytest.raises(WrongState, match=r"did not give back the NIC .* once the guest's system is up"):
            qemu.driver.detach_nic(spec.ref, new.mac_address)
        assert (definitions(qemu, spec), network.hosts()) == (before, [entry(new)])
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    qemu.driver.detach_nic(spec.ref, new.mac_address)
    assert (definitions(qemu, spec), network.hosts()) == (([FIRST.mac_address],) * 2, [])


def test_a_running_guest_gives_a_nic_back(qemu: QemuFixture, network: LabNetwork, new: NicSpec, tmp_path: Path) -> None:
    spec = composed(qemu)
    disk = tmp_path / spec.disks[0].volume
    with disk.open("r+b") as file:
        file.write(returning_sector())
    qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    for _ in range(2):
        qemu.driver.attach_nic(spec.ref, new)
        assert network.hosts() == [entry(new)]
        assert qemu.driver.detach_nic(spec.ref, new.mac_address) is PowerState.ON
        assert (definitions(qemu, spec), network.hosts()) == (([FIRST.mac_address],) * 2, [])


def test_an_entry_of_an_administrator_is_not_replaced(qemu: QemuFixture, network: LabNetwork, new: NicSpec) -> None:
    spec = composed(qemu, on=True)
    network.enter("52:54:00:00:00:99", entry(new)["ip"])
    entries, before = network.hosts(), definitions(qemu, spec)
    with pytest.raises(WrongState, match="52:54:00:00:00:99"):
        qemu.driver.attach_nic(spec.ref, new)
    assert (network.hosts(), definitions(qemu, spec)) == (entries, before)
    qemu.driver.attach_nic(spec.ref, evolve(new, address=None))
    qemu.driver.decompose(spec.ref, volumes_of(spec))
    assert network.hosts() == entries


def test_a_guest_without_a_free_slot_gets_the_nic_while_off(
    qemu: QemuFixture, network: LabNetwork, new: NicSpec
) -> None:
    spec = composed(qemu, on=True)
    assert fill_slots(qemu, spec, new) > 8
    before = definitions(qemu, spec)
    with pytest.raises(WrongState, match=r"while it runs: .*PCI slots"):
        qemu.driver.attach_nic(spec.ref, new)
    assert (definitions(qemu, spec), network.hosts()) == (before, [])
    qemu.driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    for mac in before[1][1:]:
        qemu.driver.detach_nic(spec.ref, mac)
    qemu.driver.attach_nic(spec.ref, new)
    assert qemu.driver.power(spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    assert definitions(qemu, spec) == ([FIRST.mac_address, new.mac_address],) * 2


def fill_slots(qemu: QemuFixture, spec: GuestSpec, like: NicSpec) -> int:
    """Returns how many NICs the running guest gets."""
    for number in itertools.count():
        mac_address = f"52:54:00:00:01:{number:02x}"
        try:
            qemu.driver.attach_nic(spec.ref, evolve(like, mac_address=mac_address, address=None))
        except WrongState:
            return number
    raise AssertionError
