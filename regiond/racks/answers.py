"""Whether what a rack answers can be the answer to what it was asked. Pure; what is wrong is said in words.

A rack that reaches a host is believed what it says of that host: nobody else sees it. What the region chose itself (the
machine, its size, the guest that is meant) it holds against the answer, before anything is written because of it.
"""

from __future__ import annotations

from typing import Any

from common.rpc.commands import ComposeCall, FoundGuest, GuestCall, MarkCall
from common.values import Guest, GuestSpec, Mark


def wrong_answer(request: Any, answer: Any) -> str | None:
    """What does not fit; None when the answer may be true. Answers that name nothing are never wrong."""
    match request, answer:
        case ComposeCall(spec=spec), Guest():
            return _wrong_mark(spec.mark, answer) or _wrong_size(spec, answer)
        case MarkCall(mark=mark, guest_id=guest_id), Guest():
            if answer.guest_id != guest_id:
                return f"it tells of guest {answer.guest_id!r}, and was asked about {guest_id!r}"
            return _wrong_mark(mark, answer)
        case GuestCall(guest=ref), FoundGuest(guest=Guest() as found):
            return _wrong_mark(ref.mark, found)
    return None


def _wrong_mark(asked: Mark, guest: Guest) -> str | None:
    if guest.mark == asked:
        return None
    told = "carries no mark of ours" if guest.mark is None else f"is marked as machine {guest.mark.machine_id}"
    return f"its guest {guest.name!r} {told}, and it was asked about machine {asked.machine_id}"


def _wrong_size(spec: GuestSpec, guest: Guest) -> str | None:
    """A size that could not be read is told as 0."""
    told, asked = (guest.cores, guest.memory_mib), (spec.cores, spec.memory_mib)
    if told == asked or 0 in told:
        return None
    return (
        f"its guest {guest.name!r} has {told[0]} cores and {told[1]} MiB, and it was asked for {asked[0]} cores and "
        f"{asked[1]} MiB (or somebody changed the guest on the host in this moment)"
    )
