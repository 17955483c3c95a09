"""Begins and ends the maintenance of hosts, with the events, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable

from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.hosts.maintenance import store
from regiond.requests.caller import Caller


async def begin_maintenance(
    db: Db, caller: Caller, host_ids: Iterable[int], reason: str | None, *, holder: str | None = None
) -> None:
    """Begins maintenance of the hosts that exist. Idempotent: a later call changes only the reason, if it has one.

    `holder` is what will end it by itself, unless a person gives another reason meanwhile; it leaves a maintenance
    that something else has begun as it is.
    """
    for host in await store.lock_hosts(db, host_ids):
        after = await store.begin(db, host.id, by=caller.username, reason=reason, holder=holder)
        if after is not None and after != host.maintenance:
            message = f"{host.name} is in maintenance {after.description}"
            await Events.record(db, "host_maintenance_begun", message, caller=caller, host_id=host.id)


async def end_maintenance(db: Db, caller: Caller, host_ids: Iterable[int], *, holder: str | None = None) -> None:
    """Ends maintenance of the hosts that exist, or only that of the `holder`. Idempotent."""
    for host in await store.lock_hosts(db, host_ids):
        if host.maintenance is not None and holder in {None, host.maintenance.holder}:
            await store.end(db, host.id)
            message = f"{host.name} takes new machines again; it was in maintenance {host.maintenance.description}"
            await Events.record(db, "host_maintenance_ended", message, caller=caller, host_id=host.id)
