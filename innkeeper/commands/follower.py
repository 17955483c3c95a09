"""Follows the operations that a request started: waits for their outcome, or says how to see it later."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError
from innkeeper.answer import Answer
from innkeeper.commands.operation_wait import ENDED, notes_of, outcome_of, purpose_of, wait_for_operation
from innkeeper.http import Api, relative_path
from innkeeper.output.progress import progress_on
from innkeeper.output.terminal import Terminal

_ACCEPTED, _TIMED_OUT = 202, 504


@frozen(kw_only=True)
class Follower:
    """Follows the operations of one request, which was sent with the profile of that name."""

    api: Api
    profile_name: str
    terminal: Terminal

    async def show_outcome(self, answer: Answer, command: str) -> None:
        """Waits for the operations in the answer and prints their result. Raises the error of a failed one."""
        if answer.status == _ACCEPTED:
            await self._show_ended(answer)
        elif _operations_in(answer):
            self.terminal.show([await self._with_outcome(row) for row in answer.json()], command)
        else:
            self.terminal.show_answer(answer, command)

    def note_started(self, answer: Answer) -> None:
        """Notes what the operation does, and how to follow it, after an answer that did not wait."""
        for operation in _accepted(answer) if answer.status == _ACCEPTED else ():
            self.terminal.note(f"{purpose_of(operation)} ({operation.get('state')}). {self._see(operation.get('id'))}")

    def note_pending(self, error: InnkeeperError) -> None:
        """Notes how to follow an operation for which the region waited two minutes; its answer has the reason."""
        location = error.details.get("location")
        if error.details.get("status") == _TIMED_OUT and location:
            self.terminal.note(f"The operation continues. {self._see(_number(relative_path(location)))}")

    async def _show_ended(self, answer: Answer) -> None:
        """Waits for all operations, such as the removals of a cluster's members, before it raises the first error."""
        ended = [await self._wait(operation, _path_in(answer, operation)) for operation in _accepted(answer)]
        found = [await outcome_of(self.api, operation) for operation in ended]
        for operation in ended:
            for note in notes_of(operation):
                self.terminal.note(f"Note: {note}")
        if isinstance(answer.json(), list):
            self.terminal.show([one for one, _ in found], "operations")
        else:
            self.terminal.show(*found[0])

    async def _wait(self, operation: Mapping[str, Any], path: str) -> dict[str, Any]:
        progress = progress_on(self.terminal)
        progress.begin(f"{purpose_of(operation)}.")
        try:
            return await wait_for_operation(self.api, path, progress)
        except asyncio.CancelledError:
            progress.end()
            self.terminal.note(f"{purpose_of(operation)} and continues. {self._see(_number(path))}")
            raise
        finally:
            progress.end()

    async def _with_outcome(self, row: Mapping[str, Any]) -> dict[str, Any]:
        operation: Any = row.get("operation")
        if not _is_open(operation):
            return dict(row)
        path = relative_path(str(operation["resource_uri"]))
        return {**row, "operation": await self._wait(operation, path)}

    def _see(self, number: object) -> str:
        return f"See: innkeeper {self.profile_name} operation read {number}"


def _accepted(answer: Answer) -> list[Mapping[str, Any]]:
    """The operations of a 202: one, or a list."""
    found = answer.json()
    return found if isinstance(found, list) else [found]


def _operations_in(answer: Answer) -> bool:
    rows = answer.json() if answer.is_json and answer.body else None
    return isinstance(rows, list) and any(isinstance(row, dict) and _is_open(row.get("operation")) for row in rows)


def _is_open(operation: Any) -> bool:
    return isinstance(operation, dict) and "resource_uri" in operation and operation.get("state") not in ENDED


def _path_in(answer: Answer, operation: Mapping[str, Any]) -> str:
    return relative_path(answer.location or str(operation.get("resource_uri", "")))


def _number(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
