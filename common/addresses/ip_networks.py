"""IP networks of a setting, and the network that one client has."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import frozen

CLIENT_PREFIX = 64  # bits of IPv6 that one client usually has to itself


@frozen
class IpNetworks:
    """Networks in which addresses are looked up. An IPv4 address written as IPv6 is found as IPv4."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> IpNetworks:
        """Addresses and networks such as `192.0.2.7` and `10.0.0.0/8`. Raises ValueError, which names the wrong one."""
        return cls(tuple(ip_network(text.strip()) for text in texts))

    def __contains__(self, address: object) -> bool:
        found = _parsed(address) if self.networks and isinstance(address, str) else None
        return found is not None and any(found in network for network in self.networks)


NO_NETWORKS = IpNetworks()
LOOPBACK = IpNetworks.parse(("127.0.0.0/8", "::1"))


def is_ip(text: str) -> bool:
    return _parsed(text) is not None


def network_of(address: str) -> str:
    """Returns the unit that is counted as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    return str(IPv6Address(int(parsed) >> CLIENT_PREFIX << CLIENT_PREFIX) if parsed.version == 6 else parsed)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
