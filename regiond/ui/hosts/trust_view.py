"""The trust between a host and Innkeeper as a page shows it, and what can be accepted. Pure.

Error texts of hosts name what to accept as a command of the CLI; the page offers the same as a button.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from common.values import DriverType
from regiond.hosts.model import HostState, HostView

_ACCEPT = re.compile(r"vm-host trust \S+ fingerprint=([0-9a-f]{64}|SHA256:[A-Za-z0-9+/]{43})")
_CONFIRM = re.compile(r"vm-host confirm-server \S+ (identity|host)=('[^']*'|\S+)")
_SOON_DAYS = 30


@frozen(kw_only=True)
class Confirmation:
    """The field of `confirm_server` that accepts which server the host is."""

    field: str
    value: str


@frozen(kw_only=True)
class TrustView:
    """`presented` is the fingerprint of a changed certificate or host key, which nobody has accepted."""

    is_lxd: bool
    is_waiting: bool
    server_kind: str
    certificate: str
    expires_at: datetime | None
    expires_in: str
    expires_soon: bool
    command: str
    unrestricted_command: str
    certificate_url: str
    ssh_public_key: str
    pinned: str
    is_confirmed: bool
    presented: str
    confirmation: Confirmation | None

    @property
    def check_command(self) -> str:
        """Returns the command that prints the server's fingerprint on the server."""
        if self.is_lxd:
            return "lxc info | grep certificate_fingerprint"
        return "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -l -f $key; done"


def trust_view(host: HostView, parameters: Mapping[str, str], now: datetime) -> TrustView:
    """`parameters` are those that `op=parameters` returns; secrets in them are masked."""
    is_lxd = host.driver is DriverType.LXD
    days = None if host.certificate_expires_at is None else (host.certificate_expires_at - now).days
    return TrustView(
        is_lxd=is_lxd,
        is_waiting=host.error_code == "not_trusted" and host.state is not HostState.REMOVING,
        server_kind="certificate" if is_lxd else "SSH host key",
        certificate=host.certificate_fingerprint or "",
        expires_at=host.certificate_expires_at,
        expires_in="" if days is None else "expired" if days < 0 else f"{days} days",
        expires_soon=days is not None and days < _SOON_DAYS,
        command=parameters.get("trust_command", ""),
        unrestricted_command=parameters.get("trust_command_unrestricted", ""),
        certificate_url=parameters.get("certificate_url", ""),
        ssh_public_key=parameters.get("ssh_public_key", ""),
        pinned=host.pinned_fingerprint or "",
        is_confirmed=host.identity_confirmed,
        presented=_presented(host),
        confirmation=_confirmation(host),
    )


def _presented(host: HostView) -> str:
    found = _ACCEPT.search(host.error_message or "") if host.error_code == "peer_changed" else None
    return found[1] if found and found[1] != host.pinned_fingerprint else ""


def _confirmation(host: HostView) -> Confirmation | None:
    found = _CONFIRM.search(host.error_message or "")
    return None if found is None else Confirmation(field=found[1], value=found[2].strip("'"))
