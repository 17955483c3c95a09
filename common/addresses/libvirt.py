"""Parses the addresses of libvirt hosts into fields and rebuilds them.

A libvirt URI can name a command to run, a socket to open or a key to trust, and can contain a password. Only the forms
below are accepted. The region validates with this module and the rack connects with it; neither needs libvirt for it.
"""

from __future__ import annotations

import re
from enum import StrEnum

from attrs import frozen

from common.addresses.host_names import bracketed, parse_host
from common.errors import InvalidRequest

SSH_PORT = 22
TLS_PORT = 16514
FORMS = "qemu:///system, qemu:///session, qemu+ssh://user@host[:port]/system, qemu+tls://host[:port]/system, test:///default"

_URI = re.compile(r"(?P<scheme>[A-Za-z0-9+.-]+)://(?P<authority>[^/]*)(?P<path>/.*)?", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


class Transport(StrEnum):
    LOCAL = "local"  # the libvirt socket of the rack's computer
    SSH = "ssh"
    TLS = "tls"
    TEST = "test"  # libvirt's test driver, inside the process that opens it


@frozen(kw_only=True)
class LibvirtAddress:
    """`path` is `/system`, `/session` or `/default`; `port` is None only for local transports."""

    transport: Transport
    path: str
    user: str | None = None
    host: str | None = None  # lower case; an IPv6 address without its brackets
    port: int | None = None

    @property
    def normalised(self) -> str:
        """The canonical text: parsing it returns an equal value."""
        if self.transport is Transport.LOCAL:
            return f"qemu://{self.path}"
        if self.transport is Transport.TEST:
            return f"test://{self.path}"
        user = "" if self.user is None else f"{self.user}@"
        port = "" if self.port == _DEFAULT_PORT[self.transport] else f":{self.port}"
        return f"qemu+{self.transport}://{user}{self.bracketed_host}{port}{self.path}"

    @property
    def bracketed_host(self) -> str:
        return bracketed(self.host or "")

    @property
    def needs_ssh_key(self) -> bool:
        return self.transport is Transport.SSH

    @property
    def is_local(self) -> bool:
        """True if only a rack on the same computer reaches it."""
        return self.transport in {Transport.LOCAL, Transport.TEST}


_DEFAULT_PORT = {Transport.SSH: SSH_PORT, Transport.TLS: TLS_PORT}
_LOCAL = {
    "qemu:///system": LibvirtAddress(transport=Transport.LOCAL, path="/system"),
    "qemu:///session": LibvirtAddress(transport=Transport.LOCAL, path="/session"),
    "test:///default": LibvirtAddress(transport=Transport.TEST, path="/default"),
}
_REMOTE = {"qemu+ssh": Transport.SSH, "qemu+tls": Transport.TLS}


def parse(text: str) -> LibvirtAddress:
    """Parses an address. Raises InvalidRequest with the problem and the valid forms."""
    if _UNPRINTABLE.search(text):
        raise InvalidRequest("A libvirt address has only printable ASCII characters and no spaces.")
    if "?" in text:
        raise InvalidRequest(
            "Query parameters ('?') are not allowed in a libvirt address: they can name commands to run."
        )
    if "#" in text:
        raise InvalidRequest("A fragment ('#') is not allowed in a libvirt address.")
    found = _URI.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"This is not a libvirt address. Known forms: {FORMS}.")
    scheme, authority, path = found["scheme"].lower(), found["authority"], found["path"] or ""
    if scheme in _REMOTE:
        return _parse_remote(_REMOTE[scheme], authority, path)
    known = _LOCAL.get(f"{scheme}://{authority}{path}")
    if known is None:
        raise InvalidRequest(_why_not_local(scheme, authority))
    return known


def _why_not_local(scheme: str, authority: str) -> str:
    if scheme == "qemu+tcp":
        return "qemu+tcp:// is neither encrypted nor authenticated: use qemu+ssh:// or qemu+tls://."
    if scheme == "qemu" and authority:
        return "qemu:// is the rack's own computer and has no host: use qemu+ssh://user@host/system or qemu+tls://host/system."
    if scheme in {"qemu", "test"}:
        return f"The part after {scheme}:// is not known. Known forms: {FORMS}."
    return f"The scheme {scheme!r} is not known. Known forms: {FORMS}."


def _parse_remote(transport: Transport, authority: str, path: str) -> LibvirtAddress:
    if path != "/system":
        raise InvalidRequest(f"A qemu+{transport}:// address ends in /system, the host's system-wide libvirt.")
    login, at, host_and_port = authority.rpartition("@")
    user = _parse_user(transport, login if at else None)
    host, port = _split_port(host_and_port)
    return LibvirtAddress(
        transport=transport, path=path, user=user, host=parse_host(host), port=port or _DEFAULT_PORT[transport]
    )


def _parse_user(transport: Transport, login: str | None) -> str | None:
    if transport is Transport.TLS:
        if login is not None:
            raise InvalidRequest("qemu+tls:// has no user: the rack authenticates with its certificate.")
        return None
    if not login:
        raise InvalidRequest("A qemu+ssh:// address needs a user: qemu+ssh://user@host/system.")
    if ":" in login:
        raise InvalidRequest("A password is not allowed in a libvirt address: Innkeeper logs in with its own key.")
    if _USER.fullmatch(login) is None:
        raise InvalidRequest(
            "The user in a libvirt address is up to 32 letters, digits, '.', '_' or '-', not starting with '.' or '-'."
        )
    return login


def _split_port(host_and_port: str) -> tuple[str, int | None]:
    if host_and_port.startswith("["):
        host, bracket, rest = host_and_port.partition("]")
        host = host + bracket
    else:
        host, colon, port_text = host_and_port.partition(":")
        rest = colon + port_text
    if not rest:
        return host, None
    digits = rest.removeprefix(":")
    if not rest.startswith(":") or _PORT.fullmatch(digits) is None or not 1 <= int(digits) <= 65535:
        raise InvalidRequest(
            "The port of a libvirt address is a number from 1 to 65535 (IPv6 addresses go in brackets)."
        )
    return host, int(digits)
