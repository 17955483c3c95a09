"""The table of machine states and transitions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from common.errors import WrongState
from regiond.machines.values.states import MAAS_STATUS, MachineState


class MachineEvent(StrEnum):
    """An event that changes a machine's state. `…_OWNED` is for a machine that has an owner, or is as found."""

    COMPOSED = "composed"
    COMPOSE_FAILED = "compose_failed"  # after a client has learned of the machine
    ADOPTED = "adopted"
    ADOPTED_READY = "adopted_ready"  # nobody used it: it came from another controller
    ADOPTED_ALLOCATED = "adopted_allocated"  # it has an owner and no system, as another controller knew it
    ALLOCATED = "allocated"
    DEPLOY = "deploy"  # starts
    REBUILD = "rebuild"  # starts: deployed again, with another root disk
    NOT_REBUILT = "not_rebuilt"  # it has the root disk that it had
    DEPLOYED = "deployed"
    DEPLOYMENT_FAILED = "deployment_failed"
    DEPLOYMENT_ABORTED = "deployment_aborted"
    STILL_DEPLOYED = "still_deployed"  # follows an event that led back to allocated: it has an operating system
    STILL_FAILED = "still_failed"  # the same, for a failed deployment
    RELEASE = "release"  # starts: an operation powers it off, or destroys it if allocation composed it
    RELEASED = "released"
    RELEASE_FAILED = "release_failed"
    DELETE = "delete"  # starts; a successful deletion removes the row
    NOT_DESTROYED = "not_destroyed"  # the release failed to destroy it
    NOT_DELETED = "not_deleted"  # the deletion failed or was cancelled
    NOT_DELETED_OWNED = "not_deleted_owned"
    LOST = "lost"
    INTERRUPTED = "interrupted"  # a restore has ended its operation: nobody knows whether its guest exists
    FOUND = "found"
    FOUND_OWNED = "found_owned"
    MARK_BROKEN = "mark_broken"
    FIXED = "fixed"
    FIXED_OWNED = "fixed_owned"
    FIXED_UNSEEN = "fixed_unseen"  # marked fixed while the host does not list its guest


_S, _E = MachineState, MachineEvent
_OWNED = (_S.ALLOCATED, _S.DEPLOYED, _S.FAILED_DEPLOYMENT)
_SETTLED = (_S.NEW, _S.READY, *_OWNED, _S.MISSING, _S.BROKEN, _S.FAILED)  # no operation acts on it
_TRANSITIONS: Mapping[MachineEvent, tuple[tuple[MachineState, ...], MachineState]] = {
    _E.COMPOSED: ((_S.COMPOSING,), _S.READY),
    _E.COMPOSE_FAILED: ((_S.COMPOSING,), _S.FAILED_COMPOSE),  # the compose ends with the deletion of the row
    _E.ADOPTED: ((_S.ADOPTING,), _S.DEPLOYED),
    _E.ADOPTED_READY: ((_S.ADOPTING,), _S.READY),
    _E.ADOPTED_ALLOCATED: ((_S.ADOPTING,), _S.ALLOCATED),
    _E.ALLOCATED: ((_S.READY,), _S.ALLOCATED),
    _E.DEPLOY: ((_S.ALLOCATED,), _S.DEPLOYING),
    _E.REBUILD: ((_S.DEPLOYED, _S.FAILED_DEPLOYMENT), _S.DEPLOYING),
    _E.NOT_REBUILT: ((_S.DEPLOYING,), _S.DEPLOYED),
    _E.DEPLOYED: ((_S.DEPLOYING,), _S.DEPLOYED),
    _E.DEPLOYMENT_FAILED: ((_S.DEPLOYING,), _S.FAILED_DEPLOYMENT),
    _E.DEPLOYMENT_ABORTED: ((_S.DEPLOYING,), _S.ALLOCATED),
    _E.STILL_DEPLOYED: ((_S.ALLOCATED,), _S.DEPLOYED),
    _E.STILL_FAILED: ((_S.ALLOCATED,), _S.FAILED_DEPLOYMENT),
    _E.RELEASE: ((_S.NEW, *_OWNED, _S.MISSING, _S.BROKEN, _S.FAILED), _S.RELEASING),
    _E.RELEASED: ((_S.RELEASING,), _S.READY),
    _E.RELEASE_FAILED: ((_S.RELEASING,), _S.ALLOCATED),
    _E.DELETE: (_SETTLED, _S.DELETING),
    _E.NOT_DESTROYED: ((_S.DELETING, _S.RELEASING), _S.FAILED),
    _E.NOT_DELETED: ((_S.DELETING, _S.RELEASING), _S.READY),
    _E.NOT_DELETED_OWNED: ((_S.DELETING, _S.RELEASING), _S.ALLOCATED),
    _E.LOST: ((_S.NEW, _S.READY, *_OWNED, _S.FAILED), _S.MISSING),
    _E.INTERRUPTED: ((_S.COMPOSING, _S.ADOPTING), _S.MISSING),
    _E.FOUND: ((_S.NEW, _S.MISSING), _S.READY),
    _E.FOUND_OWNED: ((_S.NEW, _S.MISSING), _S.ALLOCATED),
    _E.MARK_BROKEN: ((_S.NEW, _S.READY, *_OWNED, _S.MISSING, _S.FAILED), _S.BROKEN),
    _E.FIXED: ((_S.BROKEN, _S.FAILED), _S.READY),
    _E.FIXED_OWNED: ((_S.BROKEN, _S.FAILED), _S.ALLOCATED),
    _E.FIXED_UNSEEN: ((_S.BROKEN, _S.FAILED), _S.NEW),
}
NEXT: Mapping[tuple[MachineState, MachineEvent], MachineState] = {
    (before, event): after for event, (befores, after) in _TRANSITIONS.items() for before in befores
}

_PARTICIPLES: Mapping[MachineEvent, str] = {
    _E.ALLOCATED: "allocated",
    _E.DEPLOY: "deployed",
    _E.REBUILD: "rebuilt",
    _E.RELEASE: "released",
    _E.DELETE: "deleted",
    _E.MARK_BROKEN: "marked broken",
    _E.FIXED: "marked fixed",
    _E.FIXED_OWNED: "marked fixed",
    _E.FIXED_UNSEEN: "marked fixed",
}
_HELP: Mapping[MachineState, str] = {
    _S.COMPOSING: "wait until it is composed, or cancel the operation",
    _S.ADOPTING: "wait until it is adopted, or cancel the operation",
    _S.NEW: "refresh its VM host to find its virtual machine",
    _S.READY: "allocate it first",
    _S.ALLOCATED: "release it first",
    _S.DEPLOYING: "wait until it is deployed, or abort the deployment",
    _S.DEPLOYED: "release it first",
    _S.FAILED_DEPLOYMENT: "release it first",
    _S.RELEASING: "wait until it is released",
    _S.DELETING: "wait until it is deleted",
    _S.MISSING: "restore its virtual machine and refresh its VM host, or delete it",
    _S.BROKEN: "mark it fixed first",
    _S.FAILED_COMPOSE: "delete it, and compose another",
    _S.FAILED: "delete it again, or mark it fixed",
}
_OR_REBUILD = "release it first, or rebuild it, which keeps its data disks"
_HELP_WITH: Mapping[tuple[MachineState, MachineEvent], str] = {
    (_S.DEPLOYED, _E.DEPLOY): _OR_REBUILD,
    (_S.FAILED_DEPLOYMENT, _E.DEPLOY): _OR_REBUILD,
    (_S.READY, _E.REBUILD): "it has no system: deploy it",
    (_S.ALLOCATED, _E.REBUILD): "it has no system: deploy it",
}

_BACK: Mapping[MachineState | None, tuple[MachineEvent, ...]] = {  # from ready or allocated
    _S.BROKEN: (_E.MARK_BROKEN,),
    _S.MISSING: (_E.LOST,),
    _S.NEW: (_E.MARK_BROKEN, _E.FIXED_UNSEEN),
    _S.DEPLOYED: (_E.STILL_DEPLOYED,),
    _S.FAILED_DEPLOYMENT: (_E.STILL_FAILED,),
}
PREVENTED_BY_LOCK = frozenset({MachineEvent.DELETE, MachineEvent.RELEASE, MachineEvent.DEPLOY, MachineEvent.REBUILD})


def protection_text(hostname: str, system_id: str) -> str:
    """Returns the message for a machine that is not changed, released or deleted, because a user locked it."""
    return (
        f"{hostname} is locked, which protects it from deletion, release, deployment and changes. To unlock it: "
        f"innkeeper machine unlock {system_id}"
    )


def next_state(state: MachineState, event: MachineEvent) -> MachineState:
    """Returns the next state. Raises WrongState, with a remedy, if the table has no such transition."""
    after = NEXT.get((state, event))
    if after is not None:
        return after
    name, participle = MAAS_STATUS[state].name, _PARTICIPLES.get(event, event.value.replace("_", " "))
    help_ = _HELP_WITH.get((state, event), _HELP[state])
    raise WrongState(f"A machine that is {name} cannot be {participle}: {help_}.", state=state.value)


def found_event(*, owned: bool) -> MachineEvent:
    """Returns the event of a machine whose guest is listed again."""
    return MachineEvent.FOUND_OWNED if owned else MachineEvent.FOUND


def not_removed_events(
    state: MachineState, *, owned: bool, cancelled: bool, was: MachineState | None
) -> tuple[MachineEvent, ...]:
    """Returns the events, in order, of a machine whose removal failed or was cancelled.

    They lead back to the state before the removal (`was`), or to failed if a release should have destroyed the machine.
    """
    if was is MachineState.FAILED or (state is MachineState.RELEASING and not cancelled):
        return (MachineEvent.NOT_DESTROYED,)
    kept = MachineEvent.NOT_DELETED_OWNED if owned else MachineEvent.NOT_DELETED
    return (kept, *_BACK.get(was, ()))


def restored_state(before: MachineState, *, owned: bool, as_found: bool = False) -> MachineState:
    """Returns the state of a detached machine whose host was added again; broken and deployed do not change.

    An adopted machine that is `as_found` becomes deployed from any state.
    """
    if before is MachineState.BROKEN or (owned and before in (MachineState.DEPLOYED, MachineState.FAILED_DEPLOYMENT)):
        return before
    found = next_state(MachineState.MISSING, found_event(owned=owned or as_found))
    return next_state(found, MachineEvent.STILL_DEPLOYED) if as_found else found


def fixed_event(*, owned: bool, listed: bool) -> MachineEvent:
    """Returns the event of a machine that is marked fixed. `listed`: the last refresh found its guest."""
    if not listed:
        return MachineEvent.FIXED_UNSEEN
    return MachineEvent.FIXED_OWNED if owned else MachineEvent.FIXED
