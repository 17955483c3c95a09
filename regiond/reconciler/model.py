"""Where what is and what should be part, as it is told. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from attrs import frozen


class Kind(StrEnum):
    LEFTOVER_GUEST = "leftover_guest"  # our mark, and the machine was given up
    UNKNOWN_GUEST = "unknown_guest"  # our mark, and the ledger has never heard of the machine
    SECOND_GUEST = "second_guest"  # our mark, and another guest is that machine
    GUEST_ELSEWHERE = "guest_elsewhere"  # on another server than its machine
    UNUSED_VOLUME = "unused_volume"  # named after a mark of ours, and no guest has it
    MACHINE_MISSING = "machine_missing"  # the last look at its host did not list its guest
    MACHINE_CHANGED = "machine_changed"  # its guest has another size, or is pinned otherwise
    MACHINE_WITHOUT_CLAIMS = "machine_without_claims"
    CLAIMS_DIFFER = "claims_differ"  # from what the machine has
    CLAIM_WITHOUT_OWNER = "claim_without_owner"
    TOTAL_DIFFERS = "total_differs"  # from the sum of its claims
    ADDRESS_WITHOUT_OWNER = "address_without_owner"
    ADDRESS_OUTSIDE_SUBNET = "address_outside_subnet"
    STATE_UNEXPLAINED = "state_unexplained"  # an operation should be under way, and none is
    LEASE_LAPSED = "lease_lapsed"
    OPERATION_STUCK = "operation_stuck"


class By(StrEnum):
    """Who has to want it mended. What is done then: `regiond.reconciler.mends`."""

    ITSELF = "itself"  # two sweeps in a row have seen it
    APPROVAL = "approval"  # a person has seen what would be done, and said yes
    NOBODY = "nobody"  # it is only told: a look sets it right, or somebody at the hypervisor


@frozen(kw_only=True)
class Difference:
    """`ours`: whoever mends it touches only the ledger, or guests that were given up: no person need be asked."""

    kind: Kind
    key: str  # what it is about, within its kind: the same as long as the difference stands
    name: str  # of the machine, guest, operation or total
    found: str
    expected: str
    remedy: str
    ours: bool
    data_at_risk: bool
    mended_by: By = By.NOBODY
    host_id: int | None = None
    host_name: str | None = None
    system_id: str | None = None
    since: datetime | None = None  # when it began, where that is known

    @property
    def message(self) -> str:
        where = f" on {self.host_name}" if self.host_name else ""
        return f"{self.name}{where}: {self.found}; expected: {self.expected}"

    def number_of(self, word: str) -> int:
        """What follows `word` in the key, such as 12 for `machine` in `server 3 machine 12`."""
        words = self.key.split()
        return int(words[words.index(word) + 1])

    def again(self, found: Iterable[Difference | None]) -> Difference | None:
        """What is found of it by now. None when it is gone, or when it is no longer mended by whom it was."""
        return next((one for one in found if one is not None and one._same_as(self)), None)

    def _same_as(self, other: Difference) -> bool:
        """A person approves what was shown, word for word."""
        asked = self.mended_by is By.APPROVAL
        return (self.kind, self.key, self.mended_by, self.found if asked else "", self.remedy if asked else "") == (
            other.kind, other.key, other.mended_by, other.found if asked else "", other.remedy if asked else "",
        )  # fmt: skip

    @property
    def etag(self) -> str:
        """The same as long as it is the same to whoever approves it: what was found, and what would be done."""
        told = (self.kind.value, self.key, self.found, self.expected, self.remedy, self.mended_by.value)
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


@frozen(kw_only=True)
class Standing:
    """A difference that was there at the last sweep, and since when sweeps see it."""

    id: int
    difference: Difference
    first_seen_at: datetime
    last_seen_at: datetime
    sweeps: int = 0  # that saw it, one after the other; who only asks is none
    mended_at: datetime | None = None
    mended: str | None = None  # what was before, and what is now
