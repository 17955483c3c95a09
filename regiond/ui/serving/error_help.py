"""The help on the page of an error: the missing right, what would help, where to go. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from common import errors
from common.errors import InnkeeperError
from regiond.requests.caller import Caller, PoolRole
from regiond.ui.extension import Link, pages_extensions
from regiond.ui.texts import constant, text
from regiond.ui.web_request import UI, page_url

# The list of each kind of object, by the beginning of its address: the longest that fits counts.
_LISTS: Mapping[tuple[str, ...], tuple[str, Link]] = {
    ("hosts",): (constant("host"), (constant("All hosts"), page_url("hosts"))),
    ("clusters",): (constant("cluster"), (constant("All clusters"), page_url("clusters"))),
    ("vms",): (constant("VM"), (constant("All VMs"), page_url("vms"))),
    ("compose",): (constant("host or task"), (constant("All hosts"), page_url("hosts"))),
    ("tasks",): (constant("task"), (constant("All tasks"), page_url("tasks"))),
    ("networks",): (constant("network"), (constant("All networks"), page_url("networks"))),
    ("networks", "devices"): (constant("device"), (constant("All networks"), page_url("networks"))),
    ("networks", "dns"): (constant("domain or name"), (constant("All networks"), page_url("networks"))),
    ("pools",): (constant("resource pool"), (constant("Pools and zones"), page_url("pools"))),
    ("zones",): (constant("zone"), (constant("Pools and zones"), page_url("pools"))),
    ("account",): (constant("key, session or client of yours"), (constant("Your account"), page_url("account"))),
    ("settings", "users"): (constant("user"), (constant("All users"), page_url("settings", "users"))),
    ("settings", "racks"): (constant("rack"), (constant("All racks"), page_url("settings", "racks"))),
    ("settings", "images"): (constant("image"), (constant("All images"), page_url("settings", "images"))),
    ("settings", "image-upload"): (constant("image"), (constant("All images"), page_url("settings", "images"))),
    ("settings", "new-image"): (
        constant("way to add an image"),
        (constant("All images"), page_url("settings", "images")),
    ),
    ("settings", "exports"): (constant("export"), (constant("All exports"), page_url("settings", "exports"))),
    ("settings", "tags"): (constant("tag"), (constant("All tags"), page_url("settings", "tags"))),
    ("events",): (constant("format of an export"), (constant("All events"), page_url("events"))),
    ("lists",): (constant("list"), (constant("Overview"), page_url("overview"))),
    ("settings", "quotas"): (constant("quota"), (constant("All quotas"), page_url("settings", "quotas"))),
    ("settings", "roles"): (constant("role"), (constant("All roles"), page_url("settings", "roles"))),
    ("settings", "discrepancies"): (
        constant("discrepancy"),
        (constant("All discrepancies"), page_url("settings", "discrepancies")),
    ),
    ("settings", "audit"): (constant("request"), (constant("Audit trail"), page_url("settings", "audit"))),
    ("settings",): (constant("page"), (constant("Settings"), page_url("settings"))),
}
_OVERVIEW: Link = (constant("Overview"), page_url("overview"))
_UNKNOWN = constant("It may have taken effect, or may still. Check the object and its tasks before you repeat it.")
_REMEDIES: Mapping[type[InnkeeperError], str] = {
    errors.WrongState: constant("Open it again to see its state now, and what can be done in it."),
    errors.Busy: constant("Wait until the other task has ended, or cancel that one; then try again."),
    errors.NameTaken: constant("Choose another name."),
    errors.OutOfCapacity: constant("Ask for less, release something, or open another host for placement."),
    errors.QuotaExceeded: constant("Release something, or ask an administrator for a higher quota."),
    errors.RackUnreachable: constant(
        "Check that a rack of the zone runs and is connected: Settings, Racks and regions."
    ),
    errors.HostUnreachable: constant(
        "Check that the host runs, and that a rack of its zone can connect to its address."
    ),
    errors.HostHung: constant("Check what keeps the host busy. Its calls continue when it answers."),
    errors.NotTrusted: constant("Make the host trust Innkeeper: the host's settings, Trust."),
    errors.PeerChanged: constant("Compare the fingerprint with what the host prints: the host's settings, Trust."),
    errors.DeadlineExceeded: _UNKNOWN,
    errors.LinkLost: _UNKNOWN,
    errors.TooManyAttempts: constant("Wait a moment, then try again."),
}


@frozen(kw_only=True)
class ErrorHelp:
    """`needs` and `has` are the right that is missing and the one that the user has; `remedy` says what would help.

    `message` replaces that of the error, if it is not empty.
    """

    title: str
    icon: str
    message: str = ""
    remedy: str
    links: Sequence[Link]
    needs: str = ""
    has: str = ""


def help_for(error: InnkeeperError, path: str, caller: Caller) -> ErrorHelp:
    """Returns the help for an error of the page at `path`."""
    segments = tuple(path.removeprefix(UI).split("/"))
    kind, listed = _kind(segments)
    if isinstance(error, errors.NotFound):
        return _not_found(kind, listed, segments)
    if isinstance(error, errors.NotAllowed):
        return _not_allowed(error, caller, listed)
    remedy = next((text for of, text in _REMEDIES.items() if isinstance(error, of)), "")
    back = () if len(segments) < 2 or listed is None else ((text("Back"), page_url(*segments[:2])),)
    operation = error.details.get("operation")
    task = ((text("Task #{id}", id=operation), page_url("tasks", operation)),) if isinstance(operation, int) else ()
    return ErrorHelp(
        title=text("This did not work"), icon="error", remedy=remedy, links=(*back, *task, listed or _OVERVIEW)
    )


def _kind(segments: tuple[str, ...]) -> tuple[str, Link | None]:
    for length in (2, 1):
        for lists in (_LISTS, *[extension.lists for extension in pages_extensions()]):
            if segments[:length] in lists:
                return lists[segments[:length]]
    return "page", None


def _not_found(kind: str, listed: Link | None, segments: tuple[str, ...]) -> ErrorHelp:
    is_object = listed is not None and len(segments) > 1
    return ErrorHelp(
        title=text("No such {kind}", kind=kind) if is_object else text("No such page"),
        icon="search",
        remedy=text("It may have been removed, or you may not see it.") if is_object else "",
        links=((listed, _OVERVIEW) if listed else (_OVERVIEW,)),
    )


def _not_allowed(error: InnkeeperError, caller: Caller, listed: Link | None) -> ErrorHelp:
    """`right` and `pool` are in the details of errors about roles; other refusals are about the object itself."""
    right, pool = error.details.get("right", ""), error.details.get("pool", "")
    needs, has, remedy, message = "", "", "", ""
    if right == "administrator":
        needs, has, message = (
            text("to be an administrator"),
            text("a user's rights"),
            text("Only administrators may do this."),
        )
        remedy = text("Another administrator can make {username} one: Settings, Users.", username=caller.username)
    elif right == PoolRole.OPERATOR:
        needs = (
            text("the role operator in the resource pool {pool}", pool=pool)
            if pool
            else text("the role operator in a resource pool")
        )
        role = error.details.get("has")
        has = text("the role {role} there", role=role) if role else text("no role there")
        remedy = text("An administrator can grant it to {username}: Settings, Roles.", username=caller.username)
    mine = (text("Your roles"), page_url("account"))
    is_open = listed is not None and not listed[1].startswith(page_url("settings"))
    return ErrorHelp(
        title=text("You may not do this"), icon="lock", message=message, needs=needs, has=has, remedy=remedy,
        links=(*((listed,) if listed and is_open else ()), *((mine,) if right else ()), _OVERVIEW),
    )  # fmt: skip
