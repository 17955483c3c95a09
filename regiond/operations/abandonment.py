"""Ends an operation whose undoing does not end, as it is, for an administrator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from common.errors import WrongState
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.operations import lease_store, store
from regiond.operations.model import UNDO_WAITS_FOR, Operation, OperationState, can_be_abandoned
from regiond.operations.wait_reason import WaitFacts, purpose_of
from regiond.operations.wait_store import wait_facts
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import DeletionPlan

CODE = "abandoned"  # of the error of these operations

# Settles what the operation left in other rooms, in the transaction that ends it.
Settle = Callable[[Db, Operation, str], Awaitable[None]]

# A bulk operation holds user data until it ends. A region that runs an attempt has lost its lease, as it finds out
# before the attempt's next record.
_END = """
    with forgotten as (delete from bulk_user_data where operation_id = $1)
    update operation
       set state = 'failed', finished_at = now(), lease_owner = null, lease_until = null,
           error_code = $2, error_message = $3,
           error_details = coalesce(error_details, '{}') || jsonb_build_object('abandoned', $4::jsonb)
     where id = $1 and state = 'undoing'
"""
_LOCK = "select from operation where id = $1 for no key update"


async def settle_nothing(_: Db, __: Operation, ___: str) -> None:
    """A Settle that does nothing."""


async def abandon(db: Db, caller: Caller, operation_id: int, reason: str, settle: Settle) -> DeletionPlan:
    """Ends the operation as failed in the caller's transaction, and returns what that means, as its plan.

    Nothing more is undone. Raises NotFound; WrongState unless it is being undone and that has failed at least once.
    """
    caller.require_admin()
    await db.execute(_LOCK, operation_id)
    operation = await store.read(db, operation_id, caller=caller)
    _check_stuck(operation)
    known = _known(operation, await wait_facts(db, operation))
    first = _sentence(operation.error_message or "It failed.")
    message = f"{first} Undoing it was abandoned by {caller.username}: {_sentence(reason)} {' '.join(known)}"
    facts: dict[str, Any] = {
        "by": caller.username, "reason": reason, "known": list(known), "error_code": operation.error_code,
    }  # fmt: skip
    await db.execute(_END, operation_id, CODE, message, facts)
    await settle(db, operation, message)
    await lease_store.append_log(db, operation.id, operation.attempt, operation.step, "abandoned", facts)
    if operation.parent_id is not None:
        await lease_store.wake_parent(db, operation.parent_id)
    await Events.record(
        db, "operation_abandoned", f"Operation {operation.id}, which {purpose_of(operation)}, was abandoned. {message}",
        level=Level.WARNING, caller=caller, host_id=operation.host_id, system_id=operation.system_id,
        operation_id=operation.id, details=facts,
    )  # fmt: skip
    return _plan(operation, known)


def _check_stuck(operation: Operation) -> None:
    """Raises WrongState, with what helps, for an operation that can still end by itself."""
    if can_be_abandoned(operation):
        return
    if operation.state.ended:
        raise WrongState(f"Operation {operation.id} has ended ({operation.state}): there is nothing to abandon.")
    if operation.state is OperationState.UNDOING:
        helps = "Wait until it is undone; only if that fails can it be abandoned."
    else:
        helps = (
            f"Cancel it, which undoes it: innkeeper operation cancel {operation.id}. Only if that fails can it be "
            "abandoned."
        )
    raise WrongState(f"Operation {operation.id} is {operation.state} and cannot be abandoned. {helps}")


def _known(operation: Operation, facts: WaitFacts) -> tuple[str, ...]:
    """Returns sentences on what the operation may have left on its host."""
    host = operation.host_name or "its host"
    problem = (operation.error_details or {}).get(UNDO_WAITS_FOR, "")
    found = [f"Undoing failed last with: {_sentence(str(problem))}"]
    if not operation.reached_host:
        found.append(f"No command of it has reached {host}.")
    else:
        step = f"; its last step was: {operation.step.replace('_', ' ')}" if operation.step else ""
        found.append(f"It reached {host}{step}. What that left there stays.")
    if facts.leased:
        found.append("An attempt was running at that moment; whether it still changed something is not known.")
    if facts.host_state == "unreachable":
        found.append(f"{host} is unreachable.")
    if operation.host_id is not None:
        found.append(f"The next refresh of {host} records what is there.")
    return tuple(found)


def _plan(operation: Operation, known: tuple[str, ...]) -> DeletionPlan:
    subject = operation.hostname or operation.host_name
    released = f" {subject} can be used again." if subject else ""
    ends = f"Operation {operation.id}, which {purpose_of(operation)}, ends as failed. Nothing more is undone.{released}"
    return DeletionPlan(name=f"operation {operation.id}", effects=(ends, *known))


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
