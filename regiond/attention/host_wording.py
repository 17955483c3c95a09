"""The words of hosts that cannot be used, by the kind of their error, with the command that helps. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from common.values import DriverType
from regiond.attention.model import Found, Words, sentence
from regiond.hosts.model import ErrorDetails, Secret, TrustProblem, error_details_of

_TOKEN_COMMAND = "lxc config trust add --name innkeeper"  # noqa: S105  # a command, no secret
_LXD_FINGERPRINT = "lxc info | grep certificate_fingerprint"
_SSH_FINGERPRINTS = "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -l -f $key; done"
_RETRIES = "The region retries by itself."
# By error code; an error of another code is described by its message.
_ERRORS: Mapping[str, tuple[str, str]] = {
    "rack_unreachable": (
        "has no rack that reaches it", "Start a rack that serves its zone; the region then continues by itself.",
    ),
    "host_hung": (
        "does not respond", "Check its hypervisor, which left calls open. The rack continues when it does.",
    ),
    "deadline_exceeded": ("answers too slowly", f"Check the load of the host and of its storage. {_RETRIES}"),
    "link_lost": ("was not refreshed", f"Check the connection of its racks to the region. {_RETRIES}"),
    "protocol_violation": ("was not refreshed", f"Update its racks to the release of the region. {_RETRIES}"),
    "response_rejected": (
        "sends data that are not valid", f"Correct on the host what the message says, or update its rack. {_RETRIES}",
    ),
    "driver_failed": ("cannot be refreshed", f"Correct on the host what the message says. {_RETRIES}"),
    "unsupported_by_peer": (
        "has no rack with its driver", f"Install the driver on a rack that serves its zone. {_RETRIES}",
    ),
    "busy": ("was not refreshed", f"Other tasks change the same data. {_RETRIES}"),
}  # fmt: skip
_OTHER_ERROR = ("cannot be refreshed", "Do what the message says, then refresh the host.")


def unreachable(found: Found, _: datetime) -> Words:
    """Returns the words of a host whose error a person need not resolve by trust: often no problem of the network."""
    code = found.facts["code"]
    if code is None or code == "host_unreachable":
        what = "is unreachable" if found.facts["reached"] else "has not been reached yet"
        remedy = f"Check the hypervisor of {found.name} and the network to it. {_RETRIES}"
    else:
        what, remedy = _ERRORS.get(code, _OTHER_ERROR)
    return Words(what=what, cause=sentence(found.facts["error"]), remedy=remedy)


def distrusted(found: Found, _: datetime) -> Words:
    """Returns the words of a host that waits for a person: as the page of its trust, with the commands.

    The cause is the stored message only where it says more than the facts: it has commands that the remedy has too.
    """
    details = error_details_of(found.facts["details"])
    if details is not None and details.kind is not None:
        return _TRUST[details.kind](found, details)
    return Words(
        what="waits for trust" if found.facts["code"] == "not_trusted" else "is rejected",
        cause=sentence(found.facts["error"]),
        remedy="Refresh the host: then its page offers what to do." if details is None else _OTHER_ERROR[1],
    )


def _not_trusted(found: Found, _: ErrorDetails) -> Words:
    cause = sentence(found.facts["error"])
    command = "that command" if " run: " in cause else "the command of its page"
    return Words(
        what="waits for trust",
        cause=cause,
        remedy=f"Run {command} on the server. Or get a token there with: {_TOKEN_COMMAND}. Enter it on its page.",
    )


def _key_rejected(found: Found, _: ErrorDetails) -> Words:
    return Words(
        what="does not accept our SSH key",
        cause=sentence(found.facts["error"]),
        remedy="Add the key that its page shows to authorized_keys on the server, then try again on that page.",
    )


def _secret_rejected(found: Found, details: ErrorDetails) -> Words:
    cause = sentence(details.reason, found.facts["error"])
    if details.secret is Secret.PASSWORD:
        return Words(
            what="refused the trust password",
            cause=cause,
            remedy=f"Enter the right one on its page, or a token, which the server prints with: {_TOKEN_COMMAND}.",
        )
    return Words(
        what="refused the token",
        cause=cause,
        remedy=f"A token works once. Get a new one on the server with: {_TOKEN_COMMAND}. Enter it on the host's page.",
    )


def _password_not_sent(found: Found, details: ErrorDetails) -> Words:
    return Words(
        what="waits until its fingerprint is confirmed",
        cause=f"Nobody has confirmed that this server is {found.name}, so the trust password was not sent.",
        remedy=_accepted(found, details),
    )


def _identity_changed(found: Found, details: ErrorDetails) -> Words:
    pinned = f" instead of {details.pinned}" if details.pinned else ""
    return Words(
        what="presents another fingerprint than the pinned one",
        cause=f"It presents {details.offered or 'another one'}{pinned}. If nobody replaced its certificate or key, "
        "another computer may be answering. Nothing secret was sent.",
        remedy=_accepted(found, details),
    )


def _identity_unexpected(found: Found, details: ErrorDetails) -> Words:
    return Words(
        what="presents another fingerprint than the one that was named",
        cause=f"It presents {details.offered or 'another one'}, but {details.expected or 'another one'} was named. "
        "Nothing secret was sent.",
        remedy=f"Correct its address. Or, if it is the right server: {_accepted(found, details)}",
    )


def _token_of_other_server(_: Found, __: ErrorDetails) -> Words:
    return Words(
        what="has the token of another server",
        cause="The token names another certificate than the server presents. It was not sent.",
        remedy=f"Correct its address. Or get a token on this server with: {_TOKEN_COMMAND}. Enter it on its page.",
    )


def _server_changed(found: Found, details: ErrorDetails) -> Words:
    return Words(
        what="reports that it is another server",
        cause=f"It reports {details.reported or 'another one'}, but it was {details.known or 'another one'} until now. "
        "What it reports is not used.",
        remedy=f"If it is the same server, {_confirm(found, details)}. Otherwise remove it and add that server.",
    )


def _server_unconfirmed(found: Found, details: ErrorDetails) -> Words:
    return Words(
        what="reports that it is the server of another host",
        cause=f"Host {details.host or 'another one'} is the server {details.reported or 'it reports'}, and "
        f"{found.name} does not prove that it is that server too. What it reports is not used.",
        remedy=f"If both are one server, {_confirm(found, details)}. Otherwise set host_uuid in "
        "/etc/libvirt/libvirtd.conf of one of them, restart libvirtd there, and refresh the host.",
    )


def _accepted(found: Found, details: ErrorDetails) -> str:
    """Returns the command that prints the fingerprint on the server, and the one that accepts it."""
    if details.offered is None:
        return "Compare the fingerprints on the host's page with what the server prints."
    is_lxd = found.facts["driver"] == DriverType.LXD.value
    check = _LXD_FINGERPRINT if is_lxd else _SSH_FINGERPRINTS
    return f"Run on the server: {check}. Only if it prints {details.offered}, {_confirm(found, details)}."


def _confirm(found: Found, details: ErrorDetails) -> str:
    """Returns the command that confirms what the host says, as a part of a sentence."""
    accepts = details.confirmation
    return "confirm it on the host's page" if accepts is None else f"run: {accepts.command(int(found.object_id))}"


_TRUST: Mapping[TrustProblem, Callable[[Found, ErrorDetails], Words]] = {
    TrustProblem.NOT_TRUSTED: _not_trusted,
    TrustProblem.KEY_REJECTED: _key_rejected,
    TrustProblem.SECRET_REJECTED: _secret_rejected,
    TrustProblem.PASSWORD_NOT_SENT: _password_not_sent,
    TrustProblem.IDENTITY_CHANGED: _identity_changed,
    TrustProblem.IDENTITY_UNEXPECTED: _identity_unexpected,
    TrustProblem.TOKEN_OF_OTHER_SERVER: _token_of_other_server,
    TrustProblem.SERVER_CHANGED: _server_changed,
    TrustProblem.SERVER_UNCONFIRMED: _server_unconfirmed,
}
