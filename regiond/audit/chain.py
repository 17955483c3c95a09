"""Verifies the audit trail: finds entries that were changed, removed or inserted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field, frozen

from regiond.audit import store
from regiond.audit.model import ChainReport, ChainState, RawEntry
from regiond.db.pool import Db

BATCH = 1000
MAX_PROBLEMS = 20


@frozen(kw_only=True)
class Referred:
    """The records that a batch of entries refers to.

    `records` are the entries that record redactions, by id, with the hashes that they say redacted entries have since
    then. `redacted_by` are the redacted entries, with the entries that record that.
    """

    records: Mapping[int, Mapping[int, str]] = field(factory=dict)
    redacted_by: Mapping[int, int | None] = field(factory=dict)


def records_of(entries: Iterable[RawEntry]) -> frozenset[int]:
    """The entries that record the redactions of these."""
    return frozenset(one.redacted_by for one in entries if one.redacted_by is not None)


def redacted_in(entries: Iterable[RawEntry]) -> frozenset[int]:
    """The entries of which these record a redaction."""
    return frozenset(number for one in entries for number in redacted_hashes(one.content))


@define
class ChainVerifier:
    """Takes all entries in the order of their ids; `problems` says what does not fit together."""

    state: ChainState
    problems: list[str] = field(factory=list)
    first_id: int = 0
    redacted: int = 0
    _id: int = field(init=False)
    _hash: bytes = field(init=False)
    _recorded_prune: tuple[int, str] | None = None

    def __attrs_post_init__(self) -> None:
        self._id, self._hash = self.state.pruned_id, self.state.pruned_hash

    def take(self, entries: Iterable[RawEntry], referred: Referred | None = None) -> None:
        """`referred` is needed for entries that were redacted, and for those that record that."""
        for entry in entries:
            self._take(entry, referred or Referred())

    def end(self) -> tuple[str, ...]:
        """Returns all problems, after the last entry."""
        if self._id != self.state.head_id:
            self._report(f"The trail ends with entry {self._id}, but its last entry was {self.state.head_id}.")
        elif self._hash != self.state.head_hash:
            self._report(f"Entry {self._id}, the last of the trail, was replaced: its hash is not the recorded one.")
        pruned = (self.state.pruned_id, self.state.pruned_hash.hex())
        if self.state.pruned_id and self._recorded_prune != pruned:
            self._report(
                f"Entries up to {self.state.pruned_id} were removed, but no entry records that they were pruned."
            )
        return tuple(self.problems)

    def _take(self, entry: RawEntry, referred: Referred) -> None:
        self.first_id = self.first_id or entry.id
        if entry.id != self._id + 1:
            self._report(f"Entries {self._id + 1} to {entry.id - 1} are missing.")
        elif entry.previous_hash != self._hash:
            self._report(f"Entry {entry.id} does not follow entry {self._id}: one of them was replaced or inserted.")
        if entry.redacted_by is not None:
            self._take_redacted(entry, entry.redacted_by, referred)
        elif entry.own_hash != entry.hash:
            self._report(f"Entry {entry.id} was changed: its hash is not that of its content.")
        self._take_redactions(entry, referred)
        self._id, self._hash = entry.id, entry.hash
        if '"audit.prune"' in entry.content:
            content = json.loads(entry.content)
            if content.get("action") == "audit.prune" and "through" in content:
                self._recorded_prune = content["through"], content.get("hash", "")

    def _take_redacted(self, entry: RawEntry, by: int, referred: Referred) -> None:
        """A redacted entry has exactly the content that the record of its latest redaction says."""
        self.redacted += 1
        recorded = referred.records.get(by, {}).get(entry.id)
        if recorded is None:
            self._report(f"Entry {entry.id} was changed: entry {by} does not record that it was redacted.")
        elif recorded != entry.own_hash.hex():
            self._report(f"Entry {entry.id} was changed after it was redacted by entry {by}.")

    def _take_redactions(self, entry: RawEntry, referred: Referred) -> None:
        """Checks that what an entry says is redacted is so, by it or a later one. What was pruned is not found."""
        for number in redacted_hashes(entry.content):
            if number in referred.redacted_by and (referred.redacted_by[number] or 0) < entry.id:
                self._report(f"Entry {number} was changed: entry {entry.id} redacted it, which was undone.")

    def _report(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


async def _referred(db: Db, batch: Sequence[RawEntry]) -> Referred:
    contents = await store.contents(db, records_of(batch))
    return Referred(
        records={number: redacted_hashes(content) for number, content in contents.items()},
        redacted_by=await store.redacted_by(db, redacted_in(batch)),
    )


async def verify(db: Db) -> ChainReport:
    """Reads the whole trail, at one moment, in batches. Entries that are appended meanwhile are not looked at."""
    async with db.transaction(isolation="repeatable_read", readonly=True):
        state = await store.chain_state(db)
        if state is None:
            return ChainReport(
                first_id=0,
                head_id=0,
                head_hash=b"",
                problems=("The row of the audit trail's newest entry is missing.",),
            )
        verifier = ChainVerifier(state)
        after_id = 0
        while batch := await store.raw_entries(db, after_id=after_id, limit=BATCH):
            verifier.take(batch, await _referred(db, batch))
            after_id = batch[-1].id
    problems = verifier.end()
    return ChainReport(
        first_id=verifier.first_id, head_id=state.head_id, head_hash=state.head_hash, problems=problems,
        redacted=verifier.redacted,
    )  # fmt: skip


def redacted_hashes(content: str) -> Mapping[int, str]:
    """The entries of which this content records a redaction, with the hashes of their contents since then."""
    if '"audit.redact"' not in content:
        return {}
    found = json.loads(content)
    if found.get("action") != "audit.redact":
        return {}
    return {one["id"]: one["hash"] for one in found.get("redacted", [])}
