"""Says what keeps a host from being used until a person acts, and what that person does next. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from regiond.hosts.model import ErrorDetails, HostState, HostView, Secret, TrustProblem

TRUST_CODES = frozenset({"not_trusted", "peer_changed", "server_unconfirmed"})
_TOKEN = "lxc config trust add --name innkeeper"  # noqa: S105  # a command


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
            title="Not read since Innkeeper was upgraded",
            found=f"The error of {host.name} was stored by an earlier release, without what can be confirmed here.",
            todo="Refresh the host: then this page offers what to do.",
            place="retry",
        )
    if details.kind is None:
        return Advice(
            title=f"{host.name} rejects Innkeeper",
            found=host.error_message or "",
            todo="Do what the message says, then try again.",
            place="retry",
        )
    return _ADVICE[details.kind](host, details)


def _not_trusted(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title=f"Waiting for {host.name} to trust our certificate",
        found="Not trusted yet. It is tried every few seconds, after an hour every half minute.",
        todo="Run the command on the server, or use a token. This page continues when trust appears.",
        place="trust",
        is_waiting=True,
    )


def _key_rejected(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title=f"Waiting for {host.name} to accept our SSH key",
        found=f"The login at {host.address} was refused. It is not repeated often, so that no server blocks the rack.",
        todo="Add our SSH key to authorized_keys there, then try again.",
        place="trust",
        is_waiting=True,
    )


def _secret_rejected(_: HostView, details: ErrorDetails) -> Advice:
    found = details.reason or "LXD rejected it."
    if details.secret is Secret.PASSWORD:
        return Advice(
            title="The trust password was refused",
            found=found,
            todo="Enter the right one, or use a token.",
            place="trust",
            way="password",
        )
    return Advice(
        title="The token was refused",
        found=found,
        todo=f"A token works once. Get a new one on the server with {_TOKEN}, and enter it below.",
        place="trust",
        way="token",
    )


def _password_not_sent(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title="The password was not sent yet",
        found=f"Nobody has confirmed that the server at {host.address} is {host.name}.",
        todo="Compare both fingerprints. If they are the same, confirm that: the password is sent at once.",
        place="server",
        way="password",
    )


def _identity_changed(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title=f"{host.name} presents another fingerprint than the pinned one",
        found="If nobody replaced its certificate or key, somebody else may be answering. Nothing secret was sent.",
        todo="Compare the new fingerprint with what the server prints. Accept it only if they are the same.",
        place="server",
    )


def _identity_unexpected(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title=f"The server at {host.address} is not the one that was named",
        found=f"It presents another fingerprint than the one given for {host.name}. Nothing secret was sent.",
        todo="Correct the address. Or, if the server prints the fingerprint presented here, accept it.",
        place="server",
        may_move=True,
    )


def _token_of_other_server(host: HostView, _: ErrorDetails) -> Advice:
    return Advice(
        title="The token is for another server",
        found=f"It names another certificate than {host.address} presents. The token was not sent.",
        todo=f"Correct the address, or get a token on this server with {_TOKEN}, and enter it below.",
        place="trust",
        way="token",
        may_move=True,
    )


def _server_changed(host: HostView, details: ErrorDetails) -> Advice:
    return Advice(
        title=f"{host.name} reports that it is another server",
        found=f"It reports {details.reported}, but it was {details.known or 'another one'} until now. "
        "What it reports is not used.",
        todo="If it is the same server, accept its new identity. Otherwise remove the host and add that server.",
        place="which",
    )


def _server_unconfirmed(host: HostView, details: ErrorDetails) -> Advice:
    return Advice(
        title=f"{host.name} reports that it is the server of another host",
        found=f"Host {details.host} is the server {details.reported}, and {host.name} does not prove that it is that "
        "server too. What it reports is not used.",
        todo="If both are one server, confirm that. Otherwise set host_uuid in /etc/libvirt/libvirtd.conf of one of "
        "them, restart libvirtd there, and try again.",
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
