"""Groups equal events for the overview, such as `12 VMs composed by alice`, and leaves out noise. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from attrs import define, frozen

from common.words.operation_kinds import KIND_WORDS
from regiond.events.model import Event, Level
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url

# What the list of what needs attention says better, and what nobody did to the fleet.
NOISE = frozenset(
    {
        "api_key_created", "api_key_deleted", "certificate_expiring", "discrepancy_found", "discrepancy_resolved",
        "logged_in", "logged_out", "login_failed", "rack_response_rejected", "rpc_client_issued", "session_ended",
        "subnet_found",
    }
)  # fmt: skip
WITHIN = timedelta(hours=1)  # between two events of a group
_WORDS: Mapping[str, str] = {
    **{event: words for kind in KIND_WORDS.values() for event, words in kind.events.items()},
    "machine_transferred": constant("VMs transferred"),
    "machine_restored": constant("VMs restored"),
    "machine_disk_adopted": constant("disks adopted"),
    "machine_imported": constant("VMs imported"),
    "export_added": constant("uploads of files of VMs begun"),
    "export_ready": constant("files of VMs uploaded"),
    "export_failed": constant("files of VMs failed"),
    "export_downloaded": constant("files of VMs downloaded"),
    "export_deleted": constant("files of VMs deleted"),
    "export_expired": constant("files of VMs expired"),
    "machine_lost": constant("VMs lost with their host"),
    "machine_commissioned": constant("VMs commissioned"),
    "machine_marked_broken": constant("VMs marked broken"),
    "machine_marked_fixed": constant("VMs marked fixed"),
    "machine_disk_changed": constant("disks changed"),
    "machine_booted_once": constant("starts in another boot order"),
    "machine_start_after_host": constant("VMs started after their host was away"),
    "operation_abandoned": constant("tasks abandoned"),
    "machine_should_run": constant("VMs found off that should run"),
    "machine_found_off": constant("VMs stopped by other means"),
    "machine_off_accepted": constant("VMs accepted as off"),
    "maas_power": constant("changes of power by MAAS"),
    "owner_changed": constant("changes of owner"),
    "host_added": constant("hosts added"),
    "host_trusted_already": constant("hosts that trusted us already"),
    "host_of_other_installation": constant("hosts of another installation"),
    "host_changed": constant("hosts changed"),
    "host_back": constant("hosts reached again"),
    "host_unreachable": constant("hosts became unreachable"),
    "host_maintenance_begun": constant("hosts closed for placement"),
    "host_maintenance_ended": constant("hosts opened for placement"),
    "host_pinned": constant("host identities pinned"),
    "discrepancy_repaired": constant("discrepancies repaired"),
}


@frozen(kw_only=True)
class EventGroup:
    """One event with its message, or several as one. `url` leads to what it is about, if that still exists."""

    at: datetime  # of the newest
    level: Level
    text: str
    url: str | None
    count: int


@define
class _Open:
    newest: Event
    oldest_at: datetime
    count: int = 1


def grouped(events: Iterable[Event], *, most: int) -> tuple[EventGroup, ...]:
    """Returns the groups of events that are newest first, at most `most`, newest first.

    Events of one kind and level that one account caused are a group while less than WITHIN lies between two of them.
    """
    groups: list[_Open] = []
    latest: dict[tuple[str, Level, str | None], _Open] = {}
    for event in events:
        if event.kind in NOISE:
            continue
        key = (event.kind, event.level, event.username)
        group = latest.get(key)
        if group is not None and group.oldest_at - event.at <= WITHIN:
            group.oldest_at, group.count = event.at, group.count + 1
            continue
        latest[key] = _Open(event, event.at)
        groups.append(latest[key])
    return tuple(_group(group) for group in groups[:most])


def _group(group: _Open) -> EventGroup:
    event = group.newest
    return EventGroup(
        at=event.at,
        level=event.level,
        text=event.message if group.count == 1 else _text(event, group.count),
        url=_url(event) if group.count == 1 else None,
        count=group.count,
    )


def _text(event: Event, count: int) -> str:
    words = text(_WORDS.get(event.kind, "")) or text("times: {kind}", kind=event.kind.replace("_", " "))
    if not event.username:
        return f"{count:,} {words}"
    return text("{count} {words} by {username}", count=f"{count:,}", words=words, username=event.username)


def _url(event: Event) -> str | None:
    if event.system_id and event.hostname:
        return page_url("vms", event.system_id)
    return page_url("hosts", event.host_id, "vms") if event.host_id and event.host_name else None
