"""What is done about each kind of difference: by itself when two sweeps have seen it, or when a person has approved it.

Who decides that is with the difference (`mended_by`); how it is done is the same for both. A mend looks again, under
the locks of what it changes, and does nothing unless it finds the same difference: so whoever is second does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from regiond.reconciler import guest_mends, ledger_mends, operation_mends, state_mends, volume_mends
from regiond.reconciler.model import Difference, Kind

if TYPE_CHECKING:
    from regiond.db.pool import Db


class Mend(Protocol):
    """Inside the caller's transaction (read committed), so that all of it happens or nothing."""

    async def __call__(self, db: Db, difference: Difference) -> str | None:
        """What was before and what is now, for people. None, with nothing written, when the difference is no more, or
        when it is no longer mended by whom it was (`Difference.again`).

        Raises Busy, WrongState or NotFound when something else acts on it; the transaction must then roll back.
        """


# What is not here is only told: no difference of such a kind says that it is mended by itself or by approval.
MENDS: Mapping[Kind, Mend] = {
    Kind.LEFTOVER_GUEST: operation_mends.remove_leftover,
    Kind.UNKNOWN_GUEST: guest_mends.adopt,
    Kind.SECOND_GUEST: guest_mends.take_mark_off,
    Kind.GUEST_ELSEWHERE: guest_mends.move_to_guest,
    Kind.MACHINE_MISSING: guest_mends.let_missing_go,
    Kind.UNUSED_VOLUME: volume_mends.remove_volume,
    Kind.MACHINE_WITHOUT_CLAIMS: ledger_mends.write_claims_anew,
    Kind.CLAIMS_DIFFER: ledger_mends.write_claims_anew,
    Kind.CLAIM_WITHOUT_OWNER: ledger_mends.remove_claims,
    Kind.TOTAL_DIFFERS: ledger_mends.make_totals_anew,
    Kind.ADDRESS_WITHOUT_OWNER: ledger_mends.remove_address,
    Kind.STATE_UNEXPLAINED: state_mends.end_state,
    Kind.LEASE_LAPSED: operation_mends.end_lease,
    Kind.OPERATION_STUCK: operation_mends.cancel,
}

# Their mend is an operation that removes something at the host. By itself it is not opened while nobody reaches the
# host: it would fail in an hour, be opened again, and fail again for as long as that lasts.
AT_HOST = frozenset({Kind.LEFTOVER_GUEST, Kind.UNUSED_VOLUME})


async def mend(db: Db, difference: Difference) -> str | None:
    """As `Mend`; None also for what is only told."""
    how = MENDS.get(difference.kind)
    return None if how is None else await how(db, difference)
