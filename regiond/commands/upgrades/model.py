"""Decides what would stop an upgrade of the region, and what needs attention before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from attrs import field, frozen

from common.words.phrases import first_of, number_of

BACKUP_WITHIN = timedelta(days=1)
_GIB = 1024**3
_MOST_NAMED = 50
_BACK_UP = "Make one: innkeeper region backup FILE"


class Level(StrEnum):
    """A blocker stops the upgrade; the region starts in spite of what needs attention."""

    OK = "ok"
    ATTENTION = "attention"
    BLOCKER = "blocker"


MIGRATE = "innkeeper region migrate (database on another computer: --server -)"


@frozen(kw_only=True)
class Finding:
    """The result of one check, in words. `remedy` is None if nothing has to be done."""

    check: str
    level: Level = Level.OK
    message: str
    remedy: str | None = None


@frozen(kw_only=True)
class MissingFile:
    """A migration that this build will apply."""

    name: str
    lets_regions_continue: bool


@frozen(kw_only=True)
class RunningRegion:
    """A region process whose heartbeat is at most 30 s old."""

    hostname: str
    release: str | None


@frozen(kw_only=True)
class RackVersions:
    """The versions of the protocol that a rack reported when it connected last."""

    name: str
    lowest: int
    highest: int


@frozen(kw_only=True)
class Facts:
    """The state of the database. `free_bytes` is None if the disk of PostgreSQL is not one of this computer."""

    missing: tuple[MissingFile, ...] = ()
    role_problem: str | None = None
    unreadable: tuple[str, ...] = ()
    open_operations: Mapping[str, int] = field(factory=dict)
    regions: tuple[RunningRegion, ...] = ()
    racks: tuple[RackVersions, ...] = ()
    in_use: tuple[str, ...] = ()  # names of Ready machines without owner that become in use
    database_bytes: int = 0
    free_bytes: int | None = None
    last_backup_at: datetime | None = None
    now: datetime


def settings_finding(problems: Iterable[str]) -> Finding:
    wrong = " ".join(problems)
    if not wrong:
        return Finding(check="settings", message="This build knows every setting and accepts its value.")
    return Finding(
        check="settings", level=Level.BLOCKER, message=wrong,
        remedy="Correct or remove them: this build does not start with them.",
    )  # fmt: skip


def findings(facts: Facts, *, supported: tuple[int, int]) -> tuple[Finding, ...]:
    """Returns one finding of each check. `supported`: the lowest and the highest version of the protocol."""
    return (
        _schema(facts), _role(facts), _regions(facts), _operations(facts), _racks(facts, supported), _stock(facts),
        _disk(facts), _backup(facts),
    )  # fmt: skip


def stops(found: Iterable[Finding]) -> bool:
    return any(one.level is Level.BLOCKER for one in found)


def _schema(facts: Facts) -> Finding:
    if not facts.missing:
        return Finding(check="schema", message="The schema is that of this build: nothing will be migrated.")
    names = ", ".join(one.name for one in facts.missing)
    return Finding(check="schema", message=f"{number_of(len(facts.missing), 'migration')} will be applied: {names}.")


def _role(facts: Facts) -> Finding:
    if facts.unreadable:
        return Finding(
            check="role", level=Level.BLOCKER,
            message=f"The region's role may not read {', '.join(facts.unreadable)}.",
            remedy=f"Give it its rights again, as root on this computer: {MIGRATE}",
        )  # fmt: skip
    if facts.missing and facts.role_problem is not None:
        return Finding(
            check="role", level=Level.ATTENTION, message=facts.role_problem,
            remedy=f"Migrate before you start the region: {MIGRATE}",
        )  # fmt: skip
    return Finding(check="role", message="The region's role has the rights that it needs.")


def _regions(facts: Facts) -> Finding:
    if not facts.regions:
        return Finding(check="regions", message="No region is running.")
    names = ", ".join(f"{one.hostname} ({one.release or 'unknown release'})" for one in facts.regions)
    message = f"{number_of(len(facts.regions), 'region')} running: {names}."
    if all(one.lets_regions_continue for one in facts.missing):
        return Finding(check="regions", message=f"{message} They continue until you upgrade them.")
    return Finding(
        check="regions", level=Level.ATTENTION,
        message=f"{message} They stop as soon as the first region of this build has migrated the database.",
        remedy="Upgrade them all at the same time.",
    )  # fmt: skip


def _operations(facts: Facts) -> Finding:
    if not facts.open_operations:
        return Finding(check="operations", message="No operation is open.")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(facts.open_operations.items()))
    total = sum(facts.open_operations.values())
    return Finding(
        check="operations", level=Level.ATTENTION, message=f"{number_of(total, 'open operation')}: {kinds}.",
        remedy="They continue after the upgrade. To have fewer steps repeated, wait until they have ended.",
    )  # fmt: skip


def _racks(facts: Facts, supported: tuple[int, int]) -> Finding:
    lowest, highest = supported
    older = sorted(one.name for one in facts.racks if one.highest < lowest)
    newer = sorted(one.name for one in facts.racks if one.lowest > highest)
    if not older and not newer:
        return Finding(check="racks", message="This build can talk to every rack.")
    parts = [
        f"too old for this build: {', '.join(older)}" if older else "",
        f"too new for this build: {', '.join(newer)}" if newer else "",
    ]
    return Finding(
        check="racks", level=Level.BLOCKER, message=f"Racks {'; '.join(filter(None, parts))}.",
        remedy="Upgrade the racks that are too old first, to a release that both understand; do not go back with the "
        "region below the release of a rack.",
    )  # fmt: skip


def _stock(facts: Facts) -> Finding:
    if not facts.in_use:
        return Finding(check="stock", message="No Ready machine without owner becomes in use.")
    return Finding(
        check="stock", level=Level.ATTENTION,
        message=f"{number_of(len(facts.in_use), 'Ready machine')} without owner will be in use, allocated to nobody "
        "else: they were started, adopted, imported or restored, or have an ISO image. They belong to whoever composed "
        f"them, others to administrators: {first_of(facts.in_use, _MOST_NAMED)}",
        remedy="To have one allocated by others after the upgrade: allocate it, and release it with erase=true.",
    )  # fmt: skip


def _disk(facts: Facts) -> Finding:
    size = f"The database has {facts.database_bytes / _GIB:.1f} GiB"
    if facts.free_bytes is None:
        return Finding(
            check="disk", level=Level.ATTENTION if facts.missing else Level.OK,
            message=f"{size}. Its disk cannot be seen from here.",
            remedy="A migration may write it anew: check that as much is free there." if facts.missing else None,
        )  # fmt: skip
    message = f"{size}; {facts.free_bytes / _GIB:.1f} GiB are free on its disk."
    if facts.missing and facts.free_bytes < facts.database_bytes:
        return Finding(
            check="disk", level=Level.BLOCKER, message=message,
            remedy="A migration may write the database anew: free as much as it has.",
        )  # fmt: skip
    return Finding(check="disk", message=message)


def _backup(facts: Facts) -> Finding:
    if facts.last_backup_at is None:
        return Finding(
            check="backup", level=Level.ATTENTION, message="The audit trail has no backup of this region.",
            remedy=_BACK_UP,
        )  # fmt: skip
    message = f"The last backup was made at {facts.last_backup_at:%Y-%m-%d %H:%M} UTC."
    if facts.now - facts.last_backup_at > BACKUP_WITHIN:
        return Finding(check="backup", level=Level.ATTENTION, message=message, remedy=_BACK_UP)
    return Finding(check="backup", message=message)
