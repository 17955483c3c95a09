"""A command for several objects: at most four requests at a time, and a table of the results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from common.errors import InnkeeperError, InvalidRequest
from innkeeper.arguments import ApiCall, Options
from innkeeper.commands.confirmation import confirmed_with, is_confirmed, plan_lines
from innkeeper.commands.filters import Target
from innkeeper.output.terminal import Terminal

CONCURRENT = 4
DONE, FAILED = 0, 1
_UNFINISHED = 504  # the operation continues


@frozen(kw_only=True)
class Outcome:
    """The outcome for one object: `value` is what its request returned, `error` why it failed, `notes` for the user."""

    target: Target
    value: Any = None
    error: InnkeeperError | None = None
    notes: tuple[str, ...] = ()


@frozen(kw_only=True)
class Result:
    """The value that was read, or a word such as `done`, and the notes of the region about it."""

    value: Any
    notes: tuple[str, ...] = ()


@frozen(kw_only=True)
class Bulk:
    """`plan_of` returns the plan of a call's dry run, `carry_out` the result of the call itself."""

    targets: Sequence[Target]
    plan_of: Callable[[ApiCall], Awaitable[Mapping[str, Any]]]
    carry_out: Callable[[ApiCall], Awaitable[Result]]
    options: Options
    terminal: Terminal = field(repr=False)

    async def run(self) -> int:
        """Returns the exit status: 1 if any failed or the user declined. Those that fail do not stop the others.

        Raises Usage for a dry run of an action that has none.
        """
        call = self.targets[0].call
        if self.options.dry_run:
            call.as_dry_run()
            return self._show_plans(await for_each(self.targets, self._plan))
        targets, refused = self.targets, tuple[Outcome, ...]()
        if call.is_destructive and self.terminal.stdin.isatty() and not self.options.yes:
            found = await for_each(targets, self._plan_in_turn) if call.action.dry_run else ()
            refused = tuple(one for one in found if one.error is not None)
            names = {one.target.call.target for one in refused}
            targets = tuple(one for one in targets if one.call.target not in names)
            plans = [one.value for one in found if one.error is None]
            self._note_refused(refused)
            if targets and not await is_confirmed(call.command, plans, self.terminal, objects=len(targets)):
                self.terminal.note("Nothing was changed.")
                return FAILED
        outcomes = (*refused, *await for_each(targets, self._carry_out))
        self._show(outcomes)
        return FAILED if any(one.error is not None for one in outcomes) else DONE

    async def _plan(self, target: Target) -> Result:
        return Result(value=await self.plan_of(target.call))

    async def _plan_in_turn(self, target: Target) -> Result:
        """Raises InnkeeperError for an object whose plan has to be confirmed by itself: in a list it is missed."""
        plan = await self.plan_of(target.call)
        fields = {given.name for given in target.call.fields}
        if not fields.issuperset(confirmed_with([plan])):
            alone = f"innkeeper {target.call.command} {target.call.target}"
            raise InnkeeperError(f"it needs a confirmation of its own: {alone}")
        return Result(value=plan)

    async def _carry_out(self, target: Target) -> Result:
        return await self.carry_out(target.call)

    def _show(self, outcomes: Sequence[Outcome]) -> None:
        """Shows the objects that were read, or what became of each."""
        call = self.targets[0].call
        for note, concerned in notes_of(outcomes).items():
            self.terminal.note(f"Note: {', '.join(concerned)}: {note}")
        if call.action.method == "GET":
            self._note_refused([one for one in outcomes if one.error is not None])
            self.terminal.show([one.value for one in outcomes if one.error is None], f"{call.resource.command}s")
        else:
            self.terminal.show([result_row(one) for one in outcomes], "results")

    def _note_refused(self, refused: Sequence[Outcome]) -> None:
        for one in refused:
            self.terminal.note(f"{one.target.call.command} {one.target.described} is refused: {reason_of(one.error)}")

    def _show_plans(self, outcomes: Sequence[Outcome]) -> int:
        if self.terminal.wants_table:
            for one in outcomes:
                if one.error is None:
                    self.terminal.say("\n".join(plan_lines(one.target.call.command, one.value)))
            self._note_refused([one for one in outcomes if one.error is not None])
        else:
            plain = [
                {"object": one.target.call.target, "plan": one.value, "reason": reason_of(one.error)}
                for one in outcomes
            ]
            self.terminal.show(plain, "results")
        return FAILED if any(one.error is not None for one in outcomes) else DONE


async def for_each(targets: Sequence[Target], run: Callable[[Target], Awaitable[Result]]) -> tuple[Outcome, ...]:
    """Runs all, in the order of the targets; one that fails does not stop the others."""
    slots = asyncio.Semaphore(CONCURRENT)

    async def one(target: Target) -> Outcome:
        async with slots:
            try:
                result = await run(target)
                return Outcome(target=target, value=result.value, notes=result.notes)
            except InnkeeperError as error:
                return Outcome(target=target, error=error)

    return tuple(await asyncio.gather(*map(one, targets)))


def notes_of(outcomes: Sequence[Outcome]) -> dict[str, list[str]]:
    """The notes, each once, with the objects that it is about."""
    concerned: dict[str, list[str]] = {}
    for one in outcomes:
        for note in one.notes:
            concerned.setdefault(note, []).append(one.target.described)
    return concerned


def result_row(outcome: Outcome) -> dict[str, Any]:
    """A row of the result table, with the object's `name` if it is known; `reason` is null if it succeeded."""
    error = outcome.error
    unfinished = error is not None and error.details.get("status") == _UNFINISHED
    return {
        "object": outcome.target.call.target,
        **({"name": outcome.target.name} if outcome.target.name else {}),
        "result": outcome.value if error is None else "unfinished" if unfinished else "failed",
        "reason": reason_of(error),
    }


def reason_of(error: InnkeeperError | None) -> str | None:
    """One line: the message, or the problems by field."""
    if error is None:
        return None
    fields = error.fields if isinstance(error, InvalidRequest) else {}
    if not fields:
        return " ".join(error.message.split())
    return " ".join(f"{name}: {' '.join(messages)}" for name, messages in fields.items())
