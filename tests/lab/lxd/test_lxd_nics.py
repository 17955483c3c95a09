"""NICs of guests on a real LXD: what QEMU has, what LXD's DHCP server reserves, and what LXD refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from attrs import evolve

from common.errors import WrongState
from common.guests.guest_spec import GuestSpec, NicAddress, NicSpec
from common.values import NicKind, PowerAction, PowerState
from rackd.drivers.lxd.driver import LxdDriver
from tests.contract.support.guest_samples import nic, volumes_of
from tests.lab.servers.host_setup import host_bridge
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.lxd_specs import small_spec

GRACE_S = 0.1
IN_EITHER_STATE = pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON], ids=["off", "on"])


@pytest.fixture
def bridge() -> Iterator[str]:
    """A bridge of the host, where a guest may have several NICs."""
    with host_bridge("10.254.9.1/24") as made:
        yield made


def composed(driver: LxdDriver, name: str, *nics: NicSpec, power: PowerState = PowerState.ON) -> GuestSpec:
    spec = small_spec(name, nics=nics)
    driver.compose(spec)
    if power is PowerState.ON:
        switch(driver, spec, PowerAction.ON)
    return spec


def switch(driver: LxdDriver, spec: GuestSpec, action: PowerAction) -> None:
    driver.power(spec.ref, action, grace_s=GRACE_S)


def first(lxd: LxdServer, address: NicAddress | None = None) -> NicSpec:
    return nic(0, NicKind.NETWORK, lxd.managed_bridge, address=address)


def own_address(lxd: LxdServer, number: int) -> NicAddress:
    subnet = ip_network(lxd.managed_subnet)
    return NicAddress(address=str(subnet[number]), prefix_length=subnet.prefixlen)


def names(lxd: LxdServer, spec: GuestSpec) -> set[str]:
    devices = lxd.ask(f"/1.0/instances/{spec.name}")["devices"]
    return {name for name, device in devices.items() if device["type"] == "nic"}


def in_qemu(lxd: LxdServer, spec: GuestSpec) -> set[str]:
    """The MAC addresses of the NICs that QEMU has."""
    return set(re.findall(r'mac = "([0-9a-f:]+)"', lxd.devices_of(spec.name)))


def reserved(lxd: LxdServer) -> dict[str, str]:
    leases = lxd.ask(f"/1.0/networks/{lxd.managed_bridge}/leases")
    return {one["address"]: one["hwaddr"] for one in leases if one["type"] == "static"}


def test_the_qemu_of_a_running_guest_gets_a_nic(lxd: LxdServer, driver: LxdDriver, bridge: str, prefix: str) -> None:
    spec = composed(driver, f"{prefix}live", first(lxd))
    new = nic(1, NicKind.BRIDGE, bridge)
    assert driver.attach_nic(spec.ref, new) is PowerState.ON
    assert in_qemu(lxd, spec) == {spec.nics[0].mac_address, new.mac_address}


def test_a_guest_that_keeps_a_nic_gets_none_in_its_place(
    lxd: LxdServer, driver: LxdDriver, bridge: str, prefix: str
) -> None:
    """No system runs in it. LXD says all the same that the NIC is gone."""
    spec = composed(driver, f"{prefix}kept", first(lxd))
    new = nic(1, NicKind.BRIDGE, bridge)
    driver.attach_nic(spec.ref, new)
    assert driver.detach_nic(spec.ref, new.mac_address) is PowerState.ON
    assert names(lxd, spec) == {"eth0"}
    with pytest.raises(WrongState, match=r"Duplicate device ID.*can be attached while .* is off"):
        driver.attach_nic(spec.ref, new)
    assert names(lxd, spec) == {"eth0"}
    switch(driver, spec, PowerAction.CYCLE)
    assert driver.attach_nic(spec.ref, new) is PowerState.ON
    driver.detach_nic(spec.ref, new.mac_address)
    assert in_qemu(lxd, spec) == {spec.nics[0].mac_address, new.mac_address}


def test_a_running_guest_gets_nics_only_in_their_order(
    lxd: LxdServer, driver: LxdDriver, bridge: str, prefix: str
) -> None:
    spec = composed(driver, f"{prefix}order", first(lxd))
    with pytest.raises(WrongState, match=r"slot 0 function 0 not available.*can be attached while .* is off"):
        driver.attach_nic(spec.ref, evolve(nic(8, NicKind.BRIDGE, bridge), name="a-nic"))
    for number in range(1, 5):
        driver.attach_nic(spec.ref, nic(number, NicKind.BRIDGE, bridge))
    with pytest.raises(WrongState, match=r"Bus '\w+' not found"):
        driver.attach_nic(spec.ref, nic(5, NicKind.BRIDGE, bridge))
    assert names(lxd, spec) == {f"eth{number}" for number in range(5)}
    switch(driver, spec, PowerAction.CYCLE)
    assert driver.attach_nic(spec.ref, nic(5, NicKind.BRIDGE, bridge)) is PowerState.ON


@IN_EITHER_STATE
def test_an_address_is_reserved_while_the_guest_has_the_nic(
    lxd: LxdServer, driver: LxdDriver, prefix: str, power: PowerState
) -> None:
    spec = composed(driver, f"{prefix}leased", power=power)
    new = first(lxd, address=own_address(lxd, 40))
    assert new.address is not None
    assert driver.attach_nic(spec.ref, new) is power
    assert reserved(lxd) == {new.address.address: new.mac_address}
    assert driver.detach_nic(spec.ref, new.mac_address) is power
    assert reserved(lxd) == {}
    switch(driver, spec, PowerAction.FORCE_OFF)
    driver.attach_nic(spec.ref, new)
    driver.decompose(spec.ref, volumes_of(spec))
    assert reserved(lxd) == {}


@IN_EITHER_STATE
def test_nics_that_clash_are_refused_in_either_state(
    lxd: LxdServer, driver: LxdDriver, prefix: str, power: PowerState
) -> None:
    owner = composed(driver, f"{prefix}owner", first(lxd, address=own_address(lxd, 40)), power=PowerState.OFF)
    spec = composed(driver, f"{prefix}clash", power=power)
    (taken,) = owner.nics
    for new, reason in (
        (evolve(taken, address=None), "already defined on another NIC"),
        (evolve(taken, mac_address="52:54:00:00:00:0a"), f"reserves it for {owner.name}"),
    ):
        with pytest.raises(WrongState, match=reason) as refused:
            driver.attach_nic(spec.ref, new)
        assert "while" not in str(refused.value)
    assert names(lxd, spec) == set()


@IN_EITHER_STATE
def test_a_nic_of_a_profile_is_not_detached(
    lxd: LxdServer, driver: LxdDriver, bridge: str, prefix: str, power: PowerState
) -> None:
    spec = composed(driver, f"{prefix}profile", first(lxd), power=power)
    profile = f"{prefix}shared"
    lxd.lxc("profile", "create", profile)
    try:
        lxd.lxc("profile", "device", "add", profile, "lan", "nic", "nictype=bridged", f"parent={bridge}")
        lxd.lxc("profile", "add", spec.name, profile)
        mac_address = lxd.ask(f"/1.0/instances/{spec.name}")["config"]["volatile.lan.hwaddr"]
        with pytest.raises(WrongState, match="from one of its profiles, as lan"):
            driver.detach_nic(spec.ref, mac_address)
        driver.detach_nic(spec.ref, spec.nics[0].mac_address)
        assert names(lxd, spec) == set()
        assert set(lxd.ask(f"/1.0/instances/{spec.name}")["expanded_devices"]) == {"root", "lan"}
        driver.decompose(spec.ref, volumes_of(spec))
    finally:
        lxd.lxc("profile", "delete", profile)


def connected_to(bridge: str) -> int:
    return len(list((Path("/sys/class/net") / bridge / "brif").iterdir()))


def test_a_running_guest_stays_on_its_network(lxd: LxdServer, driver: LxdDriver, bridge: str, prefix: str) -> None:
    """LXD itself would leave it without a connection. Its address can be changed."""
    old = first(lxd)
    spec = composed(driver, f"{prefix}moves", old)
    new = evolve(nic(0, NicKind.BRIDGE, bridge), mac_address=old.mac_address)
    with pytest.raises(WrongState, match=r"elsewhere while .* runs\. Shut .* down first"):
        driver.change_nic(spec.ref, old.mac_address, new)
    assert (connected_to(lxd.managed_bridge), connected_to(bridge)) == (1, 0)
    leased = evolve(old, address=own_address(lxd, 41))
    assert driver.change_nic(spec.ref, old.mac_address, leased) is PowerState.ON
    assert list(reserved(lxd).values()) == [old.mac_address]
    assert (connected_to(lxd.managed_bridge), in_qemu(lxd, spec)) == (1, {old.mac_address})
    switch(driver, spec, PowerAction.FORCE_OFF)
    driver.change_nic(spec.ref, old.mac_address, new)
    switch(driver, spec, PowerAction.ON)
    assert (connected_to(lxd.managed_bridge), connected_to(bridge)) == (0, 1)
    assert reserved(lxd) == {}
