"""Determines the server of a host from the proof of its connection, or from the server's report. Pure.

The identity of an LXD server is its pinned certificate, that of a simulated server the name in its address; no other
server can present them. libvirt only reports a host UUID: it names a server, but does not prove that the host is it.
Neither does the driver of an added type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import frozen

from common.addresses.simulated import SimulatedAddress
from common.errors import DriverFailed, NotTrusted, PeerChanged
from common.values import DriverType, HostFacts
from common.words.hidden_text import hidden, hidden_place

MAX_CHARS = 300
_OWN = "@host-"  # appended to the identity of a libvirt server whose UUID many boards share
_UUID_AT_END = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_MIN_DIFFERENT_BYTES = 4
# The values that manufacturers leave in SMBIOS when they set no UUID.
_COMMON_UUIDS = frozenset(
    {
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
        "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "01234567-89ab-cdef-0123-456789abcdef",
        "00112233-4455-6677-8899-aabbccddeeff",
        "12345678-1234-5678-90ab-cddeefaabbcc",
        "12345678-1234-5678-1234-567812345678",
        "12345678-1234-1234-1234-123456789012",
        "12345678-1234-1234-1234-123456789abc",
        "4c4c4544-0000-2010-8020-80c04f202020",
    }
)


@frozen(kw_only=True)
class Contact:
    """The connection to a host, as far as it proves the host's identity."""

    host_id: int
    driver: DriverType
    address: str
    pinned_fingerprint: str | None  # of the certificate or host key that the connection was verified with


def is_common_uuid(uuid: str) -> bool:
    """Returns whether boards of several owners have this UUID, such as one of only zeros."""
    text = uuid.lower()
    digits = text.replace("-", "")
    bytes_ = {digits[at : at + 2] for at in range(0, len(digits), 2)}
    return len(bytes_) < _MIN_DIFFERENT_BYTES or text in _COMMON_UUIDS


def identity_of(contact: Contact, facts: HostFacts, *, known: str | None, confirmed: str | None = None) -> str:
    """Returns the identity of the server behind a host.

    `known` is the identity of its current server, `confirmed` the one that an administrator confirmed for this host.

    Raises NotTrusted for an LXD server without a pinned certificate, PeerChanged if a simulated host reports another
    name than that in its address, DriverFailed for a report without a server.
    """
    match contact.driver:
        case DriverType.LXD:
            return _of_lxd(contact, facts.cluster_member)
        case DriverType.SIMULATED:
            return _of_simulated(contact, facts.server_identity)
        case _:
            return _of_reported(contact, facts.server_identity, (confirmed, known))


def proves_identity(driver: DriverType) -> bool:
    """Returns whether no other server can have the identity of a host with this driver."""
    return driver in {DriverType.LXD, DriverType.SIMULATED}


def became_member(known: str, claimed: str) -> bool:
    """Returns whether an LXD server has joined or founded a cluster and still presents the same certificate."""
    alone = f"{DriverType.LXD}/lxd:"
    return known.startswith(alone) and ":" not in known.removeprefix(alone) and claimed.startswith(f"{known}:")


def _of_lxd(contact: Contact, member: str | None) -> str:
    """Returns the identity of an LXD server. Cluster members present the same certificate; their names differ."""
    if contact.pinned_fingerprint is None:
        raise NotTrusted(f"The certificate of {hidden_place(contact.address)} is not pinned yet.")
    server = f"{contact.driver}/lxd:{contact.pinned_fingerprint}"
    return server if member is None else f"{server}:{_checked(member)}"


def _of_simulated(contact: Contact, reported: str) -> str:
    named = SimulatedAddress.parse(contact.address).identity
    if reported != named:
        found = f"The host reports that it is {_checked(reported)}, but its address is that of {named}."
        raise PeerChanged(hidden(found))
    return f"{contact.driver}/{named}"


def _of_reported(contact: Contact, reported: str, used: Iterable[str | None]) -> str:
    """Returns the identity that a server reports. With a UUID of many boards it is one of `used`, or one of its own."""
    server = f"{contact.driver}/{_checked(reported)}"
    uuid = _UUID_AT_END.search(server.lower())
    if uuid is None or not is_common_uuid(uuid[0]):
        return server
    own = f"{server}{_OWN}{contact.host_id}"
    return next((one for one in used if one is not None and (one == server or one.startswith(server + _OWN))), own)


def _checked(reported: str) -> str:
    if len(reported) > MAX_CHARS or not reported.isprintable():
        name = hidden_place(f"{reported[:60]!r}…")
        raise DriverFailed(f"The host reports the name {name}, which cannot be that of a server.")
    return reported
