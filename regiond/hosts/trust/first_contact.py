"""Decides whether a host may be pinned to a server, and a trust password sent to it. Pure."""

from __future__ import annotations

import re

from common.errors import InvalidRequest, NotTrusted, PeerChanged
from common.values import DriverType
from common.words.hidden_text import hidden
from common.words.product_commands import ProductCommands
from regiond.hosts.error_details import Secret
from regiond.hosts.trust.trust_instructions import accept_command

_HEX = re.compile(r"[0-9a-f]{64}")
_SSH = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


def read_fingerprint(text: str | None, driver: DriverType, *, has_identity: bool) -> str | None:
    """Returns the fingerprint in Innkeeper's form: hex for a certificate, `SHA256:…` for an SSH host key.

    Colons between the digits and capital letters of hex are accepted. Raises InvalidRequest for `fingerprint`.
    """
    if text is None:
        return None
    if not has_identity:
        raise _invalid("This host presents no certificate or SSH host key at its address.")
    if driver is DriverType.LXD:
        found = text.replace(":", "").lower()
        if _HEX.fullmatch(found) is None:
            raise _invalid("Give the SHA-256 of the server's certificate: 64 hexadecimal digits.")
        return found
    found = text.rstrip("=")
    if _SSH.fullmatch(found) is None:
        raise _invalid("Give the SSH host key's fingerprint as ssh-keygen -l prints it: SHA256:…")
    return found


def unexpected(host_name: str, address: str, expected: str, presented: str) -> PeerChanged:
    """Returns the error for another server than a person named. No secret has been sent to that server."""
    return PeerChanged(
        hidden(
            f"{address} presents {presented}, but {expected} was given as the fingerprint of {host_name}. Nothing "
            "secret was sent, and the host is not pinned. Check the address, or give the fingerprint of this server: "
            f"innkeeper vm-host update {host_name} fingerprint=FINGERPRINT"
        ),
        expected=expected,
        presented=presented,
    )


def unconfirmed(host_id: int, host_name: str, address: str, presented: str, commands: ProductCommands) -> NotTrusted:
    """Returns the reason why the trust password of a host was not sent, with the command that sends it."""
    return NotTrusted(
        hidden(
            f"The trust password of {host_name} was not sent: {address} presents the certificate {presented}, which "
            f"nobody has confirmed. Compare it with the output on the server of: {commands.check_certificate}. If it "
            f"is the same, run: {accept_command(host_id, presented)}. A request with the password and "
            f"fingerprint={presented}, or with trust_on_first_use=true, sends it at once."
        ),
        offered=presented,
        unsent=Secret.PASSWORD.value,
    )


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest.of({"fingerprint": [message]})
