"""The words of each kind of item: what is wrong, why, and what would help. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from common.operation_words import purpose
from common.phrases import first_of, number_of
from regiond.attention.host_wording import distrusted, unreachable
from regiond.attention.model import AttentionItem, AttentionKind, Found, ObjectType, Severity, Words, sentence

HIDDEN_CAUSE = "Administrators see the reason."  # texts of servers can contain addresses
HIDDEN_REMEDY = "An administrator has to say on the host's page which server is right."
HIDDEN_TRUST = "An administrator has to make the server trust Innkeeper; the host's page says how."
RETRIED = "The region retries by itself. Administrators see what helps."
_SHOWN_PROBLEMS = 3
_SHOWN_VOLUMES = 3
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
        name=found.name,
        what=words.what,
        cause=HIDDEN_CAUSE if is_hidden else words.cause,
        remedy=_FROM_SERVERS[found.kind] if is_hidden else words.remedy,
        since=found.since,
        host_id=found.host_id,
        host_name=found.host_name,
        pool=found.pool,
        zone=found.zone,
    )


def _host_of(found: Found) -> str:
    return found.host_name or "its host"


def _missing(found: Found, _: datetime) -> Words:
    host = _host_of(found)
    return Words(
        what=f"is missing from {host}",
        cause=f"The last refresh of {host} did not list it.",
        remedy="Bring it back on the host and refresh the host, or delete it here.",
    )


def _volume_missing(found: Found, _: datetime) -> Words:
    volumes = found.facts["volumes"]
    again = " again" if found.facts["power_state"] == "on" else ""
    return Words(
        what=f"cannot start{again}",
        cause=f"{_host_of(found)} no longer has the {'volume' if len(volumes) == 1 else 'volumes'} "
        f"{first_of(volumes, _SHOWN_VOLUMES)}.",
        remedy="Restore it from a backup under the same name, then refresh the host; or delete the VM.",
    )


def _broken(found: Found, _: datetime) -> Words:
    cause = sentence(found.facts["error"], "No reason was given")
    return Words(what="is marked broken", cause=cause, remedy="Repair it, then mark it fixed.")


def _failed_deployment(found: Found, _: datetime) -> Words:
    return Words(
        what="failed to deploy",
        cause=sentence(found.facts["error"]),
        remedy="Its page has the last lines of its console. Release it to deploy it again.",
    )


def _failed_compose(found: Found, _: datetime) -> Words:
    return Words(
        what="was not created",
        cause=sentence(found.facts["error"]),
        remedy="Delete it here, and compose it again where there is room.",
    )


def _failed(found: Found, _: datetime) -> Words:
    return Words(
        what="was released but not deleted",
        cause=sentence(found.facts["error"], f"{_host_of(found)} did not delete it"),
        remedy="Delete it once its host can be reached.",
    )


def _stale(found: Found, _: datetime) -> Words:
    return Words(
        what="has old data",
        cause="No refresh has succeeded since then.",
        remedy="Refresh it; its tasks have the reason of a refresh that failed.",
    )


def _overcommitted(found: Found, _: datetime) -> Words:
    parts, causes = [], []
    (cores, most_cores), (memory, most_memory) = found.facts["cores"], found.facts["memory_mib"]
    if cores > most_cores:
        parts.append("cores")
        causes.append(f"{cores:,} of {most_cores:,} cores")
    if memory > most_memory:
        parts.append("RAM")
        causes.append(f"{_number(memory / _GIB_IN_MIB)} of {_number(most_memory / _GIB_IN_MIB)} GiB of RAM")
    return Words(
        what=f"has over-committed {' and '.join(parts)}",
        cause=f"{' and '.join(causes)} are claimed, VMs of others included.",
        remedy="Move or delete VMs, or raise its ratio in its settings.",
    )


def _problems(found: Found, _: datetime) -> Words:
    problems = [sentence(f"{one['subject']}: {one['message']}") for one in found.facts["problems"]]
    more = len(problems) - _SHOWN_PROBLEMS
    return Words(
        what=f"reports {'a problem' if len(problems) == 1 else f'{len(problems)} problems'}",
        cause=" ".join(problems[:_SHOWN_PROBLEMS]) + (f" And {more} more." if more > 0 else ""),
        remedy="Correct it on the host, then refresh the host.",
    )


def _pool_full(found: Found, _: datetime) -> Words:
    used, total = found.facts["used"], found.facts["total"]
    unit, factor = ("TB", _TB) if total >= _TB else ("GB", _GB)
    return Words(
        what="is full" if used >= total else "is nearly full",
        cause=f"{_number(used / factor)} of {_number(total / factor)} {unit} are claimed or in other use "
        f"({100 * used // total} %).",
        remedy="Enlarge it on the host, delete disks, or compose on another storage pool.",
    )


def _pool_unavailable(found: Found, _: datetime) -> Words:
    if found.facts["missing"]:
        return Words(
            what="is missing",
            cause=f"The last refresh of {_host_of(found)} did not list it, and VMs have disks in it.",
            remedy="Bring it back on the host, then refresh the host.",
        )
    return Words(
        what=f"is {found.facts['status']}",
        cause="No disk is placed in it, and none of it counts as free.",
        remedy="Repair it on the host; each refresh reads it again.",
    )


def _quota(found: Found, _: datetime) -> Words:
    return Words(
        what="is used up" if found.facts["is_full"] else "is nearly used up",
        cause=f"{', '.join(found.facts['uses'])} are held.",
        remedy="Release or delete VMs, or let an administrator raise it.",
    )


def _rack_away(found: Found, _: datetime) -> Words:
    return Words(
        what="is away" if found.facts["seen"] else "has never connected",
        cause="No region has a link to it. Hosts that only it reaches are unreachable.",
        remedy="Check the service of the rack on its computer, and its network to the region.",
    )


_CERTIFICATES: Mapping[ObjectType, tuple[str, str]] = {
    ObjectType.HOST: ("credentials", "Rotate its credentials in its settings."),
    ObjectType.RACK: (
        "a certificate",
        "A rack renews its certificate while it is connected. Once it has expired, the rack joins with a new token.",
    ),
    ObjectType.REGION: ("a certificate", "Replace the files that tls_certificate and tls_key name."),
}


def _certificate(found: Found, now: datetime) -> Words:
    whose, remedy = _CERTIFICATES[found.object_type]
    expires_at = found.facts["expires_at"]
    if isinstance(expires_at, str):
        expires_at = datetime.fromisoformat(expires_at)
    left = expires_at - now
    when = "have expired" if found.broken else f"expire in {_span(left)}"
    if whose == "a certificate":
        when = "has expired" if found.broken else f"expires in {_span(left)}"
    time = f"{expires_at:%Y-%m-%d %H:%M} UTC"
    return Words(
        what=f"has {whose} that {when}",
        cause=f"{'They were' if whose == 'credentials' else 'It was'} valid until {time}; nothing accepts "
        f"{'them' if whose == 'credentials' else 'it'} any more."
        if found.broken
        else f"{'They are' if whose == 'credentials' else 'It is'} valid until {time}.",
        remedy=remedy,
    )


def _server_certificate(found: Found, now: datetime) -> Words:
    renew = (
        "Run on a member of the cluster: lxc cluster update-certificate CERTIFICATE KEY."
        if found.facts["in_cluster"]
        else "Replace server.crt and server.key in LXD's folder on the server, and restart LXD."
    )
    return _expiring(found, now, "presents", f"{renew} Then accept the new fingerprint on the host's page.")


def _client_certificate(found: Found, now: datetime) -> Words:
    if found.broken:
        return _expiring(found, now, "has", "Issue a new one with the same name, or revoke it.")
    return _expiring(found, now, "has", "Start its program: it renews the certificate while it is connected.")


def _expiring(found: Found, now: datetime, verb: str, remedy: str) -> Words:
    expires_at = datetime.fromisoformat(found.facts["expires_at"])
    return Words(
        what=f"{verb} a certificate that "
        + ("has expired" if found.broken else f"expires in {_span(expires_at - now)}"),
        cause=f"It {'was' if found.broken else 'is'} valid until {expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC.",
        remedy=remedy,
    )


def _discrepancy(found: Found, _: datetime) -> Words:
    facts = found.facts
    asks = " Approve the repair." if facts["policy"] == "approval" else ""
    return Words(
        what="has a discrepancy",
        cause=f"Found: {facts['found']}; expected: {sentence(facts['expected'])}",
        remedy=f"{sentence(facts['remedy'])}{asks}",
    )


def _operation(found: Found, _: datetime) -> Words:
    facts = found.facts
    words = purpose(facts["kind"], machine=facts["machine"], host=facts["host"], request={"action": facts["action"]})
    return Words(
        what=f"has not ended: it {words}",
        cause=sentence(facts["error"]),
        remedy="Its page says what it waits for. An administrator can cancel it.",
    )


def _image(found: Found, _: datetime) -> Words:
    return Words(
        what="could not be downloaded" if found.facts["url"] else "cannot be used",
        cause=sentence(found.facts["error"]),
        remedy="Delete it, and add it again from a source that works.",
    )


_WORDS: Mapping[AttentionKind, Callable[[Found, datetime], Words]] = {
    AttentionKind.VM_MISSING: _missing,
    AttentionKind.VM_VOLUME_MISSING: _volume_missing,
    AttentionKind.VM_BROKEN: _broken,
    AttentionKind.VM_FAILED_DEPLOYMENT: _failed_deployment,
    AttentionKind.VM_FAILED_COMPOSE: _failed_compose,
    AttentionKind.VM_FAILED: _failed,
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
    AttentionKind.CERTIFICATE_EXPIRING: _certificate,
    AttentionKind.SERVER_CERTIFICATE_EXPIRING: _server_certificate,
    AttentionKind.CLIENT_CERTIFICATE_EXPIRING: _client_certificate,
    AttentionKind.DISCREPANCY: _discrepancy,
    AttentionKind.OPERATION_WAITING: _operation,
    AttentionKind.IMAGE_FAILED: _image,
}
# Their texts are those of servers; what users read as the remedy instead.
_FROM_SERVERS: Mapping[AttentionKind, str] = {
    AttentionKind.HOST_UNREACHABLE: RETRIED,
    AttentionKind.HOST_REJECTED: HIDDEN_REMEDY,
    AttentionKind.HOST_NOT_TRUSTED: HIDDEN_TRUST,
}


def _number(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _span(left: timedelta) -> str:
    days, hours = left.days, int(left.total_seconds() // 3600)
    return number_of(days, "day") if days >= 2 else number_of(max(hours, 1), "hour")
