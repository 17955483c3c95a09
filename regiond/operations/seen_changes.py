"""Remembers the latest changes of operations, to find those that a fail-over has lost."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from regiond.db.pool import Db

MOST = 10_000
AGE_S = 120.0  # longer than the listener is silent

_LOST = """
    select seen.id
      from unnest($1::bigint[], $2::text[]) seen (id, state) left join operation o on o.id = seen.id
     where o.id is null or (o.is_open and seen.state in ('succeeded', 'failed', 'cancelled'))
        or (o.state = 'queued' and seen.state <> 'queued')
     order by seen.id
"""


class SeenChanges:
    """The last known state of the operations that changed in the last two minutes, in whichever region."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[int, tuple[str, float]] = OrderedDict()

    def on_state_changed(self, operation_id: int, state: str) -> None:
        self._seen[operation_id] = (state, self._clock())
        self._seen.move_to_end(operation_id)
        if len(self._seen) > MOST:
            self._seen.popitem(last=False)

    def forget(self) -> None:
        self._seen.clear()

    async def lost(self, db: Db) -> tuple[int, ...]:
        """Returns the operations that the database does not have, or that it has in an earlier state."""
        since = self._clock() - AGE_S
        recent = {one: state for one, (state, at) in self._seen.items() if at >= since}
        return tuple(row["id"] for row in await db.fetch(_LOST, list(recent), list(recent.values())))
