"""The words of each kind of item: what is wrong, why, and what would help. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from common.words.messages import counted_message, joined, marked, message
from common.words.operation_words import purpose
from common.words.phrases import first_of
from regiond.attention.certificate_wording import certificate, client_certificate, server_certificate
from regiond.attention.host_wording import distrusted, unreachable
from regiond.attention.machine_wording import (
    broken,
    failed,
    failed_compose,
    failed_deployment,
    host_of,
    missing,
    should_run,
    volume_missing,
)
from regiond.attention.model import AttentionItem, AttentionKind, Found, ObjectType, Severity, Words, sentence

HIDDEN_CAUSE = message("Administrators see the reason.")  # texts of servers can contain addresses
HIDDEN_REMEDY = message("An administrator has to say on the host's page which server is right.")
HIDDEN_TRUST = message("An administrator has to make the server trust Innkeeper; the host's page says how.")
RETRIED = message("The region retries by itself. Administrators see what helps.")
_SHOWN_PROBLEMS = 3
_SHOWN_HOSTS = 5
_GIB_IN_MIB = 1024
_GB = 1000**3
_TB = 1000 * _GB


def item_of(found: Found, now: datetime, *, is_admin: bool) -> AttentionItem:
    """Returns the item; for users who are no administrators without texts of servers."""
    words = _WORDS[found.kind](found, now)
    is_hidden = found.object_type is ObjectType.HOST and found.kind in _FROM_SERVERS and not is_admin
    return AttentionItem(
        kind=found.kind,
        severity=Severity.BROKEN if found.broken else Severity.CAUTION,
        object_type=found.object_type,
        object_id=found.object_id,
        name=_name_of(found),
        what=words.what,
        cause=HIDDEN_CAUSE if is_hidden else words.cause,
        remedy=_FROM_SERVERS[found.kind] if is_hidden else words.remedy,
        since=found.since,
        host_id=found.host_id,
        host_name=found.host_name,
        pool=found.pool,
        zone=found.zone,
    )


_NAMES: Mapping[ObjectType, str] = {
    ObjectType.RPC_CLIENT: marked("RPC client {name}"),
    ObjectType.OPERATION: marked("Task {name}"),
    ObjectType.IMAGE: marked("Image {name}"),
    ObjectType.REGION: marked("The API"),
}


def _name_of(found: Found) -> str:
    """Returns the same name, as a message where it has words."""
    if found.object_type is ObjectType.STORAGE_POOL:
        made = message("Storage pool {name} of {host}", name=found.facts.get("name"), host=found.host_name)
    elif found.kind is AttentionKind.BACKUP_OLD:
        made = message("The region")
    elif (template := _NAMES.get(found.object_type)) is not None:
        made = message(template, name=found.name.removeprefix(template.removesuffix("{name}")))
    else:
        return found.name
    return made if made == found.name else found.name


def _stale(found: Found, _: datetime) -> Words:
    return Words(
        what=message("has old data"),
        cause=message("No refresh has succeeded since then."),
        remedy=message("Refresh it; its tasks have the reason of a refresh that failed."),
    )


def _overcommitted(found: Found, _: datetime) -> Words:
    (cores, most_cores), (memory, most_memory) = found.facts["cores"], found.facts["memory_mib"]
    claimed = message("{n} of {most} cores", n=f"{cores:,}", most=f"{most_cores:,}")
    of_ram = message(
        "{n} of {most} GiB of RAM", n=_number(memory / _GIB_IN_MIB), most=_number(most_memory / _GIB_IN_MIB)
    )
    if cores > most_cores and memory > most_memory:
        what = message("has over-committed cores and RAM")
        cause = message("{cores} and {memory} are claimed, VMs of others included.", cores=claimed, memory=of_ram)
    else:
        is_cores = cores > most_cores
        what = message("has over-committed cores") if is_cores else message("has over-committed RAM")
        amount = claimed if is_cores else of_ram
        cause = message("{amount} are claimed, VMs of others included.", amount=amount)
    return Words(what=what, cause=cause, remedy=message("Move or delete VMs, or raise its ratio in its settings."))


def _problems(found: Found, _: datetime) -> Words:
    problems = [sentence(f"{one['subject']}: {one['message']}") for one in found.facts["problems"]]
    more = len(problems) - _SHOWN_PROBLEMS
    others = (counted_message("And {n} more.", "And {n} more.", more),) if more > 0 else ()
    return Words(
        what=counted_message("reports a problem", "reports {n} problems", len(problems)),
        cause=joined(*problems[:_SHOWN_PROBLEMS], *others),
        remedy=message("Correct it on the host, then refresh the host."),
    )


def _pool_full(found: Found, _: datetime) -> Words:
    used, total = found.facts["used"], found.facts["total"]
    unit, factor = ("TB", _TB) if total >= _TB else ("GB", _GB)
    return Words(
        what=message("is full") if used >= total else message("is nearly full"),
        cause=message(
            "{used} of {total} {unit} are claimed or in other use ({percent} %).",
            used=_number(used / factor), total=_number(total / factor), unit=unit, percent=100 * used // total,
        ),
        remedy=message("Enlarge it on the host, delete disks, or compose on another storage pool."),
    )  # fmt: skip


_POOL_STATES: Mapping[str, str] = {
    "available": marked("is available"),
    "pending": marked("is pending"),
    "errored": marked("is errored"),
    "unavailable": marked("is unavailable"),
    "unknown": marked("is unknown"),
}


def _pool_unavailable(found: Found, _: datetime) -> Words:
    if found.facts["missing"]:
        return Words(
            what=message("is missing"),
            cause=message("The last refresh of {host} did not list it, and VMs have disks in it.", host=host_of(found)),
            remedy=message("Bring it back on the host, then refresh the host."),
        )
    status = found.facts["status"]
    return Words(
        what=message(_POOL_STATES[status]) if status in _POOL_STATES else f"is {status}",
        cause=message("No disk is placed in it, and none of it counts as free."),
        remedy=message("Repair it on the host; each refresh reads it again."),
    )


def _quota(found: Found, _: datetime) -> Words:
    uses = found.facts["uses"]
    listed: str = uses[0]
    for use in uses[1:]:
        listed = message("{first}, {then}", first=listed, then=use)
    return Words(
        what=message("is used up") if found.facts["is_full"] else message("is nearly used up"),
        cause=message("{uses} are held.", uses=listed),
        remedy=message("Release or delete VMs, or let an administrator raise it."),
    )


def _rack_away(found: Found, _: datetime) -> Words:
    hosts = found.facts["hosts"]
    return Words(
        what=message("is away") if found.facts["seen"] else message("has never connected"),
        cause=message(
            "No region has a link to it. Unreachable without it: {hosts}.", hosts=first_of(hosts, _SHOWN_HOSTS)
        )
        if hosts
        else message("No region has a link to it. Hosts that only it reaches are unreachable."),
        remedy=message("Check the service of the rack on its computer, and its network to the region."),
    )


def _discrepancy(found: Found, _: datetime) -> Words:
    facts = found.facts
    return Words(
        what=message("has a discrepancy"),
        cause=message(
            "Found: {found}; expected: {expected}", found=facts["found"], expected=sentence(facts["expected"])
        ),
        remedy=joined(
            sentence(facts["remedy"]), *((message("Approve the repair."),) if facts["policy"] == "approval" else ())
        ),
    )


def _operation(found: Found, _: datetime) -> Words:
    facts = found.facts
    words = purpose(facts["kind"], machine=facts["machine"], host=facts["host"], request={"action": facts["action"]})
    return Words(
        what=message("has not ended: it {does}", does=words),
        cause=sentence(facts["error"]),
        remedy=message("Its page says what it waits for. An administrator can cancel it."),
    )


def _image(found: Found, _: datetime) -> Words:
    return Words(
        what=message("could not be downloaded") if found.facts["url"] else message("cannot be used"),
        cause=sentence(found.facts["error"]),
        remedy=message("Delete it, and add it again from a source that works."),
    )


def _backup(found: Found, _: datetime) -> Words:
    hours, saved_at = found.facts["hours"], found.facts["saved_at"]
    days = hours // 24
    span = (
        counted_message("{n} day", "{n} days", days)
        if hours % 24 == 0
        else counted_message("{n} hour", "{n} hours", hours)
    )
    if saved_at is None:
        cause = message("None was ever completed.")
    else:
        time = f"{datetime.fromisoformat(saved_at).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        cause = message("The last complete one has the data of {time}.", time=time)
    return Words(
        what=message("has no backup of the last {span}", span=span),
        cause=cause,
        remedy=message(
            "On its computer, systemctl start innkeeper-backup makes one, and journalctl -u innkeeper-backup has the "
            "reason if it fails."
        ),
    )


_WORDS: Mapping[AttentionKind, Callable[[Found, datetime], Words]] = {
    AttentionKind.VM_MISSING: missing,
    AttentionKind.VM_VOLUME_MISSING: volume_missing,
    AttentionKind.VM_SHOULD_RUN: should_run,
    AttentionKind.VM_BROKEN: broken,
    AttentionKind.VM_FAILED_DEPLOYMENT: failed_deployment,
    AttentionKind.VM_FAILED_COMPOSE: failed_compose,
    AttentionKind.VM_FAILED: failed,
    AttentionKind.HOST_UNREACHABLE: unreachable,
    AttentionKind.HOST_REJECTED: distrusted,
    AttentionKind.HOST_NOT_TRUSTED: distrusted,
    AttentionKind.HOST_STALE: _stale,
    AttentionKind.HOST_OVERCOMMITTED: _overcommitted,
    AttentionKind.HOST_PROBLEM: _problems,
    AttentionKind.STORAGE_POOL_UNAVAILABLE: _pool_unavailable,
    AttentionKind.STORAGE_POOL_FULL: _pool_full,
    AttentionKind.QUOTA_FULL: _quota,
    AttentionKind.RACK_AWAY: _rack_away,
    AttentionKind.CERTIFICATE_EXPIRING: certificate,
    AttentionKind.SERVER_CERTIFICATE_EXPIRING: server_certificate,
    AttentionKind.CLIENT_CERTIFICATE_EXPIRING: client_certificate,
    AttentionKind.DISCREPANCY: _discrepancy,
    AttentionKind.OPERATION_WAITING: _operation,
    AttentionKind.IMAGE_FAILED: _image,
    AttentionKind.BACKUP_OLD: _backup,
}
# Their texts are those of servers; what users read as the remedy instead.
_FROM_SERVERS: Mapping[AttentionKind, str] = {
    AttentionKind.HOST_UNREACHABLE: RETRIED,
    AttentionKind.HOST_REJECTED: HIDDEN_REMEDY,
    AttentionKind.HOST_NOT_TRUSTED: HIDDEN_TRUST,
}


def _number(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")
