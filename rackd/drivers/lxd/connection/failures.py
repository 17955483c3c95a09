"""Innkeeper's errors for the statuses and reasons with which a server refuses."""

from __future__ import annotations

import re

from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotFound, NotTrusted
from rackd.drivers.lxd.connection.dialect import Dialect

_UNAVAILABLE = {502, 503, 504}  # the server is starting, stopping, or without its cluster database
# What it says with status 500 of a cluster member that does not respond.
_MEMBER_DOWN = (
    "missing event connection",
    "unable to connect to",
    "server isn't ready yet",
    "target cluster member is unavailable",
)
_FORWARDED = re.compile(r'(get|put|post|patch|delete) "https://[^"]+/1\.0/')  # to a member, whose answer did not come
# What Incus 6.0 says with status 500 to a certificate that is restricted to projects.
_RESTRICTED = ("certificate is restricted", "does not have permission")
# What a cluster refuses to any certificate, with status 403, and what helps.
_CLUSTER_RULES = (
    ("member is evacuated", "It takes VMs again after: {client} cluster restore MEMBER"),
    (
        "doesn't allow cluster member targeting",
        "Innkeeper chooses the member of each VM. To allow it: {client} project set PROJECT "
        "restricted.cluster.target=allow",
    ),
    (
        "isn't allowed to use this cluster member",
        "Use a member of a group in restricted.cluster.groups of the project, or add this one with: "
        "{client} cluster group assign",
    ),
)
# What helps an identity of LXD. Without the second permission it sees neither the memory nor the storage of the server.
_OF_IDENTITIES = (
    "if it is that of an identity, its groups need operator of this project, and can_view_resources and "
    "can_view_metrics of the server ({client} auth group permission add GROUP server can_view_resources); "
)
_INVALID = "validation"
MAX_REASON = 2000  # characters of a server's reason: patterns look through it, and it stands in messages
_FULL = "no space left on device"
_TAKEN = ("already exists", "unique constraint failed: instances")


class NotAuthorized(NotTrusted):
    """LXD responded 403. The driver may have an alternative; callers see NotTrusted."""


class Conflict(DriverFailed):
    """The object to create already exists."""


class PreconditionFailed(DriverFailed):
    """The object to change has changed since it was read."""


class NoSpace(DriverFailed):
    """The server's disk, or that of a storage pool, is full. Callers see OutOfCapacity, which says what for."""


class Unfinished(DriverFailed):
    """The operation did not end in time; its outcome is unknown."""


def is_invalid(error: DriverFailed) -> bool:
    """Returns whether the server refuses what was asked for itself: whatever the instance does meanwhile."""
    return _INVALID in str(error).lower()


def of_response(
    status: int, reason: str, dialect: Dialect, *, server: str, what: str, has_identities: bool = False
) -> InnkeeperError:
    """Returns the error of a response that is no success. `what` was asked for, as `GET /1.0/instances`; `server` is
    the address of the server, which may have certificates whose permissions come from groups (`has_identities`).
    """
    product, reason = dialect.product, reason[:MAX_REASON]
    for text, remedy in _CLUSTER_RULES:
        if text in reason.lower():
            return DriverFailed(f"{product} at {server}: {reason}. {remedy.format(client=dialect.client)}")
    if status == 403 or any(text in reason.lower() for text in _RESTRICTED):
        return NotAuthorized(
            f"{product} at {server} does not allow this to Innkeeper's certificate ({reason}). If the "
            f"certificate is restricted, add this project to it with {dialect.client} config trust edit; "
            f"{_OF_IDENTITIES.format(client=dialect.client) if has_identities else ''}"
            "if it is no longer trusted, get a new token with: "
            f"{dialect.how_to_trust}"
        )
    if status in _UNAVAILABLE or _is_of_member(reason.lower()):
        return HostUnreachable(f"{product} at {server} is not ready: {reason}.")
    if status == 404:
        return NotFound(f"{product}: {reason} ({what}).")
    if status == 412:
        return PreconditionFailed(f"{product}: {reason}.")
    return Conflict(f"{product}: {reason}.") if status == 409 else of_operation(reason, dialect)


def _is_of_member(reason: str) -> bool:
    return any(text in reason for text in _MEMBER_DOWN) or _FORWARDED.match(reason) is not None


def of_operation(reason: str, dialect: Dialect) -> DriverFailed:
    """Returns the error of an operation that failed for this reason."""
    reason = reason[:MAX_REASON]
    message, text = f"{dialect.product}: {reason}.", reason.lower()
    if _FULL in text:
        return NoSpace(message)
    return Conflict(message) if any(taken in text for taken in _TAKEN) else DriverFailed(message)
