"""The words of hosts that cannot be used, by the kind of their error, with the command that helps. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from common.values import DriverType
from common.words.messages import joined, marked, message
from common.words.phrases import first_of
from common.words.product_commands import ProductCommands, commands_of
from regiond.attention.model import Found, Words, sentence
from regiond.hosts.error_details import ErrorDetails, Secret, TrustProblem
from regiond.hosts.error_details import of_column as error_details_of

_SSH_FINGERPRINTS = "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -l -f $key; done"
_RETRIES = message("The region retries by itself.")
_CANNOT, _NOT_REFRESHED = marked("cannot be refreshed"), marked("was not refreshed")
# By error code: what is wrong and what helps, and whether the region tries again; an error of another code is described
# by its message.
_ERRORS: Mapping[str, tuple[str, str, bool]] = {
    "rack_unreachable": (
        marked("has no rack that reaches it"),
        marked("Start a rack that serves its zone; the region then continues by itself."),
        False,
    ),
    "host_hung": (
        marked("does not respond"),
        marked("Check its hypervisor, which left calls open. The rack continues when it does."),
        False,
    ),
    "deadline_exceeded": (
        marked("answers too slowly"), marked("Check the load of the host and of its storage."), True,
    ),
    "link_lost": (_NOT_REFRESHED, marked("Check the connection of its racks to the region."), True),
    "protocol_violation": (_NOT_REFRESHED, marked("Update its racks to the release of the region."), True),
    "response_rejected": (
        marked("sends data that are not valid"),
        marked("Correct on the host what the message says, or update its rack."),
        True,
    ),
    "driver_failed": (_CANNOT, marked("Correct on the host what the message says."), True),
    "unsupported_by_peer": (
        marked("has no rack with its driver"), marked("Install the driver on a rack that serves its zone."), True,
    ),
    "busy": (_NOT_REFRESHED, marked("Other tasks change the same data."), True),
    "not_refreshed": (_NOT_REFRESHED, marked("Check that a rack that serves its zone is connected."), True),
}  # fmt: skip
_OTHER_ERROR = (_CANNOT, marked("Do what the message says, then refresh the host."), False)
_NAMED = 5  # hosts of the same server
_ANOTHER = message("another one")


def unreachable(found: Found, _: datetime) -> Words:
    """Returns the words of a host whose error a person need not resolve by trust: often no problem of the network."""
    code, cause = found.facts["code"], sentence(found.facts["error"])
    if code is None or code == "host_unreachable":
        what = message("is unreachable") if found.facts["reached"] else message("has not been reached yet")
        others = found.facts["others"]
        if others:
            cause = joined(
                cause, message("The same holds for {hosts} on the same server.", hosts=first_of(others, _NAMED))
            )
        remedy = message("Check the hypervisor of {host} and the network to it.", host=found.name)
        return Words(what=what, cause=cause, remedy=joined(remedy, _RETRIES))
    wrong, helps, retries = _ERRORS.get(code, _OTHER_ERROR)
    return Words(what=message(wrong), cause=cause, remedy=joined(message(helps), _RETRIES if retries else ""))


def distrusted(found: Found, _: datetime) -> Words:
    """Returns the words of a host that waits for a person: as the page of its trust, with the commands.

    The cause is the stored message only where it says more than the facts: it has commands that the remedy has too.
    """
    details = error_details_of(found.facts["details"])
    if details is not None and details.kind is not None:
        return _TRUST[details.kind](found, details)
    return Words(
        what=message("waits for trust") if found.facts["code"] == "not_trusted" else message("is rejected"),
        cause=sentence(found.facts["error"]),
        remedy=message("Refresh the host: then its page offers what to do.")
        if details is None
        else message(_OTHER_ERROR[1]),
    )


def _not_trusted(found: Found, _: ErrorDetails) -> Words:
    cause = sentence(found.facts["error"])
    run = (
        message("Run that command on the server.")
        if " run: " in cause
        else message("Run the command of its page on the server.")
    )
    token = message(
        "Or get a token there with: {command}. Enter it on its page.", command=_commands(found).how_to_trust
    )
    return Words(what=message("waits for trust"), cause=cause, remedy=joined(run, token))


def _key_rejected(found: Found, _: ErrorDetails) -> Words:
    return Words(
        what=message("does not accept our SSH key"),
        cause=sentence(found.facts["error"]),
        remedy=message(
            "Add the key that its page shows to authorized_keys on the server, then try again on that page."
        ),
    )


def _secret_rejected(found: Found, details: ErrorDetails) -> Words:
    cause = sentence(details.reason, found.facts["error"])
    if details.secret is Secret.PASSWORD:
        return Words(
            what=message("refused the trust password"),
            cause=cause,
            remedy=message(
                "Enter the right one on its page, or a token, which the server prints with: {command}.",
                command=_commands(found).how_to_trust,
            ),
        )
    return Words(
        what=message("refused the token"),
        cause=cause,
        remedy=message(
            "A token works once. Get a new one on the server with: {command}. Enter it on the host's page.",
            command=_commands(found).how_to_trust,
        ),
    )


def _password_not_sent(found: Found, details: ErrorDetails) -> Words:
    return Words(
        what=message("waits until its fingerprint is confirmed"),
        cause=message(
            "Nobody has confirmed that this server is {host}, so the trust password was not sent.", host=found.name
        ),
        remedy=_accepted(found, details),
    )


_DOUBT = message(
    "If nobody replaced its certificate or key, another computer may be answering. Nothing secret was sent."
)


def _identity_changed(found: Found, details: ErrorDetails) -> Words:
    offered = details.offered or _ANOTHER
    presents = (
        message("It presents {offered} instead of {pinned}.", offered=offered, pinned=details.pinned)
        if details.pinned
        else message("It presents {offered}.", offered=offered)
    )
    return Words(
        what=message("presents another fingerprint than the pinned one"),
        cause=joined(presents, _DOUBT),
        remedy=_accepted(found, details),
    )


def _identity_unexpected(found: Found, details: ErrorDetails) -> Words:
    return Words(
        what=message("presents another fingerprint than the one that was named"),
        cause=message(
            "It presents {offered}, but {expected} was named. Nothing secret was sent.",
            offered=details.offered or _ANOTHER,
            expected=details.expected or _ANOTHER,
        ),
        remedy=joined(message("Correct its address. Or, if it is the right server:"), _accepted(found, details)),
    )


def _token_of_other_server(found: Found, _: ErrorDetails) -> Words:
    return Words(
        what=message("has the token of another server"),
        cause=message("The token names another certificate than the server presents. It was not sent."),
        remedy=message(
            "Correct its address. Or get a token on this server with: {command}. Enter it on its page.",
            command=_commands(found).how_to_trust,
        ),
    )


def _server_changed(found: Found, details: ErrorDetails) -> Words:
    return Words(
        what=message("reports that it is another server"),
        cause=message(
            "It reports {reported}, but it was {known} until now. What it reports is not used.",
            reported=details.reported or _ANOTHER,
            known=details.known or _ANOTHER,
        ),
        remedy=message(
            "If it is the same server, {confirm}. Otherwise remove it and add that server.",
            confirm=_confirm(found, details),
        ),
    )


def _server_unconfirmed(found: Found, details: ErrorDetails) -> Words:
    return Words(
        what=message("reports that it is the server of another host"),
        cause=message(
            "Host {host} is the server {reported}, and {name} does not prove that it is that server too. "
            "What it reports is not used.",
            host=details.host or _ANOTHER,
            reported=details.reported or message("it reports"),
            name=found.name,
        ),
        remedy=message(
            "If both are one server, {confirm}. Otherwise set host_uuid in /etc/libvirt/libvirtd.conf of one of them, "
            "restart libvirtd there, and refresh the host.",
            confirm=_confirm(found, details),
        ),
    )


def _commands(found: Found) -> ProductCommands:
    return commands_of(found.facts["product"])


def _accepted(found: Found, details: ErrorDetails) -> str:
    """Returns the command that prints the fingerprint on the server, and the one that accepts it."""
    if details.offered is None:
        return message("Compare the fingerprints on the host's page with what the server prints.")
    is_lxd = found.facts["driver"] == DriverType.LXD.value
    return message(
        "Run on the server: {check}. Only if it prints {offered}, {confirm}.",
        check=_commands(found).check_certificate if is_lxd else _SSH_FINGERPRINTS,
        offered=details.offered,
        confirm=_confirm(found, details),
    )


def _confirm(found: Found, details: ErrorDetails) -> str:
    """Returns the command that confirms what the host says, as a part of a sentence."""
    accepts = details.confirmation
    if accepts is None:
        return message("confirm it on the host's page")
    return message("run: {command}", command=accepts.command(int(found.object_id)))


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
