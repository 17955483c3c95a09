"""The VLAN of the untagged frames of a NIC, as libvirt decides it. Pure.

The NIC's own `<vlan>` counts first, then that of its port group (without one the network's default group), then the
network's. Of a trunk it is the native VLAN.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from rackd.drivers.libvirt.xml import Element


@frozen(kw_only=True)
class Vlan:
    """The VLAN that a `<vlan>` gives; `vid` is None for a trunk without a native VLAN."""

    vid: int | None


@frozen(kw_only=True)
class NetworkVlans:
    """The VLANs of a network; None: no `<vlan>`. `default` is the name of the default port group, or empty."""

    own: Vlan | None = None
    groups: Mapping[str, Vlan | None] = field(factory=dict)
    default: str = ""

    def of(self, port_group: str = "") -> Vlan | None:
        """Returns the VLAN of a NIC in this port group, or in none; None if nothing gives it one."""
        return self.groups.get(port_group or self.default) or self.own


NO_VLANS = NetworkVlans()


def vlan_in(element: Element) -> Vlan | None:
    """Returns what the `<vlan>` in a NIC, network or port group gives; None without one."""
    tags = [tag for tag in element.iterfind("vlan/tag") if tag.get("id", "").isdecimal()]
    if not tags:
        return None
    is_trunk = len(tags) > 1 or any(vlan.get("trunk") == "yes" for vlan in element.iterfind("vlan"))
    native = next((tag for tag in tags if tag.get("nativeMode") is not None), None)
    found = native if is_trunk else tags[0]
    return Vlan(vid=None if found is None else int(found.get("id", "0")))


def network_vlans(network: Element) -> NetworkVlans:
    groups = [(group.get("name", ""), group) for group in network.iterfind("portgroup")]
    return NetworkVlans(
        own=vlan_in(network),
        groups={name: vlan_in(group) for name, group in groups},
        default=next((name for name, group in groups if group.get("default") == "yes"), ""),
    )
