"""The hashes of the audit trail are compared with each other, and with what the chain's own row has recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from regiond.audit.chain import ChainVerifier
from regiond.audit.model import ChainState, RawEntry

AT = datetime(2026, 11, 21, 8, tzinfo=UTC)
NO_HASH = bytes(32)  # before the first entry
OTHER_HASH = b"x" * 32


def entry(number: int, content: str, previous_hash: bytes) -> RawEntry:
    """An entry whose own hash fits."""
    made = RawEntry(id=number, at=AT, content=content, previous_hash=previous_hash, hash=b"")
    return evolve(made, hash=made.own_hash)


def chained(contents: Iterable[str], *, after: int = 0, previous_hash: bytes = NO_HASH) -> list[RawEntry]:
    made: list[RawEntry] = []
    for number, content in enumerate(contents, start=after + 1):
        made.append(entry(number, content, made[-1].hash if made else previous_hash))
    return made


def problems(entries: Sequence[RawEntry], state: ChainState) -> tuple[str, ...]:
    verifier = ChainVerifier(state)
    verifier.take(entries)
    return verifier.end()


def state_of(entries: Sequence[RawEntry]) -> ChainState:
    """What the database has recorded of the whole, unpruned chain."""
    return ChainState(head_id=entries[-1].id, head_hash=entries[-1].hash, pruned_id=0, pruned_hash=NO_HASH)


def pruned(recorded_hash: bytes, *, anchor: bytes) -> tuple[list[RawEntry], ChainState]:
    """A chain whose first three entries are gone: its entry says `recorded_hash`, its state `anchor`."""
    whole = chained(["1", "2", "3", "4"])
    said = {"action": "audit.prune", "through": 3, "hash": recorded_hash.hex()}
    left = [whole[3], entry(5, json.dumps(said), whole[3].hash)]
    return left, ChainState(head_id=5, head_hash=left[-1].hash, pruned_id=3, pruned_hash=anchor)


@given(st.lists(st.text(), min_size=1, max_size=8), st.data())
def test_a_replaced_entry_whose_own_hash_fits_is_found(contents: list[str], data: st.DataObject) -> None:
    chain = chained(contents)
    state = state_of(chain)
    assert problems(chain, state) == ()
    where = data.draw(st.integers(0, len(chain) - 1))
    chain[where] = entry(where + 1, contents[where] + "!", chain[where].previous_hash)
    (found,) = problems(chain, state)
    assert ("the last of the trail, was replaced" if where == len(chain) - 1 else "does not follow") in found


def test_a_rewritten_end_is_found_by_the_recorded_hash() -> None:
    chain = chained(["1", "2", "3", "4"])
    rewritten = chain[:2] + chained(["3!", "4"], after=2, previous_hash=chain[1].hash)
    assert problems(rewritten, state_of(chain)) == (
        "Entry 4, the last of the trail, was replaced: its hash is not the recorded one.",
    )


def test_a_chain_that_begins_elsewhere_is_found() -> None:
    elsewhere = chained(["1", "2"], previous_hash=OTHER_HASH)
    (found,) = problems(elsewhere, state_of(elsewhere))
    assert found.startswith("Entry 1 does not follow entry 0")


def test_a_pruned_chain_fits_its_anchor_and_the_entry_that_says_so() -> None:
    last_pruned = chained(["1", "2", "3"])[-1].hash
    assert problems(*pruned(last_pruned, anchor=last_pruned)) == ()
    (other_record,) = problems(*pruned(OTHER_HASH, anchor=last_pruned))
    assert other_record.startswith("Entries up to 3 were removed, but no entry records")
    (other_anchor,) = problems(*pruned(OTHER_HASH, anchor=OTHER_HASH))
    assert other_anchor.startswith("Entry 4 does not follow entry 3")
