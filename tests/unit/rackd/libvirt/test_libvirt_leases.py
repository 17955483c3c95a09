"""Which of libvirt's networks can have leases for a guest. tests/lab reads real ones."""

from __future__ import annotations

from common.values import GuestNic, NicKind
from rackd.drivers.libvirt.inventory.leases import ServedNetworks

LAN = """
    <network><name>lan</name><bridge name='virbr1'/>
      <ip address='10.1.0.1' netmask='255.255.255.0'><dhcp><range start='10.1.0.2' end='10.1.0.9'/></dhcp></ip>
    </network>
"""
BRIDGED = "<network><name>bridged</name><forward mode='bridge'/><bridge name='br0'/></network>"


def nic(kind: NicKind, source: str) -> GuestNic:
    return GuestNic(mac_address="52:54:00:00:00:01", kind=kind, source=source)


def test_active_networks_with_dhcp_have_leases() -> None:
    served = ServedNetworks.of([(LAN, True), (BRIDGED, True), (LAN.replace("lan", "off"), False)])
    assert served.network_of(nic(NicKind.NETWORK, "lan")) == "lan"
    assert served.network_of(nic(NicKind.BRIDGE, "virbr1")) == "lan"
    for other in (
        nic(NicKind.NETWORK, "bridged"), nic(NicKind.BRIDGE, "br0"), nic(NicKind.NETWORK, "off"),
        nic(NicKind.MACVLAN, "virbr1"), nic(NicKind.USER, ""),
    ):  # fmt: skip
        assert served.network_of(other) is None
