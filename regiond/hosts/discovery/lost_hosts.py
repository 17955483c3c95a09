"""Marks the hosts of a server unreachable after a failed call, and requests a refresh, which decides."""

from __future__ import annotations

import time

from attrs import frozen

from common.errors import InnkeeperError
from common.words.hidden_text import hidden
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import schedule_store, store
from regiond.requests.identifiers import storable

REFRESH_WITHIN_S = 1.0

_LOCK_SERVER = """
    select h.id from vm_host me join vm_host h on h.id = me.id or h.server_id = me.server_id
     where me.id = $1 order by h.id for no key update of h
"""
# A separate statement, so that it also reads a success that was committed while the lock was awaited.
_HOSTS_OF_SERVER = """
    select h.id, h.name, h.state = 'ready' as is_ready,
           coalesce(v.refreshed_at > now() - make_interval(secs => $2), false) as succeeded_since
      from vm_host me
      join vm_host h on h.id = me.id or h.server_id = me.server_id
      left join vm_host_schedule v on v.host_id = h.id
     where me.id = $1 order by h.id
"""


@frozen(kw_only=True)
class _Host:
    id: int
    name: str
    is_ready: bool
    succeeded_since: bool  # a discovery run was applied after the call began


class LostHosts:
    """Handles failed calls: implements the Protocol `regiond.racks.calls.host_calls.LostHosts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def call_failed(self, host_id: int, error: InnkeeperError, *, began_at: float) -> None:
        """Calls `mark_server_lost` in a transaction. Raises DatabaseUnavailable and Busy."""
        await self._database.in_transaction(lambda db: mark_server_lost(db, host_id, error, began_at=began_at))

    async def request_refresh(self, host_id: int) -> None:
        """Requests a refresh within a second."""
        async with self._database.connection() as db:
            await schedule_store.refresh_within(db, [host_id], REFRESH_WITHIN_S)


async def mark_server_lost(db: Db, host_id: int, error: InnkeeperError, *, began_at: float) -> bool:
    """Makes all ready hosts of the host's server unreachable, with an event for each, and requests their refresh.

    Returns False if the host is not ready, so that repeated failures change nothing, and if a host of the server was
    discovered after the failed call began (`began_at`, from `time.monotonic`): then it only requests a refresh.
    """
    await db.fetch(_LOCK_SERVER, host_id)
    age_s = max(0.0, time.monotonic() - began_at)
    hosts = [_Host(**row) for row in await db.fetch(_HOSTS_OF_SERVER, host_id, age_s)]
    called = next((host for host in hosts if host.id == host_id), None)
    if called is None or not called.is_ready:
        return False
    if any(host.succeeded_since for host in hosts):
        await schedule_store.refresh_within(db, [host_id], REFRESH_WITHIN_S)
        return False
    ready = [host for host in hosts if host.is_ready]
    reason = hidden(storable(error.message))
    for host in ready:
        message = reason if host.id == host_id else hidden(f"{called.name}, on the same server: {reason}")
        await store.set_unreachable(db, host.id, error.code, message)
        kind, text = f"host_{error.code.removeprefix('host_')}", f"{host.name}: {message}"
        await Events.record(db, kind, text, level=Level.WARNING, host_id=host.id)
    await schedule_store.refresh_within(db, [host.id for host in ready], REFRESH_WITHIN_S)
    return True
