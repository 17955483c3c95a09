"""Sweeps over ledger and hosts, by itself and when asked: what differs is kept, and told once.

What two sweeps in a row have seen is mended, if it is ours to mend (`regiond.reconciler.mends`); asking mends nothing.

Hosts are as their last look found them; no rack is asked. Operations that are under way explain what they are about to
set right, and since the whole sweep reads one moment, none is seen half done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from common.errors import DatabaseUnavailable, DeadlineExceeded, InnkeeperError
from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.ledger.check import wrong_totals
from regiond.reconciler import approving, guests, ledger, look_store, machines, operations, store, volume_store, volumes
from regiond.reconciler.mends import AT_HOST, mend
from regiond.reconciler.model import Difference, Kind, Standing

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

SWEEP_EVERY_S = 300.0
FIRST_SWEEP_AFTER_S = 60.0  # by then leases of a region that died have been taken over, and racks are linked
DEADLINE_S = 60.0
LATELY = timedelta(days=1)
CONFLICTS = 1000  # that one sweep may lose to others that keep the same difference; in truth the deadline ends it


class Reconciler:
    """Regions take turns: one that finds another sweeping leaves it at that."""

    def __init__(
        self,
        database: Database,
        *,
        first_after_s: float = FIRST_SWEEP_AFTER_S,
        every_s: float = SWEEP_EVERY_S,
        mends: bool = True,
    ) -> None:
        """Without `mends` it only tells."""
        self._database = database
        self._first_after_s = first_after_s
        self._every_s = every_s
        self._mends = mends
        self._one_at_a_time = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.create_task(self._go())

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def check(self, *, host_id: int | None = None, kind: Kind | None = None) -> tuple[Standing, ...]:
        """Sweep now; what differs, the longest known first. Raises DeadlineExceeded after a minute."""
        try:
            standing = await self._sweep(asked=True)
        except TimeoutError as error:
            message = f"The ledger could not be compared with the hosts within {DEADLINE_S:.0f} s."
            raise DeadlineExceeded(message) from error
        return tuple(
            one for one in standing if host_id in (None, one.difference.host_id) and kind in (None, one.difference.kind)
        )

    async def known(self, difference_id: int) -> Standing:
        """As the last sweep saw it, or as it was mended. Raises NotFound when it is neither."""
        async with self._database.connection() as db:
            return approving.one_of(await store.kept(db, difference_id), difference_id)

    async def read(self, difference_id: int) -> Standing:
        """As it is found now, or as it was mended. Raises NotFound when it is neither, and what `check` raises."""
        await self.check()
        return await self.known(difference_id)

    async def approve(self, caller: Caller, difference_id: int, *, etag: str, shown: str = "") -> Standing:
        """Mend what `caller` was shown with this `etag`; with what was done. `shown` is told beside what is found now.

        What was mended before is told as it was done then, so that whoever lost that answer can ask again. Raises
        NotFound when it went by itself; WrongState when it is another by now, or nothing that anybody could approve;
        what the mend raises. Nothing was changed then.
        """
        caller.require_admin()
        same = partial(approving.refuse_other, etag=etag, shown=shown)
        standing = await self.read(difference_id)
        same(standing)
        if standing.mended is not None:
            return standing
        wanted = partial(mend_one, difference_id=difference_id, caller=caller, only=same)
        done = await self._database.in_transaction(wanted)
        if done is None:
            now = await self.read(difference_id)
            if now.mended is None:
                raise approving.changed_meanwhile(standing, now)
            same(now)
            return now
        log.warning("difference_approved", difference=done.id, kind=done.difference.kind.value, mended=done.mended)
        return done

    async def mended_lately(self, within: timedelta = LATELY) -> tuple[Standing, ...]:
        """What was mended, by itself or by approval, the latest first."""
        async with self._database.connection() as db:
            return await store.mended_within(db, within)

    async def sweep(self) -> tuple[Standing, ...]:
        """As it does by itself: look, keep, mend what is due; what was mended. Raises TimeoutError, and conflicts that
        others win for a minute."""
        await self._sweep(asked=False)
        return await self._mend_due() if self._mends else ()

    async def _go(self) -> None:
        await asyncio.sleep(self._first_after_s)
        while True:
            try:
                await self.sweep()
            except (DatabaseUnavailable, TimeoutError) as error:
                log.warning("sweep_not_made", because=str(error) or "it took too long")
            except Exception:
                log.exception("sweep_hit_a_bug")  # the next one may do better; none would be worse
            await asyncio.sleep(self._every_s)

    async def _sweep(self, *, asked: bool) -> list[Standing]:
        async def sweep(db: Db) -> list[Standing]:
            await store.see_one_moment(db)
            if not asked and not await store.alone(db):
                return []
            return await _keep(db, await differences(db), is_sweep=not asked)

        async with asyncio.timeout(DEADLINE_S), self._one_at_a_time:
            return await self._database.in_transaction(sweep, tries=CONFLICTS)

    async def _mend_due(self) -> tuple[Standing, ...]:
        """Each in a transaction of its own: what one of them meets keeps no other from being mended."""
        mended: list[Standing] = []
        async with asyncio.timeout(DEADLINE_S):
            async with self._database.connection() as db:
                due = await store.due(db, older_than_s=self._every_s / 2, at_host=AT_HOST)
            for difference_id in due:
                try:
                    done = await self._database.in_transaction(partial(mend_one, difference_id=difference_id))
                except (DatabaseUnavailable, TimeoutError):
                    raise
                except InnkeeperError as error:
                    log.info("difference_not_mended_yet", difference=difference_id, because=error.message)
                except Exception:
                    log.exception("mend_hit_a_bug", difference=difference_id)
                else:
                    mended += [done] if done is not None else []
        for one in mended:
            log.warning("difference_mended", difference=one.id, kind=one.difference.kind.value, mended=one.mended)
        return tuple(mended)


async def mend_one(
    db: Db, difference_id: int, caller: Caller | None = None, only: Callable[[Standing], None] = lambda _: None
) -> Standing | None:
    """Mend it and tell so, inside the caller's transaction; None when there is nothing to mend (any more).

    `caller` has approved it, and `only` raises when it is not what they approved. Raises that, and what the mend
    raises; the transaction must then roll back.
    """
    async with store.short_waits(db):
        standing = await store.lock(db, difference_id)
        if standing is not None:
            only(standing)
        done = await mend(db, standing.difference) if standing is not None else None
    if standing is None or done is None:
        return None
    kept = await store.keep_mended(db, standing.id, done)
    message = f"{standing.difference.name}: {done}"
    await _tell(db, "difference_mended", standing.difference, message, Level.WARNING, caller=caller, mended=done)
    return kept


async def differences(db: Db) -> list[Difference]:
    """All of them, in the caller's transaction, which should see one moment."""
    hosts, now = await look_store.hosts(db), await look_store.now(db)
    totals = [ledger.of_total(wrong, *hosts.get(wrong.server_id, (None, None))) for wrong in await wrong_totals(db)]
    marked = [guests.judge(guest) for guest in await look_store.marked_guests(db)]
    opened = [operations.judge(operation, now) for operation in await look_store.open_operations(db)]
    return [
        *[one for one in marked if one is not None],
        *[one for one in map(guests.judge_claims, await look_store.guest_claims(db)) if one is not None],
        *[one for machine in await look_store.machines(db) for one in machines.judge(machine)],
        *[one for one in map(volumes.judge, await volume_store.unused_volumes(db)) if one is not None],
        *[ledger.of_claim(claim) for claim in await look_store.loose_claims(db)],
        *totals,
        *[ledger.of_address(address) for address in await look_store.loose_addresses(db)],
        *[one for one in opened if one is not None],
        *[operations.of_host(host) for host in await look_store.removing_hosts(db)],
    ]


async def _keep(db: Db, found: list[Difference], *, is_sweep: bool) -> list[Standing]:
    standing, new = await store.see(db, found, is_sweep=is_sweep)
    for one in new:
        await _tell(db, "difference_found", one.difference, one.difference.message, Level.WARNING)
    for gone in await store.resolve(db, standing):
        await _tell(db, "difference_gone", gone, f"{gone.name}: {gone.found}: no more", Level.INFO)
    return standing


async def _tell(
    db: Db,
    kind: str,
    difference: Difference,
    message: str,
    level: Level,
    *,
    caller: Caller | None = None,
    **more: str,
) -> None:
    details = {
        "kind": difference.kind.value, "found": difference.found, "expected": difference.expected,
        "remedy": difference.remedy, "mended_by": difference.mended_by.value, "ours": difference.ours,
        "data_at_risk": difference.data_at_risk, **more,
    }  # fmt: skip
    await Events.record(
        db, kind, message, level=level, caller=caller, host_id=difference.host_id, system_id=difference.system_id,
        details=details,
    )  # fmt: skip
