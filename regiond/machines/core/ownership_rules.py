"""The rules for changes and releases of machines: callers, states, amount of owner data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.errors import InvalidRequest, NotAllowed, WrongState
from regiond.machines.values.lifecycle import MachineEvent, next_state, protection_text
from regiond.machines.values.model import MachineView, unproven_text
from regiond.machines.values.removals import ReleaseRequest
from regiond.machines.values.requests import ReleaseOptions
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller

MAX_OWNER_DATA_KEYS = 128
MAX_OWNER_DATA_BYTES = 32 * 1024
_FREE = (MachineState.NEW, MachineState.READY, MachineState.MISSING, MachineState.BROKEN, MachineState.FAILED_COMPOSE)


def check_owner_data(owner_data: Mapping[str, str], *, what: str = "owner data", whose: str = "machine") -> None:
    size_bytes = sum(len(text.encode()) for pair in owner_data.items() for text in pair)
    if len(owner_data) > MAX_OWNER_DATA_KEYS or size_bytes > MAX_OWNER_DATA_BYTES:
        raise InvalidRequest(
            f"The {what} of a {whose} have at most {MAX_OWNER_DATA_KEYS} keys and {MAX_OWNER_DATA_BYTES} bytes; "
            f"with these it would have {len(owner_data)} and {size_bytes}. An empty value removes its key."
        )


def release_facts(machine: MachineView) -> tuple[MachineState, str | None, bool, str, bool]:
    """Returns the facts on which the way of a machine's release depends."""
    return machine.state, machine.owner, machine.composed_by_allocate, machine.osystem, machine.as_found


def release_work(machine: MachineView, options: ReleaseOptions) -> ReleaseRequest:
    """Returns the work that the operation stores. A guest whose deployment failed has nothing to shut down."""
    runs = machine.state not in (MachineState.DEPLOYING, MachineState.FAILED_DEPLOYMENT)
    return ReleaseRequest(
        deployed=bool(machine.osystem),
        shuts_down=(bool(machine.osystem) or machine.as_found) and runs and not options.force,
        erase=options.erase,
        overwrite=options.overwrite,
    )


def left_to(machine: MachineView, options: ReleaseOptions) -> str:
    """Returns who acts on the machine after its release, in words; empty if it is stock then.

    A machine that was used is stock only if its release empties its disks, and without an ISO image in its drive. See
    `lifecycle_store.clear_owner`.
    """
    if machine.adopted:
        return "administrators"
    has_iso = bool(machine.boot.iso or machine.boot.next_iso)
    if not has_iso and (machine.is_stock or machine.imported or machine.osystem or options.erase):
        return ""
    return f"{machine.owner or machine.composed_by or 'its maker'} and administrators"


def check_erasable(machine: MachineView, options: ReleaseOptions) -> None:
    if options.erase and machine.adopted and not machine.composed_by_allocate:
        reason = f"{machine.hostname} was adopted: Innkeeper did not create its disks, and does not erase them."
        raise InvalidRequest.of({"erase": [reason]})


def check_release_confirmed(machine: MachineView, options: ReleaseOptions) -> None:
    """Raises WrongState for a machine that is as it was found, unless the request permits to stop it.

    The clients of one that came from MAAS release it as they did there, without that permission.
    """
    if machine.as_found and not machine.imported and not options.adopted:
        raise WrongState(
            f"{machine.hostname} was adopted: its release stops the VM, which Innkeeper did not set up. To confirm "
            f"that, release it alone (innkeeper machine release {machine.system_id}), or with release_adopted=true. To "
            f"leave the VM as it is: innkeeper machine forget {machine.system_id}",
            system_id=machine.system_id,
        )


def may_act(caller: Caller, machine: MachineView) -> bool:
    """Returns whether the caller may change, copy, start and open the machine, and read its content."""
    return caller.may_operate(machine.pool.id) and _is_owner(caller, machine)


def may_delete(caller: Caller, machine: MachineView) -> bool:
    """Returns whether the caller may delete the machine: its own, unless somebody else composed it.

    Such a machine is given back: its release destroys what allocation composed, and leaves the others.
    """
    return may_act(caller, machine) and composed_for(caller, machine)


def composed_for(caller: Caller, machine: MachineView) -> bool:
    """Returns whether the machine that the caller may act on was composed by it, or by its allocation."""
    return caller.is_admin or machine.composed_by_allocate or machine.composed_by == caller.username


def may_allocate(caller: Caller, machine: MachineView) -> bool:
    """Returns whether the machine may be allocated to the caller, also by a deployment: stock, or what is its own."""
    is_free = machine.state is MachineState.READY and machine.owner is None and not machine.locked
    is_free = is_free and machine.unproven_since is None
    return is_free and caller.may_operate(machine.pool.id) and (machine.is_stock or _is_owner(caller, machine))


def allocation_obstacle(caller: Caller, machine: MachineView) -> str:
    """Returns why a machine without owner is not allocated to the caller, in words; empty if none of these is why."""
    if machine.locked:
        return protection_text(machine.hostname, machine.system_id)
    if machine.unproven_since is not None:
        return unproven_text(machine.hostname)
    is_taken = machine.owner is None and machine.state is MachineState.READY and not may_allocate(caller, machine)
    return not_owner(machine).message if is_taken else ""


def check_deployable(caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed for a machine that is neither the caller's own nor allocated to it by its deployment."""
    if not may_allocate(caller, machine):
        check_owner(caller, machine)
        check_unlocked(machine)
        check_proven(machine)


def may_release(caller: Caller, machine: MachineView) -> bool:
    """Returns whether the caller may release the machine. Every operator of its pool may if it has no owner.

    Such a release changes nothing; clients of MAAS repeat a release.
    """
    return caller.may_operate(machine.pool.id) and (_is_owner(caller, machine) or is_free(machine))


def check_may_release(caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed as `check_owner`, unless `may_release`."""
    if not may_release(caller, machine):
        check_owner(caller, machine)


def _is_owner(caller: Caller, machine: MachineView) -> bool:
    return caller.is_admin or machine.belongs_to(caller)


def check_owner(caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed unless the caller may act on the machine, as an operator of its pool or an administrator.

    A machine without owner belongs to whoever made it. Others may allocate it if it is stock, and nothing else.
    """
    if not _is_owner(caller, machine):
        raise not_owner(machine)
    caller.require_operator(machine.pool.id, machine.pool.name)


def check_unlocked(machine: MachineView) -> None:
    """Raises NotAllowed for a machine that a user locked."""
    if machine.locked:
        raise NotAllowed(protection_text(machine.hostname, machine.system_id), system_id=machine.system_id)


def check_proven(machine: MachineView) -> None:
    """Raises WrongState while nobody knows who has used the machine since a restore of the database."""
    if machine.unproven_since is not None:
        raise WrongState(unproven_text(machine.hostname), system_id=machine.system_id)


def check_may_change(caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed as `check_owner`, and for a locked machine."""
    check_owner(caller, machine)
    check_unlocked(machine)


def not_owner(machine: MachineView) -> NotAllowed:
    return NotAllowed(machine.not_yours, system_id=machine.system_id)


def is_free(machine: MachineView) -> bool:
    return machine.owner is None and machine.state in _FREE


def is_freed_by_fixing(machine: MachineView, *, at_rest: bool) -> bool:
    """Returns whether an owned machine that is marked fixed becomes ready, as in MAAS.

    False if it is not `at_rest` (it runs or may run soon), was used, is as it was adopted or is locked: only a release
    ends the use of such a machine.
    """
    used = not machine.is_stock or bool(machine.osystem) or machine.as_found or machine.locked
    return machine.owner is not None and machine.guest_id is not None and at_rest and not used


def check_releasable(machines: Sequence[MachineView]) -> None:
    """Raises WrongState that names every machine that cannot be released now."""
    wrong = []
    for machine in machines:
        try:
            next_state(machine.state, MachineEvent.RELEASE)
        except WrongState as error:
            wrong.append(f"{machine.system_id} ({machine.hostname}): {error.message}")
    if wrong:
        raise WrongState("Machine(s) cannot be released in their current state: " + " ".join(wrong))
