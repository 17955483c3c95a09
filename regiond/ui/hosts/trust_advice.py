"""Says what keeps a host from being used until a person acts, and what that person does next. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from common.words.product_commands import commands_of
from regiond.hosts.error_details import ErrorDetails, Secret, TrustProblem
from regiond.hosts.model import HostState, HostView
from regiond.ui.texts import text

TRUST_CODES = frozenset({"not_trusted", "peer_changed", "server_unconfirmed"})


@frozen(kw_only=True)
class Advice:
    """`place` is the part of the page of trust where `todo` is done: server, trust, which or retry.

    `is_waiting`: nothing is wrong, the host waits for a person. `way` is the way to trust that fits. `may_move`: the
    address may be wrong.
    """

    title: str
    found: str
    todo: str
    place: str
    is_waiting: bool = False
    way: str = ""
    may_move: bool = False


def advice_of(host: HostView) -> Advice | None:
    """Returns None for a host that no person has to make trusted."""
    if host.error_code not in TRUST_CODES or host.state is HostState.REMOVING:
        return None
    details = host.error_details
    if details is None:
        return Advice(
            title=text("Not read since Innkeeper was upgraded"),
            found=text(
                "The error of {name} was stored by an earlier release, without what can be confirmed here.",
                name=host.name,
            ),
            todo=text("Refresh the host: then this page offers what to do."),
            place="retry",
        )
    if details.kind is None:
        return Advice(
            title=text("{name} rejects Innkeeper", name=host.name),
            found=host.error_message or "",
            todo=text("Do what the message says, then try again."),
            place="retry",
        )
    return _ADVICE[details.kind](host, details)


def _not_trusted(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title=text("Waiting for {name} to trust our certificate", name=host.name),
        found=text("Not trusted yet. It is tried every few seconds, after an hour every half minute."),
        todo=text("Run the command on the server, or use a token. This page continues when trust appears."),
        place="trust",
        is_waiting=True,
    )


def _key_rejected(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title=text("Waiting for {name} to accept our SSH key", name=host.name),
        found=text(
            "The login at {address} was refused. It is not repeated often, so that no server blocks the rack.",
            address=host.address,
        ),
        todo=text("Add our SSH key to authorized_keys there, then try again."),
        place="trust",
        is_waiting=True,
    )


def _secret_rejected(host: HostView, details: ErrorDetails) -> Advice:
    found = details.reason or text("{product} rejected it.", product=commands_of(host.product).product)
    if details.secret is Secret.PASSWORD:
        return Advice(
            title=text("The trust password was refused"),
            found=found,
            todo=text("Enter the right one, or use a token."),
            place="trust",
            way="password",
        )
    return Advice(
        title=text("The token was refused"),
        found=found,
        todo=text(
            "A token works once. Get a new one on the server with {command}, and enter it below.",
            command=commands_of(host.product).how_to_trust,
        ),
        place="trust",
        way="token",
    )


def _password_not_sent(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title=text("The password was not sent yet"),
        found=text(
            "Nobody has confirmed that the server at {address} is {name}.", address=host.address, name=host.name
        ),
        todo=text("Compare both fingerprints. If they are the same, confirm that: the password is sent at once."),
        place="server",
        way="password",
    )


def _identity_changed(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title=text("{name} presents another fingerprint than the pinned one", name=host.name),
        found=text(
            "If nobody replaced its certificate or key, somebody else may be answering. Nothing secret was sent."
        ),
        todo=text("Compare the new fingerprint with what the server prints. Accept it only if they are the same."),
        place="server",
    )


def _identity_unexpected(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title=text("The server at {address} is not the one that was named", address=host.address),
        found=text(
            "It presents another fingerprint than the one given for {name}. Nothing secret was sent.", name=host.name
        ),
        todo=text("Correct the address. Or, if the server prints the fingerprint presented here, accept it."),
        place="server",
        may_move=True,
    )


def _token_of_other_server(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title=text("The token is for another server"),
        found=text(
            "It names another certificate than {address} presents. The token was not sent.", address=host.address
        ),
        todo=text(
            "Correct the address, or get a token on this server with {command}, and enter it below.",
            command=commands_of(host.product).how_to_trust,
        ),
        place="trust",
        way="token",
        may_move=True,
    )


def _server_changed(host: HostView, details: ErrorDetails) -> Advice:
    return Advice(
        title=text("{name} reports that it is another server", name=host.name),
        found=text(
            "It reports {reported}, but it was {known} until now. What it reports is not used.",
            reported=details.reported,
            known=details.known or text("another one"),
        ),
        todo=text("If it is the same server, accept its new identity. Otherwise remove the host and add that server."),
        place="which",
    )


def _server_unconfirmed(host: HostView, details: ErrorDetails) -> Advice:
    return Advice(
        title=text("{name} reports that it is the server of another host", name=host.name),
        found=text(
            "Host {host} is the server {reported}, and {name} does not prove that it is that server too. "
            "What it reports is not used.",
            host=details.host,
            reported=details.reported,
            name=host.name,
        ),
        todo=text(
            "If both are one server, confirm that. Otherwise set host_uuid in /etc/libvirt/libvirtd.conf of "
            "one of them, restart libvirtd there, and try again."
        ),
        place="which",
    )


_ADVICE: Mapping[TrustProblem, Callable[[HostView, ErrorDetails], Advice]] = {
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
