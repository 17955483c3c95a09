"""Lists and counts what needs attention, and notes since when amounts are above their limits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta

from common.process.periodic import PeriodicTask
from regiond.attention import store
from regiond.attention.model import (
    EVERYTHING,
    AttentionCounts,
    AttentionFilter,
    AttentionGroup,
    AttentionItem,
    AttentionKind,
    AttentionLimits,
    Found,
    ObjectType,
)
from regiond.attention.quota_use import nearly_used
from regiond.attention.recent_quotas import RecentQuotas
from regiond.attention.wording import item_of
from regiond.db.pool import Database
from regiond.quotas.model import Quota
from regiond.requests.caller import Caller

MOST_OF_KIND = 1000
NOTE_EVERY_S = 15.0
_MEASURED = (AttentionKind.HOST_OVERCOMMITTED, AttentionKind.STORAGE_POOL_FULL)
_NOTED = (*_MEASURED, AttentionKind.QUOTA_FULL)


class Attention:
    """The list. Callers see items of what they may see; administrators also those of racks, discrepancies and the API.

    `quotas` reads all quotas with their usage; `certificate_expires_at` is that of the API, None for plain HTTP.
    """

    def __init__(
        self,
        database: Database,
        limits: AttentionLimits,
        *,
        quotas: Callable[[], Awaitable[tuple[Quota, ...]]],
        certificate_expires_at: Callable[[], datetime | None],
    ) -> None:
        self.limits = limits
        self._database = database
        self._quotas = RecentQuotas(query=quotas)
        self._certificate_expires_at = certificate_expires_at
        self._task = PeriodicTask("attention", self.note, every_s=NOTE_EVERY_S, first_after_s=NOTE_EVERY_S)

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    async def groups(
        self,
        wanted: AttentionFilter = EVERYTHING,
        *,
        per_kind: int = MOST_OF_KIND,
        offset: int = 0,
        caller: Caller,
    ) -> tuple[AttentionGroup, ...]:
        """Returns the kinds of which the caller sees something, each with its items after `offset`.

        There are at most `per_kind` of each, and one more where the certificate of the API is among them.
        """
        now = datetime.now(UTC)
        found = await self._read(now, wanted, per_kind, offset, caller)
        if any(one.kind in _NOTED and one.since is None for group in found.values() for one in group.found):
            await self.note()  # what nobody has seen before begins now
            found = await self._read(now, wanted, per_kind, offset, caller)
        return tuple(
            AttentionGroup(
                kind=kind,
                count=group.count,
                broken=group.broken,
                items=tuple(item_of(one, now, is_admin=caller.is_admin) for one in group.found),
            )
            for kind, group in sorted(found.items(), key=lambda each: _ORDER[each[0]])
        )

    async def _read(
        self, now: datetime, wanted: AttentionFilter, per_kind: int, offset: int, caller: Caller
    ) -> dict[AttentionKind, store.FoundGroup]:
        async with self._database.connection() as db:
            stored = await store.read(db, wanted, self.limits, per_kind=per_kind, offset=offset, caller=caller)
        merged = dict(stored)
        for kind, found in (await self._in_memory(now, wanted, caller)).items():
            also = merged.get(kind, store.NOTHING)
            merged[kind] = store.FoundGroup(
                count=len(found) + also.count,
                broken=sum(one.broken for one in found) + also.broken,
                found=(*found[offset : offset + per_kind], *also.found),
            )
        return merged

    async def items(self, wanted: AttentionFilter = EVERYTHING, *, caller: Caller) -> tuple[AttentionItem, ...]:
        """Returns the items that the caller sees, at most MOST_OF_KIND of each kind."""
        return tuple(item for group in await self.groups(wanted, caller=caller) for item in group.items)

    async def counts(self, *, caller: Caller) -> AttentionCounts:
        """Returns how much needs attention of what the caller sees. Every page shows it."""
        async with self._database.connection() as db:
            stored = await store.count(db, self.limits, caller=caller)
        kinds = {kind: number for kind, (number, _) in stored.items()}
        broken = sum(number for _, number in stored.values())
        for kind, found in (await self._in_memory(datetime.now(UTC), EVERYTHING, caller)).items():
            kinds[kind] = kinds.get(kind, 0) + len(found)
            broken += sum(one.broken for one in found)
        return AttentionCounts(kinds=dict(sorted(kinds.items(), key=lambda each: _ORDER[each[0]])), broken=broken)

    def quotas_nearly_used(self) -> int:
        """Returns how many quotas are nearly used, as they were read last: within NOTE_EVERY_S. Needs no query."""
        return len(self._nearly_used(self._quotas.found, {}))

    async def note(self) -> None:
        """Records since when amounts are above their limits. Idempotent; one region at a time does it.

        Each region reads the quotas anew, for its own pages. The one that records reads nothing before it holds the
        lock: what another region recorded meanwhile would be forgotten.
        """
        wanted = AttentionFilter(kinds=_MEASURED)
        async with self._database.transaction() as db:
            records = await store.try_lock(db)
            if records:
                quotas = await self._quotas.read()  # on a second connection, of which the lock permits one
                stored = await store.read(db, wanted, self.limits, per_kind=100_000)
                found = [one for group in stored.values() for one in group.found]
                found += self._nearly_used(quotas, {})
                await store.note(db, found)
        if not records:
            await self._quotas.read()

    async def _in_memory(
        self, now: datetime, wanted: AttentionFilter, caller: Caller
    ) -> dict[AttentionKind, list[Found]]:
        """Returns what no query finds: quotas, and the certificate of this region's API."""
        found: defaultdict[AttentionKind, list[Found]] = defaultdict(list)
        quotas = [one for one in await self._quotas.recent() if _sees(caller, one)]
        if quotas:
            async with self._database.connection() as db:
                since = await store.since(db, AttentionKind.QUOTA_FULL)
            found[AttentionKind.QUOTA_FULL] = self._nearly_used(quotas, since)
        if caller.is_admin:
            found[AttentionKind.CERTIFICATE_EXPIRING] = self._own_certificate(now)
        matching = {kind: [one for one in each if wanted.matches(one)] for kind, each in found.items()}
        return {kind: each for kind, each in matching.items() if each}

    def _nearly_used(self, quotas: Iterable[Quota], since: dict[str, datetime]) -> list[Found]:
        percent = self.limits.nearly_full_percent
        found = (nearly_used(quota, percent, since) for quota in quotas)
        return sorted((one for one in found if one is not None), key=_as_rows)

    def _own_certificate(self, now: datetime) -> list[Found]:
        expires_at = self._certificate_expires_at()
        soon = timedelta(days=self.limits.certificate_days)
        if expires_at is None or expires_at - soon > now:
            return []
        has_expired = expires_at <= now
        return [
            Found(
                kind=AttentionKind.CERTIFICATE_EXPIRING,
                object_type=ObjectType.REGION,
                object_id="api",
                name="The API",
                broken=has_expired,
                since=expires_at if has_expired else expires_at - soon,
                facts={"expires_at": expires_at},
            )
        ]


def _as_rows(found: Found) -> tuple[bool, float, str, int]:
    """The order of the rows of a kind: broken ones first, then the newest; those of unknown time last."""
    return not found.broken, 0.0 if found.since is None else -found.since.timestamp(), found.name, int(found.object_id)


_ORDER = {kind: position for position, kind in enumerate(AttentionKind)}


def _sees(caller: Caller, quota: Quota) -> bool:
    return (
        caller.is_admin
        or quota.account_id == caller.account_id
        or (quota.pool_id is not None and caller.may_view(quota.pool_id))
    )
