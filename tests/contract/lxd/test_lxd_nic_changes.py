"""NIC changes that LXD alone refuses, or stores in its own way."""

from __future__ import annotations

from typing import cast

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from common.errors import WrongState
from common.guests.guest_spec import GuestSpec, NicSpec
from common.values import NicKind, PowerAction, PowerState
from tests.contract.hardware.test_nic_changes_contract import (
    attach,
    attachments,
    composed,
    detach,
    listed,
    nics_in,
    switch,
)
from tests.contract.support.driver_fixtures import FIXTURES, CapableFixture
from tests.contract.support.guest_samples import nic
from tests.contract.support.lxd_double_fixture import LxdDoubleFixture
from tests.lxd_http.server import BRIDGE
from tests.lxd_http.state import NETWORK, Lxd

pytestmark = pytest.mark.parametrize(
    "host", [one for one in FIXTURES if one.id in {"lxd-double", "lxd-6-double"}], indirect=True
)
IN_EITHER_STATE = pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON], ids=["off", "on"])


def server(host: CapableFixture) -> Lxd:
    return cast("LxdDoubleFixture", host).administrator.lxd


def devices(host: CapableFixture, spec: GuestSpec) -> dict[str, dict[str, str]]:
    return server(host).instance(spec.name, "default").devices


def plain(number: int, name: str = "") -> NicSpec:
    return evolve(nic(number, NicKind.BRIDGE, BRIDGE), name=name or f"eth{number}")


@IN_EITHER_STATE
def test_a_nic_gets_its_name_and_no_place_in_the_boot_order(host: CapableFixture, power: PowerState) -> None:
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    before = devices(host, spec)
    attach(host, spec, plain(1, name="lan"))
    added = {"type": "nic", "nictype": "bridged", "parent": BRIDGE, "name": "lan", "hwaddr": plain(1).mac_address}
    assert devices(host, spec) == {**before, "lan": added}


def test_a_running_guest_gets_a_nic_only_after_its_others(host: CapableFixture) -> None:
    """Otherwise the others would have other slots, and so other names in the guest, after a restart."""
    spec = composed(host, nics=host.nics, on=True)
    first = plain(1, name="a-nic")
    refusal = pytest.raises(WrongState, match=r"slot 0 function 0 not available.*It can be attached while .* is off\.")
    with capture_logs() as logs, refusal:
        attach(host, spec, first)
    assert [one for one in logs if one["event"] == "pci_buses_unknown"] == []  # only Incus has to wait for the firmware
    assert nics_in(host, spec) == attachments(spec.nics)
    switch(host, spec, PowerAction.FORCE_OFF)
    assert attach(host, spec, first) is PowerState.OFF
    switch(host, spec, PowerAction.ON)
    assert nics_in(host, spec) == attachments((*spec.nics, first))


def test_a_running_guest_gets_four_nics(host: CapableFixture) -> None:
    spec = composed(host, nics=host.nics, on=True)
    for number in range(1, 5):
        attach(host, spec, plain(number))
    with pytest.raises(WrongState, match=r"Bus 'qemu_pcie9' not found.* is off"):
        attach(host, spec, plain(5))
    switch(host, spec, PowerAction.CYCLE)
    assert attach(host, spec, plain(5)) is PowerState.ON


def test_a_guest_that_keeps_a_nic_gets_none_in_its_place(host: CapableFixture) -> None:
    spec = composed(host, nics=host.nics, on=True)
    attach(host, spec, plain(1))
    detach(host, spec, plain(1))
    with pytest.raises(WrongState, match="Duplicate device ID 'dev-lxd_eth1'"):
        attach(host, spec, plain(1))
    switch(host, spec, PowerAction.CYCLE)
    attach(host, spec, plain(1))
    assert nics_in(host, spec) == attachments((*spec.nics, plain(1)))


@IN_EITHER_STATE
def test_a_second_nic_on_a_network_with_dns_is_not_added(host: CapableFixture, power: PowerState) -> None:
    spec = composed(host, nics=host.nics, on=power is PowerState.ON)
    before = listed(host, spec)
    with pytest.raises(WrongState, match=r"two NICs \(eth0 and eth1\).*dns\.mode=none"):
        attach(host, spec, nic(1, NicKind.NETWORK, NETWORK))
    assert listed(host, spec) == before


@IN_EITHER_STATE
def test_a_mac_address_of_another_guest_is_not_added(host: CapableFixture, power: PowerState) -> None:
    composed(host, "owner", nics=host.nics)
    spec = composed(host, on=power is PowerState.ON)
    with pytest.raises(WrongState, match="already defined on another NIC") as refused:
        attach(host, spec, host.nics[0])
    assert "is off" not in str(refused.value)
    assert nics_in(host, spec) == {}


@IN_EITHER_STATE
def test_a_nic_of_a_profile_is_not_detached(host: CapableFixture, power: PowerState) -> None:
    spec = composed(host)
    instance = server(host).instance(spec.name, "default")
    server(host).profiles["shared"] = {
        "config": {}, "devices": {"lan": {"type": "nic", "nictype": "bridged", "parent": BRIDGE}},
    }  # fmt: skip
    instance.profiles.append("shared")
    instance.config["volatile.lan.hwaddr"] = plain(1).mac_address
    if power is PowerState.ON:
        switch(host, spec, PowerAction.ON)
    before = listed(host, spec)
    with pytest.raises(WrongState, match="from one of its profiles, as lan"):
        detach(host, spec, plain(1))
    assert listed(host, spec) == before
    assert attach(host, spec, plain(1)) is power


def test_a_nic_with_an_address_that_lxd_chose_is_detached(host: CapableFixture) -> None:
    spec = composed(host)
    instance = server(host).instance(spec.name, "default")
    instance.devices["lan"] = {"type": "nic", "nictype": "bridged", "parent": BRIDGE}
    instance.config["volatile.lan.hwaddr"] = plain(1).mac_address
    assert attach(host, spec, plain(1)) is PowerState.OFF
    detach(host, spec, plain(1))
    assert nics_in(host, spec) == {}
