"""Plans of many machines, a few at a time, and the sentences about them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from common.errors import DatabaseUnavailable, InnkeeperError
from common.words.phrases import number_of
from regiond.db.pool import Database
from regiond.machines.values.bulk import BulkAction
from regiond.machines.values.model import MachineView
from regiond.quotas.model import Charge, Holdings
from regiond.quotas.service import refusals_now

_AT_ONCE = 4  # each plan takes a connection to the database
T = TypeVar("T")


class Plan(Protocol):
    """The plan of a change of one machine."""

    @property
    def effects(self) -> tuple[str, ...]: ...


P = TypeVar("P", bound=Plan)


async def in_turn(machines: Sequence[MachineView], plan: Callable[[MachineView], Awaitable[T]]) -> list[T]:
    """Returns the plans in the order of the machines."""
    return [
        one
        for first in range(0, len(machines), _AT_ONCE)
        for one in await asyncio.gather(*map(plan, machines[first : first + _AT_ONCE]))
    ]


async def plans_or_reasons(
    machines: Sequence[MachineView], plan: Callable[[MachineView], Awaitable[T]]
) -> list[T | str]:
    """Returns the plans in the order of the machines, or the reasons why machines stay as they are."""

    async def tried(machine: MachineView) -> T | str:
        try:
            return await plan(machine)
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            return error.message

    return await in_turn(machines, tried)


async def within_quotas(
    database: Database, plans: Sequence[P | str], charge_of: Callable[[P], Charge]
) -> list[P | str]:
    """Returns the plans, with the reason in place of each that a quota refuses beside those before it."""
    charges = [(one, charge) for one in plans if not isinstance(one, str) and _asks(charge := charge_of(one))]
    async with database.connection() as db:
        refused = await refusals_now(db, [charge for _, charge in charges])
    reasons = {id(one): reason for (one, _), reason in zip(charges, refused, strict=True) if reason}
    return [reasons.get(id(one), one) for one in plans]


def _asks(charge: Charge) -> bool:
    return charge.asked != Holdings()


def stays(machine: MachineView, reason: str) -> str:
    return f"{machine.hostname} stays as it is: {reason}"


def sentences(
    action: BulkAction, machines: Sequence[MachineView], plans: Sequence[P | str], changes: Callable[[P], bool]
) -> Iterator[str]:
    """Yields what becomes of each machine, in their order, and the number of those that the action `changes`."""
    changed = 0
    for machine, plan in zip(machines, plans, strict=True):
        if isinstance(plan, str):
            yield stays(machine, plan)
        else:
            changed += changes(plan)
            yield " ".join(plan.effects) or f"{machine.hostname} has this size already."
    yield f"{number_of(changed, 'machine')} {'is' if changed == 1 else 'are'} {action.done}."
