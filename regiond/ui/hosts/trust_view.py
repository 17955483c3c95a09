"""The trust between a host and Innkeeper as a page shows it, and what can be accepted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from common.trust.expiry import SOON_DAYS
from common.values import DriverType
from common.words.product_commands import ProductCommands, commands_of
from regiond.hosts.error_details import Confirmation, TrustProblem
from regiond.hosts.model import HostState, HostView
from regiond.ui.hosts.trust_advice import Advice, advice_of
from regiond.ui.texts import counted, text

_OTHER_FINGERPRINT = (
    TrustProblem.IDENTITY_CHANGED,
    TrustProblem.IDENTITY_UNEXPECTED,
    TrustProblem.TOKEN_OF_OTHER_SERVER,
)


@frozen(kw_only=True)
class Expiry:
    """The time when a certificate expires, and how long it is valid until then."""

    at: datetime
    left: str
    is_soon: bool


def expiry(at: datetime | None, now: datetime) -> Expiry | None:
    """Returns None for a time that is not known."""
    if at is None:
        return None
    days = (at - now).days
    left = text("expired") if days < 0 else counted("{n} day", "{n} days", days)
    return Expiry(at=at, left=left, is_soon=days < SOON_DAYS)


@frozen(kw_only=True)
class TrustView:
    """`presented` is a fingerprint that is not the pinned one, and that nobody has accepted; `expected` the named one.

    `may_accept`: a person may accept what is presented. `confirmation` accepts which server the host is.
    """

    is_lxd: bool
    commands: ProductCommands
    is_waiting: bool
    server_kind: str
    certificate: str
    expiry: Expiry | None
    command: str
    unrestricted_command: str
    certificate_url: str
    ssh_public_key: str
    has_password: bool
    pinned: str
    pinned_expiry: Expiry | None
    is_confirmed: bool
    presented: str
    expected: str
    named_by: str
    confirmation: Confirmation | None
    advice: Advice | None

    @property
    def shown(self) -> str:
        """Returns the fingerprint that the server presents."""
        return self.presented or self.pinned

    @property
    def may_accept(self) -> bool:
        """A token of another server is no reason to accept the one that answers; that needs no acceptance either."""
        return bool(self.presented or (self.pinned and not self.is_confirmed)) and self.named_by != "token"

    @property
    def asks_for_trust(self) -> bool:
        """Returns whether it helps that the server trusts Innkeeper: not before it is known which server this is."""
        is_other = bool(self.presented) and self.named_by != "token"
        return not is_other and self.confirmation is None

    @property
    def check_command(self) -> str:
        """Returns the command that prints the server's fingerprint on the server."""
        if self.is_lxd:
            return self.commands.check_certificate
        return "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -l -f $key; done"


def trust_view(host: HostView, parameters: Mapping[str, str], now: datetime) -> TrustView:
    """`parameters` are those that `op=parameters` returns; secrets in them are masked."""
    is_lxd = host.driver is DriverType.LXD
    details = host.error_details
    kind = None if details is None else details.kind
    offered = (details.offered or "") if details is not None and kind in _OTHER_FINGERPRINT else ""
    accepts = None if details is None else details.confirmation
    return TrustView(
        is_lxd=is_lxd,
        commands=commands_of(host.product),
        is_waiting=host.error_code == "not_trusted" and host.state is not HostState.REMOVING,
        server_kind=text("certificate") if is_lxd else text("SSH host key"),
        certificate=host.certificate_fingerprint or "",
        expiry=expiry(host.certificate_expires_at, now),
        command=parameters.get("trust_command", ""),
        unrestricted_command=parameters.get("trust_command_unrestricted", ""),
        certificate_url=parameters.get("certificate_url", ""),
        ssh_public_key=parameters.get("ssh_public_key", ""),
        has_password=not is_lxd and "power_pass" in parameters,
        pinned=host.pinned_fingerprint or "",
        pinned_expiry=expiry(host.pinned_expires_at, now),
        is_confirmed=host.identity_confirmed,
        presented="" if offered == host.pinned_fingerprint else offered,
        expected=(details.expected or "") if details is not None and offered else "",
        named_by="token" if kind is TrustProblem.TOKEN_OF_OTHER_SERVER else "person",
        confirmation=accepts if accepts is not None and accepts.op == "confirm_server" else None,
        advice=advice_of(host),
    )
