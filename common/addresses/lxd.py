"""Parses and rebuilds addresses of LXD servers: `host`, `host:port`, `https://host:port`."""

from __future__ import annotations

import re

from attrs import frozen

from common.addresses.host_names import bracketed, parse_host
from common.errors import InvalidRequest

PORT = 8443
FORMS = "host, host:port, https://host:port; with IPv6 addresses in brackets"

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


@frozen(kw_only=True)
class LxdAddress:
    """The host and port at which an LXD server serves HTTPS."""

    host: str  # lower case; an IPv6 address without its brackets
    port: int = PORT

    @property
    def host_and_port(self) -> str:
        """`host:port`, the form in which clusters list their members."""
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def normalised(self) -> str:
        """The canonical text, always with a port: parsing it returns an equal value."""
        return f"https://{self.host_and_port}"


def parse(text: str) -> LxdAddress:
    """Parses an address. Raises InvalidRequest with the problem and the valid forms."""
    if _UNPRINTABLE.search(text):
        raise InvalidRequest("An LXD address has only printable ASCII characters and no spaces.")
    rest = _without_scheme(text).removesuffix("/")
    if "@" in rest:
        raise InvalidRequest("An LXD address has no user or password: the rack authenticates with a certificate.")
    if "/" in rest:
        raise InvalidRequest(f"An LXD address has no path. Known forms: {FORMS}.")
    if "?" in rest or "#" in rest:
        raise InvalidRequest(f"An LXD address has no query or fragment. Known forms: {FORMS}.")
    found = _HOST_AND_PORT.fullmatch(rest)
    if found is None:
        raise InvalidRequest(f"This is not an LXD address. Known forms: {FORMS}.")
    port = int(found["port"] or PORT)
    if not 1 <= port <= 65535:
        raise InvalidRequest("The port of an LXD address is a number from 1 to 65535.")
    return LxdAddress(host=parse_host(found["host"]), port=port)


def _without_scheme(text: str) -> str:
    found = _SCHEME.match(text)
    if found is None:
        return text
    if found["scheme"].lower() != "https":
        raise InvalidRequest(f"LXD needs HTTPS, not {found['scheme']!r}. Known forms: {FORMS}.")
    return text[found.end() :]
