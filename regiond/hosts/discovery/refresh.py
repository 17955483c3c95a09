"""Refreshes a host: runs discovery through a rack, which only reads, and applies the result."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol
from uuid import UUID

from common.errors import (
    Busy,
    DatabaseUnavailable,
    HostHung,
    HostUnreachable,
    InnkeeperError,
    LinkLost,
    NotTrusted,
    PeerChanged,
    RackUnreachable,
    ServerUnconfirmed,
)
from common.hosts.discovery import Discovery
from common.rpc.commands.host_commands import HOST_IDENTIFY, HostCall
from common.values import DriverType, GuestRef, HostFacts, OwnershipMarker, StoragePool
from common.words.hidden_text import hidden
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import schedule_store, store
from regiond.hosts.address import identity_store
from regiond.hosts.address.host_address import parse_host_address
from regiond.hosts.discovery.apply import apply_discovery
from regiond.hosts.discovery.lost_hosts import mark_server_lost
from regiond.hosts.discovery.model import (
    ChangeKind,
    DiscoveryChanges,
    DiscoveryRun,
    GuestChange,
    GuestChangeHandler,
    OrphanedGuest,
)
from regiond.hosts.error_details import details_of
from regiond.hosts.model import MACHINE_MISSING_TEXT, POWER_CHANGED_TEXT
from regiond.hosts.trust.known_before import OF_OTHER_INSTALLATION, of_other_installations
from regiond.hosts.trust.service import HostTrust
from regiond.racks.calls.access_guard import without_secrets
from regiond.racks.calls.host_calls import HostCalls
from regiond.racks.service import read_installation_id

DISCOVER_DEADLINE_S = 100.0
IDENTIFY_DEADLINE_S = 15.0
RETRY_AFTER_S = 1.0  # if the reason for a failure may have disappeared


class CleanUp(Protocol):
    """Opens the operation that removes the guest with this id, whose machine has a tombstone."""

    async def __call__(self, db: Db, host_id: int, host_name: str, guest: GuestRef, guest_id: str) -> None: ...


class RefreshObserver(Protocol):
    """Measures the stages `discover` and `apply`. An exception that leaves the block is the outcome of the stage."""

    def stage(self, name: str) -> AbstractContextManager[None]: ...


class _Unobserved:
    def stage(self, _: str) -> AbstractContextManager[None]:
        return nullcontext()


class Refresher:
    """Refreshes hosts, for requested and periodic refreshes alike.

    `check_members` returns the discovery without those members of the host's cluster that must not become hosts; it
    may call hosts. The other callbacks run in the transaction that applies the run, in this order: `on_facts`;
    `restore`, which makes detached machines whose guests were found machines again and returns them; `on_reachable`,
    only if the host was unreachable before.
    """

    def __init__(
        self,
        database: Database,
        calls: HostCalls,
        trust: HostTrust,
        *,
        machines: GuestChangeHandler,
        clean_up: CleanUp,
        restore: Callable[[Db, int], Awaitable[frozenset[UUID]]],
        check_members: Callable[[int, Discovery], Awaitable[Discovery]],
        on_facts: Callable[[Db, int, HostFacts], Awaitable[None]],
        on_reachable: Callable[[Db, int], Awaitable[None]],
        observer: RefreshObserver | None = None,
    ) -> None:
        self._database = database
        self._calls = calls
        self._trust = trust
        self._machines = machines
        self._clean_up = clean_up
        self._restore = restore
        self._check_members = check_members
        self._on_facts = on_facts
        self._on_reachable = on_reachable
        self._observer = observer or _Unobserved()

    async def refresh(self, host_id: int) -> None:
        """Runs discovery of the host and applies the result. Errors of the host are recorded, then raised.

        Raises Busy, with nothing recorded, if other transactions changed the same rows again and again.
        """
        began_at = time.monotonic()
        run = await self.discover(host_id)
        try:
            changes = await self._database.in_transaction(lambda db: self.apply(db, host_id, run))
        except (DatabaseUnavailable, Busy):
            raise
        except InnkeeperError as error:
            await self._record_error(host_id, error, began_at)
            raise
        await self.refresh_members(host_id, changes)

    async def discover(self, host_id: int) -> DiscoveryRun:
        """Returns a discovery run; pins the host's identity at first contact. Errors are recorded, then raised."""
        with self._observer.stage("discover"):
            return await self._discover(host_id)

    async def _discover(self, host_id: int) -> DiscoveryRun:
        asked_at = time.monotonic()
        async with self._database.connection() as db:
            host = await store.read_connection(db, host_id)
        try:
            await self._pin_at_first_contact(host_id, host)
            if host.driver is DriverType.LXD:
                await self._trust.use_secret(host_id)
            async with self._database.connection() as db:
                began_at = await schedule_store.database_time(db)
            discovery = await self._trust.discover(host_id, host, deadline_s=DISCOVER_DEADLINE_S)
            checked = await self._check_members(host_id, discovery)
            return DiscoveryRun(began_at=began_at, discovery=checked)
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            async with self._database.connection() as db:
                host = await store.read_connection(db, host_id)
            explained = await self._trust.explained(host_id, host, error)
            await self._record_error(host_id, explained, asked_at)
            raise explained from error

    async def apply(self, db: Db, host_id: int, run: DiscoveryRun) -> DiscoveryChanges:
        """Applies a run in the caller's transaction, and records an event for each change.

        After the commit, call `refresh_members`.
        """
        with self._observer.stage("apply"):
            return await self._apply(db, host_id, run)

    async def _apply(self, db: Db, host_id: int, run: DiscoveryRun) -> DiscoveryChanges:
        await store.lock_existence(db, host_id)
        host = await store.read_connection(db, host_id)
        if host.state == "unreachable" or not host.discovered:  # of two runs at once, only the first finds it so
            await store.lock_state(db, host_id)
            host = await store.read_connection(db, host_id)
        changes = await apply_discovery(db, host_id, host.driver, run, self._machines)
        await self._on_facts(db, host_id, run.discovery.facts)
        restored = await self._restore(db, host_id)
        await schedule_store.set_refreshed(db, host_id, began_at=run.began_at)
        if not host.discovered:
            await _tell_of_others(db, host_id, host.name, run.discovery)
        for change in changes.machines:
            level = Level.WARNING if change.kind in _WARNINGS else Level.INFO
            message = f"{change.hostname}: {_text_of(change, host.name)}"
            await Events.record(
                db, change.kind.value, message, level=level, host_id=host_id, system_id=change.system_id
            )
        for pool in changes.pools_changed:
            await _record_pool(db, host_id, host.name, pool)
        for guest in changes.orphaned_guests:
            if guest.machine_uuid not in restored:
                await self._report_orphaned(db, host_id, host.name, guest)
        if host.state == "unreachable" and host.error_code != RackUnreachable.code:  # of which no event was recorded
            await Events.record(db, "host_back", f"{host.name} is reachable again", host_id=host_id)
        if host.state == "unreachable":
            await self._on_reachable(db, host_id)  # on this connection: many hosts at once would exhaust the pool
        return changes

    async def refresh_members(self, host_id: int, changes: DiscoveryChanges) -> None:
        """Makes the members due to which the host's cluster moved machines, as the run found whose `changes` these are.

        Incus reports a move only as an event of the member that had the machine. Not in the transaction of the run: it
        holds locks of this host, and one of another member's run would wait for it the other way round.
        """
        if changes.members_moved_to:
            async with self._database.connection() as db:
                await schedule_store.refresh_members(db, host_id, changes.members_moved_to)

    async def record_undone(self, db: Db, host_id: int, error: InnkeeperError) -> None:
        """Stores the error of a requested refresh. `discover` has recorded its own errors; those of `apply` are new."""
        host = await store.read_connection(db, host_id)
        await store.set_unreachable(db, host_id, error.code, error.message, details_of(error))
        if isinstance(error, PeerChanged | ServerUnconfirmed):
            await _record_event(db, host_id, host, error)

    async def _pin_at_first_contact(self, host_id: int, host: store.HostConnection) -> None:
        if host.pinned is not None:
            return
        if not parse_host_address(host.driver, host.address, simulated_allowed=True).has_identity:
            return
        identity = await self._calls.call(
            host_id,
            HOST_IDENTIFY,
            lambda access: HostCall(access=without_secrets(access)),
            deadline_s=IDENTIFY_DEADLINE_S,
        )
        self._trust.check_expected(host, identity)
        await self._trust.check_token(host_id, host, identity.material)
        async with self._database.transaction() as db:
            await identity_store.pin(db, host_id, identity.material, identity.fingerprint)
            await self._trust.share_key_pair(db, host_id, host, identity)
            what = "TLS certificate" if host.driver is DriverType.LXD else "SSH host key"
            await Events.record(
                db, "host_pinned", f"Pinned {host.name}'s {what} (first contact)", host_id=host_id,
                details={"fingerprint": identity.fingerprint},
            )  # fmt: skip

    async def _report_orphaned(self, db: Db, host_id: int, host_name: str, guest: OrphanedGuest) -> None:
        if guest.kind is ChangeKind.TOMBSTONE:
            marker = OwnershipMarker(installation_id=await read_installation_id(db), machine_id=guest.machine_uuid)
            ref = GuestRef(name=guest.guest_name, marker=marker)
            await self._clean_up(db, host_id, host_name, ref, guest.guest_key)
        message = _ORPHANED_TEXTS[guest.kind].format(guest=guest.guest_name, host=host_name)
        await Events.record(db, guest.kind.value, message, level=Level.WARNING, host_id=host_id)

    async def _record_error(self, host_id: int, error: InnkeeperError, began_at: float) -> None:
        """Stores the error with the host, unless another refresh has succeeded since `began_at`; schedules a retry."""

        async def record(db: Db) -> None:
            await self._store_error(db, host_id, error, began_at)
            if not isinstance(error, _NO_RETRY):
                await schedule_store.retry_after_failure(db, host_id)

        await self._database.in_transaction(record)
        if isinstance(error, RackUnreachable | LinkLost):
            await self._retry_if_reachable(host_id)

    async def _store_error(self, db: Db, host_id: int, error: InnkeeperError, began_at: float) -> None:
        """Stores the error, and records an event unless the host had the same error already."""
        if await schedule_store.is_refreshed_since(db, host_id, time.monotonic() - began_at):
            await schedule_store.refresh_within(db, [host_id], RETRY_AFTER_S)
            return
        if isinstance(error, HostUnreachable | HostHung):
            if await mark_server_lost(db, host_id, error, began_at=began_at):
                return
        else:
            await store.lock_state(db, host_id)
        host = await store.read_connection(db, host_id)  # locked: of two refreshes that fail at once, one is the first
        if isinstance(error, LinkLost) and host.state == "ready":
            return  # the rack was lost: its disconnection decides whether the host is unreachable
        await store.set_unreachable(db, host_id, error.code, error.message, details_of(error))
        await self._trust.schedule_retry(db, host_id, host, error)
        if not isinstance(error, RackUnreachable):
            await _record_event(db, host_id, host, error)

    async def _retry_if_reachable(self, host_id: int) -> None:
        """Requests another refresh if a connected rack may reach the host.

        A rack that connected before the error was stored saw a ready host and requested no refresh. If a rack
        disconnected, another one may reach the host.
        """
        try:
            await self._calls.require(host_id)
        except RackUnreachable:
            return
        async with self._database.connection() as db:
            await schedule_store.refresh_within(db, [host_id], RETRY_AFTER_S)


async def _record_event(db: Db, host_id: int, host: store.HostConnection, error: InnkeeperError) -> None:
    """Records an event unless the host had the same error already."""
    if host.error_code != error.code:
        level = Level.ERROR if isinstance(error, PeerChanged) else Level.WARNING
        kind, message = f"host_{error.code.removeprefix('host_')}", f"{host.name}: {hidden(error.message)}"
        await Events.record(db, kind, message, level=level, host_id=host_id, details=error.details)


async def _tell_of_others(db: Db, host_id: int, name: str, found: Discovery) -> None:
    """Says, of a host that was just discovered for the first time, that another installation has guests there."""
    for message in of_other_installations(name, found.guests, await read_installation_id(db)):
        await Events.record(db, OF_OTHER_INSTALLATION, message, level=Level.WARNING, host_id=host_id)


async def _record_pool(db: Db, host_id: int, host_name: str, pool: StoragePool) -> None:
    if pool.is_available:
        message = f"{host_name}: the storage pool {pool.name} is available again"
        await Events.record(db, "storage_pool_available", message, host_id=host_id)
        return
    message = f"{host_name}: the storage pool {pool.name} is {pool.status}; no disk is placed in it"
    await Events.record(db, "storage_pool_unavailable", message, level=Level.WARNING, host_id=host_id)


# A person resolves the first two. After the third, the rack's disconnection decides.
_NO_RETRY = (NotTrusted, PeerChanged, LinkLost)
_WARNINGS = (
    ChangeKind.MISSING,
    ChangeKind.RESIZED,
    ChangeKind.REALLOCATED,
    ChangeKind.DISKS_CHANGED,
    ChangeKind.VOLUME_MISSING,
)
_CHANGE_TEXTS = {
    ChangeKind.MISSING: MACHINE_MISSING_TEXT,
    ChangeKind.MOVED: "its cluster moved its guest to {host}",
    ChangeKind.RETURNED: "its guest is on {host} again",
    ChangeKind.POWER: POWER_CHANGED_TEXT,
    ChangeKind.RESIZED: "its cores or memory were changed on {host}",
    ChangeKind.REALLOCATED: "its pinned cores, huge pages or virtual functions were changed on {host}",
    ChangeKind.DISKS_CHANGED: "its disks were changed on {host}: they take {detail}",
    ChangeKind.BOOT_DISK: "its boot disk was changed on {host}: it boots from {boot_device}",
    ChangeKind.BOOTED_ONCE: "it was started on {host} in the order that was asked for one start",
    ChangeKind.VOLUME_MISSING: "it cannot start, because {host} no longer has its volume {detail}",
}
_ORPHANED_TEXTS = {
    ChangeKind.TOMBSTONE: "The guest {guest} on {host} belongs to a deleted machine; an operation removes it",
    ChangeKind.RESTORED: "The guest {guest} on {host} belongs to a machine that was deleted or rescheduled, and may "
    "have been restored from a backup. It is not changed until a person adopts it or approves its deletion: innkeeper "
    "region check",
    ChangeKind.UNKNOWN_MARKER: "The guest {guest} on {host} has our marker, but its machine is not known. "
    "It is not changed",
    ChangeKind.DUPLICATE_MARKER: "The guest {guest} on {host} has the marker of a machine that another guest is: "
    "probably a copy. It is not changed",
}


def _text_of(change: GuestChange, host_name: str) -> str:
    after = "unknown" if change.guest is None else change.guest.power_state
    return _CHANGE_TEXTS[change.kind].format(
        host=host_name, before=change.power_before, after=after, detail=change.detail,
        boot_device=None if change.guest is None else change.guest.boot_device,
    )  # fmt: skip
