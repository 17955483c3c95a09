"""Parses and rebuilds addresses of LXD servers: `host`, `host:port`, `https://host:port`."""

from __future__ import annotations

import ipaddress
import re

from attrs import frozen

from common.errors import InvalidRequest

PORT = 8443
FORMS = "host, host:port, https://host:port; with IPv6 addresses in brackets"

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_PLACE = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


@frozen(kw_only=True)
class LxdAddress:
    """Where an LXD server serves HTTPS."""

    host: str  # lower case; an IPv6 address without its brackets
    port: int = PORT

    @property
    def place(self) -> str:
        """`host:port`, the form in which clusters list their members."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def normalised(self) -> str:
        """The canonical text, always with a port: parsing it returns an equal value."""
        return f"https://{self.place}"


def parse(text: str) -> LxdAddress:
    """Parses an address. Raises InvalidRequest with the problem and the valid forms."""
    if _UNPRINTABLE.search(text):
        raise InvalidRequest("An LXD address has only printable ASCII characters and no spaces.")
    place = _without_scheme(text).removesuffix("/")
    if "@" in place:
        raise InvalidRequest("An LXD address has no user or password: the rack authenticates with a certificate.")
    if "/" in place:
        raise InvalidRequest(f"An LXD address has no path. Known forms: {FORMS}.")
    if "?" in place or "#" in place:
        raise InvalidRequest(f"An LXD address has no query or fragment. Known forms: {FORMS}.")
    found = _PLACE.fullmatch(place)
    if found is None:
        raise InvalidRequest(f"This is not an LXD address. Known forms: {FORMS}.")
    port = int(found["port"] or PORT)
    if not 1 <= port <= 65535:
        raise InvalidRequest("The port of an LXD address is a number from 1 to 65535.")
    return LxdAddress(host=_parse_host(found["host"]), port=port)


def _without_scheme(text: str) -> str:
    found = _SCHEME.match(text)
    if found is None:
        return text
    if found["scheme"].lower() != "https":
        raise InvalidRequest(f"LXD needs HTTPS, not {found['scheme']!r}. Known forms: {FORMS}.")
    return text[found.end() :]


def _parse_host(host: str) -> str:
    if not host:
        raise InvalidRequest("The address has no host.")
    try:
        if host.startswith("["):
            return str(ipaddress.IPv6Address("" if "%" in host else host[1:-1]))
        if re.fullmatch(r"[0-9.]+", host, re.ASCII):
            return str(ipaddress.IPv4Address(host))
    except ValueError:
        raise InvalidRequest("The host of the address is not a valid IP address.") from None
    if len(host) > 253 or _NAME.fullmatch(host) is None:
        raise InvalidRequest("The host of the address is not a valid host name.")
    return host.lower()
