"""What the region downloads images from: addresses of files, and of the computers that have them. Pure."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from attrs import frozen

from common.ip_networks import NO_NETWORKS, IpNetworks
from regiond.images.model import MAX_URL

SCHEMES = ("https", "http")


@frozen(kw_only=True)
class DownloadRules:
    """`allowed` are networks that are used although they are of this computer or of its link only."""

    allowed: IpNetworks = NO_NETWORKS

    def forbids(self, address: str) -> bool:
        """Whether a computer with this IP address is none to download from.

        An administrator may name any server, also one in a private network. But the services of this computer, and
        those of a cloud's link-local addresses, trust whoever reaches them.
        """
        if address in self.allowed:
            return False
        parsed = ip_address(address)
        if isinstance(parsed, IPv6Address):
            parsed = parsed.ipv4_mapped or parsed
        return (
            parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified
            or (parsed.is_reserved and not parsed.is_private)
        )  # fmt: skip


def url_problem(url: str, *, schemes: tuple[str, ...] = SCHEMES) -> str | None:
    """Returns what is wrong with the address of a file, or None."""
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
    """The host that the address names, for messages."""
    return urlsplit(url).hostname or ""
