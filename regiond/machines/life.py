"""A machine's life: the one table of its states and moves, and what clients are told of each state."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import frozen

from common.errors import WrongState


class MachineState(StrEnum):
    """Between ready and releasing there will be deploying and deployed, when there are images."""

    COMPOSING = "composing"
    ADOPTING = "adopting"  # a guest that was there before is being marked as this machine
    NEW = "new"  # marked fixed, while no look at its host has found its guest
    READY = "ready"
    ALLOCATED = "allocated"  # somebody's, until it is released
    RELEASING = "releasing"
    DELETING = "deleting"
    MISSING = "missing"  # its guest was not in the last listing of its host
    BROKEN = "broken"  # a person said so
    FAILED = "failed"  # it was released to be destroyed, and its host did not do that


class Event(StrEnum):
    """What happens to a machine. `…_owned` is the same of a machine that has an owner."""

    COMPOSED = "composed"
    ADOPTED = "adopted"
    ALLOCATED = "allocated"
    RELEASE = "release"  # begun: it is switched off, or destroyed when allocation had made it
    RELEASED = "released"
    RELEASE_FAILED = "release_failed"
    DELETE = "delete"  # begun; when it has ended there is no row any more
    NOT_DESTROYED = "not_destroyed"  # on release: nobody wants it, so nobody is given it
    KEPT = "kept"  # its deletion failed or was cancelled
    KEPT_OWNED = "kept_owned"
    LOST = "lost"
    FOUND = "found"
    FOUND_OWNED = "found_owned"
    MARK_BROKEN = "mark_broken"
    FIXED = "fixed"
    FIXED_OWNED = "fixed_owned"
    FIXED_UNSEEN = "fixed_unseen"  # by a person, while nobody has seen its guest


_S, _E = MachineState, Event
_WHOLE = (_S.NEW, _S.READY, _S.ALLOCATED, _S.MISSING, _S.BROKEN, _S.FAILED)  # nothing is under way
_MOVES: Mapping[Event, tuple[tuple[MachineState, ...], MachineState]] = {
    _E.COMPOSED: ((_S.COMPOSING,), _S.READY),
    _E.ADOPTED: ((_S.ADOPTING,), _S.READY),
    _E.ALLOCATED: ((_S.READY,), _S.ALLOCATED),
    _E.RELEASE: ((_S.NEW, _S.ALLOCATED, _S.MISSING, _S.BROKEN, _S.FAILED), _S.RELEASING),
    _E.RELEASED: ((_S.RELEASING,), _S.READY),
    _E.RELEASE_FAILED: ((_S.RELEASING,), _S.ALLOCATED),
    _E.DELETE: (_WHOLE, _S.DELETING),
    _E.NOT_DESTROYED: ((_S.RELEASING,), _S.FAILED),
    _E.KEPT: ((_S.DELETING, _S.RELEASING), _S.READY),
    _E.KEPT_OWNED: ((_S.DELETING, _S.RELEASING), _S.ALLOCATED),
    _E.LOST: ((_S.NEW, _S.READY, _S.ALLOCATED, _S.FAILED), _S.MISSING),
    _E.FOUND: ((_S.NEW, _S.MISSING), _S.READY),
    _E.FOUND_OWNED: ((_S.NEW, _S.MISSING), _S.ALLOCATED),
    _E.MARK_BROKEN: ((_S.NEW, _S.READY, _S.ALLOCATED, _S.MISSING, _S.FAILED), _S.BROKEN),
    _E.FIXED: ((_S.BROKEN, _S.FAILED), _S.READY),
    _E.FIXED_OWNED: ((_S.BROKEN, _S.FAILED), _S.ALLOCATED),
    _E.FIXED_UNSEEN: ((_S.BROKEN, _S.FAILED), _S.NEW),
}
NEXT: Mapping[tuple[MachineState, Event], MachineState] = {
    (before, event): after for event, (befores, after) in _MOVES.items() for before in befores
}
LAST = frozenset({_S.COMPOSING, _S.ADOPTING, _S.RELEASING, _S.DELETING})  # an operation may end with the machine's row

_DONE: Mapping[Event, str] = {
    _E.ALLOCATED: "allocated",
    _E.RELEASE: "released",
    _E.DELETE: "deleted",
    _E.MARK_BROKEN: "marked broken",
    _E.FIXED: "marked fixed",
    _E.FIXED_OWNED: "marked fixed",
    _E.FIXED_UNSEEN: "marked fixed",
}
_HELP: Mapping[MachineState, str] = {
    _S.COMPOSING: "wait until it is made, or cancel its operation",
    _S.ADOPTING: "wait until it is taken over, or cancel its operation",
    _S.NEW: "refresh its host, which says whether its guest is there",
    _S.READY: "allocate it first",
    _S.ALLOCATED: "release it first",
    _S.RELEASING: "wait until it is released",
    _S.DELETING: "wait until it is gone",
    _S.MISSING: "refresh its host when its guest is there again, or delete it",
    _S.BROKEN: "mark it fixed first",
    _S.FAILED: "delete it again, or mark it fixed",
}


@frozen
class Told:
    """The number and the word that clients match exactly, and a sentence for people."""

    status: int
    name: str
    message: str


TOLD: Mapping[MachineState, Told] = {
    _S.COMPOSING: Told(1, "Commissioning", "The virtual machine is being made."),
    _S.ADOPTING: Told(1, "Commissioning", "The virtual machine is being taken over as it is."),
    _S.NEW: Told(0, "New", "It was marked fixed; the next refresh of its host says whether its guest is there."),
    _S.READY: Told(4, "Ready", ""),
    _S.ALLOCATED: Told(10, "Allocated", ""),
    _S.RELEASING: Told(12, "Releasing", "The machine is being given back."),
    _S.DELETING: Told(12, "Releasing", "The virtual machine is being removed."),
    _S.MISSING: Told(3, "Missing", "The host did not list the virtual machine at its last refresh."),
    _S.BROKEN: Told(8, "Broken", "The machine was marked broken."),
    _S.FAILED: Told(2, "Failed commissioning", "It was released, and its host did not remove it; see operations/."),
}


def move(state: MachineState, event: Event) -> MachineState:
    """Return the state that follows, or raise WrongState, which says what the machine is and what would help."""
    after = NEXT.get((state, event))
    if after is not None:
        return after
    name, done = TOLD[state].name, _DONE.get(event, event.value.replace("_", " "))
    raise WrongState(f"A machine that is {name} cannot be {done}: {_HELP[state]}.", state=state.value)


def found(*, owned: bool) -> Event:
    """A machine that was gone comes back as what it was: somebody's, or free."""
    return Event.FOUND_OWNED if owned else Event.FOUND


def undeleted(state: MachineState, *, owned: bool, cancelled: bool) -> Event:
    """The host did not remove it, or was told not to."""
    if state is MachineState.RELEASING and not cancelled:
        return Event.NOT_DESTROYED
    return Event.KEPT_OWNED if owned else Event.KEPT


def back(before: MachineState, *, owned: bool) -> MachineState:
    """What a machine is whose host was removed and has come back with its guest. What is broken stays so."""
    return before if before is MachineState.BROKEN else move(MachineState.MISSING, found(owned=owned))


def fixed(*, owned: bool, seen: bool) -> Event:
    """`seen`: a listing of its host has its guest."""
    if not seen:
        return Event.FIXED_UNSEEN
    return Event.FIXED_OWNED if owned else Event.FIXED
