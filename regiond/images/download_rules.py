"""The rules for downloads of images: which URLs and IP addresses the region connects to. Pure."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from attrs import frozen

from common.addresses.ip_networks import NO_NETWORKS, IpNetworks
from regiond.images.model import MAX_URL

SCHEMES = ("https", "http")
# Networks in which a cloud or this computer serves every client that reaches it, besides those that `ipaddress` knows
# as loopback and link-local; and IPv6 networks whose addresses contain an IPv4 address at a place that varies.
_NEVER = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # Linux connects to itself
            "100.100.100.200/32",  # metadata of Alibaba Cloud
            "168.63.129.16/32",  # services of Azure's hosts
            "192.0.0.0/24",  # protocol assignments; metadata of Oracle Cloud
            "255.255.255.255/32",
            "::/96",  # IPv4-compatible, deprecated
            "64:ff9b:1::/48",  # local translation to IPv4
            "2001::/32",  # Teredo
            "2002::/16",  # 6to4
            "fd00:ec2::/32",  # metadata of AWS
            "fd20:ce::/64",  # metadata of Google Cloud
        ),
    )
)
_TRANSLATED = IPv6Network("64:ff9b::/96")  # to the IPv4 address in its last 32 bits
_SHARED = IPv4Network("100.64.0.0/10")  # of carriers, and of overlay networks


class Reach(Enum):
    """The place from which an address can be reached."""

    NOWHERE = "none to download from"
    PRIVATE = "within a private network"
    PUBLIC = "from the internet"


@frozen(kw_only=True)
class DownloadRules:
    """The rules of a region. `allowed` are networks that it uses although they are only of this computer or link."""

    allowed: IpNetworks = NO_NETWORKS

    def permits(self, address: str, *, chosen_by: Reach | None) -> bool:
        """Returns whether the region may connect to this IP address.

        An administrator may name any server, also one in a private network; a server of the internet may not: it would
        choose what the region requests in a network that trusts the region. The services of this computer, and the
        metadata service of a cloud, trust every client that reaches them. `chosen_by` is the reach of the server that
        chose the address, by a redirect or because its name resolved to that server before; None if only the name is
        known, which an administrator gave.
        """
        if address in self.allowed:
            return True
        reach = self.reach(address)
        return reach is Reach.PUBLIC or (reach is Reach.PRIVATE and chosen_by is not Reach.PUBLIC)

    def reach(self, address: str) -> Reach:
        return reach_of(address)


def reach_of(address: str) -> Reach:
    """Returns the reach of the address; for an IPv6 address that contains an IPv4 address, the reach of the latter."""
    parsed = _meant(ip_address(address))
    if (
        parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified
        or (parsed.is_reserved and not parsed.is_private)
        or any(parsed in network for network in _NEVER)
    ):  # fmt: skip
        return Reach.NOWHERE
    is_private = (
        parsed.is_private or parsed in _SHARED or (isinstance(parsed, IPv6Address) and parsed.is_site_local)
    )  # fmt: skip
    return Reach.PRIVATE if is_private else Reach.PUBLIC


def _meant(parsed: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(parsed, IPv4Address):
        return parsed
    if parsed in _TRANSLATED:
        return IPv4Address(int(parsed) & 0xFFFFFFFF)
    return parsed.ipv4_mapped or parsed


def url_problem(url: str, *, schemes: tuple[str, ...] = SCHEMES) -> str | None:
    """Returns the problem with the URL of a file, or None."""
    named = f"Give an address such as https://cloud.example.com/disk.qcow2, of at most {MAX_URL} characters."
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return named
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return named
    if parts.scheme not in schemes:
        return f"The address begins with {' or '.join(f'{one}://' for one in schemes)}."
    if not parts.hostname or port == 0:
        return named
    if "@" in parts.netloc:
        return "The address has a user name or a password: everyone who sees the image would see them too."
    return None


def host_of(url: str) -> str:
    """Returns the host that the URL names, for messages."""
    return urlsplit(url).hostname or ""
