"""Discrepancies between ledger and hosts, and the policies of their repair."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self, TypedDict, Unpack

from attrs import frozen


class DiscrepancyKind(StrEnum):
    LEFTOVER_GUEST = "leftover_guest"  # has our marker; its machine has a tombstone
    UNKNOWN_GUEST = "unknown_guest"  # has our marker; its machine is not in the ledger
    DUPLICATE_GUEST = "duplicate_guest"  # has our marker; its machine has another guest
    GUEST_ON_OTHER_HOST = "guest_on_other_host"  # on another server or in another project than its machine
    ORPHANED_VOLUME = "orphaned_volume"  # named after our marker; no guest of its server uses it
    MACHINE_MISSING = "machine_missing"  # its host reported no such guest
    MACHINE_CHANGED = "machine_changed"  # its guest has another size or other pinned cores
    VOLUME_MISSING = "volume_missing"  # a disk of its guest has no volume, so that it cannot start
    DISKS_CHANGED = "disks_changed"  # its guest has other disks, or disks of other sizes
    WRONG_AUTOSTART = "wrong_autostart"  # its host starts its guest, or does not, against its setting
    MACHINE_WITHOUT_CLAIMS = "machine_without_claims"
    WRONG_CLAIMS = "wrong_claims"  # differ from what the machine or guest uses
    ORPHANED_CLAIM = "orphaned_claim"
    WRONG_TOTAL = "wrong_total"  # differs from the sum of its claims
    ORPHANED_ADDRESS = "orphaned_address"
    ADDRESS_OUTSIDE_SUBNET = "address_outside_subnet"
    USE_UNPROVEN = "use_unproven"  # it may have been used since the moment to which the database was restored
    STATE_WITHOUT_OPERATION = "state_without_operation"  # a transient state that no operation ends
    LEASE_EXPIRED = "lease_expired"
    OPERATION_STUCK = "operation_stuck"
    MAAS_RECORD_MISSING = "maas_record_missing"  # the MAAS in which a machine is registered no longer has it
    MAAS_RECORD_LEFT = "maas_record_left"  # a MAAS may have the record of a machine that is gone


class RepairPolicy(StrEnum):
    AUTOMATIC = "automatic"  # repaired after two consecutive sweeps have found it
    APPROVAL = "approval"  # repaired when an administrator approves the shown repair
    NONE = "none"  # only reported: a refresh or a person resolves it


class CheckOutcome(StrEnum):
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"  # another region was sweeping


class Texts(TypedDict):
    """The text fields of a discrepancy, which differ by fault of a subject."""

    found: str
    expected: str
    remedy: str


@frozen(kw_only=True)
class Subject(ABC):
    """A row that a discrepancy can be about, and the VM host that has it."""

    WORD: ClassVar[str]  # the key of its discrepancies consists of this word and its id

    id: int
    host_id: int | None
    host_name: str | None
    system_id: str | None = None  # of the subject's machine

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that people know: of a machine, a guest, an operation or a total."""


@frozen(kw_only=True)
class MachineSubject(Subject):
    """A machine on its VM host."""

    WORD = "machine"

    system_id: str
    hostname: str
    host_id: int
    host_name: str

    @property
    def name(self) -> str:
        return self.hostname


@frozen(kw_only=True)
class Discrepancy:
    """A difference within the ledger, or between the ledger and a host.

    `remedy` is a sentence on what the repair does ("This ..."), or for policy `none`, on what a person can do. `ours`:
    the repair changes only the ledger, or removes what calls of ours have provably left on a host. `data_at_risk`: a
    person should inspect the guest or volume before the repair.
    """

    kind: DiscrepancyKind
    key: str  # identifies the subject within the kind, such as `server 3 machine 12`
    name: str  # of the machine, guest, operation or total
    found: str
    expected: str
    remedy: str
    ours: bool
    data_at_risk: bool
    repair_policy: RepairPolicy = RepairPolicy.NONE
    host_id: int | None = None
    host_name: str | None = None
    system_id: str | None = None
    since: datetime | None = None  # None: unknown

    @classmethod
    def of(
        cls,
        subject: Subject,
        kind: DiscrepancyKind,
        policy: RepairPolicy,
        *,
        ours: bool | None = None,
        data_at_risk: bool = False,
        since: datetime | None = None,
        **texts: Unpack[Texts],
    ) -> Self:
        """Returns a discrepancy of `subject`. By default, `ours` is True if it is repaired automatically."""
        return cls(
            kind=kind,
            key=f"{subject.WORD} {subject.id}",
            name=subject.name,
            host_id=subject.host_id,
            host_name=subject.host_name,
            system_id=subject.system_id,
            repair_policy=policy,
            ours=policy is RepairPolicy.AUTOMATIC if ours is None else ours,
            data_at_risk=data_at_risk,
            since=since,
            **texts,
        )

    @property
    def message(self) -> str:
        where = f" on {self.host_name}" if self.host_name else ""
        return f"{self.name}{where}: {self.found}; expected: {self.expected}"

    def id_of(self, word: str) -> int:
        """Returns the number after `word` in the key: 12 for `machine` in `server 3 machine 12`."""
        words = self.key.split()
        return int(words[words.index(word) + 1])

    def revalidated(self, found: Iterable[Discrepancy | None]) -> Discrepancy | None:
        """Returns this discrepancy as it is now in `found`; None if it is resolved or its policy has changed.

        With policy `approval`, also None if `found` or `remedy` has changed: an approval is only for the texts shown.
        """
        identity = self._identity
        return next((one for one in found if one is not None and one._identity == identity), None)  # noqa: SLF001  # ours

    @property
    def _identity(self) -> tuple[str, ...]:
        identity = (self.kind.value, self.key, self.repair_policy.value)
        return (*identity, self.found, self.remedy) if self.repair_policy is RepairPolicy.APPROVAL else identity

    @property
    def etag(self) -> str:
        """Returns a tag that changes when anything changes that an administrator approves."""
        facts = (self.kind.value, self.key, self.found, self.expected, self.remedy, self.repair_policy.value)
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


@frozen(kw_only=True)
class OpenDiscrepancy:
    """A discrepancy that the last sweep found, or that was repaired, as stored."""

    id: int
    discrepancy: Discrepancy
    first_seen_at: datetime
    last_seen_at: datetime
    sweeps: int = 0  # consecutive sweeps that found it; a check on request does not count
    repaired_at: datetime | None = None
    repaired: str | None = None  # the fault, and what the repair did
