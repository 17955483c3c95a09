"""All kinds of changes of a machine's hardware, and the way to each by what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from common.collected import classes_of
from common.words.operation_kinds import OperationKind
from regiond.machines.hardware.change import ChangeHandler, HardwareChange, HardwareTools
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation, Parent
from regiond.requests.caller import Caller

KINDS: tuple[type[ChangeHandler[Any]], ...] = tuple(classes_of("regiond.machines.hardware", ChangeHandler))  # type: ignore[type-abstract]  # made of none

# By kind, for those that know only an operation.
REQUESTS: Mapping[OperationKind, type[Any]] = {one.kind: one.Request for one in KINDS}

C = TypeVar("C", bound=ChangeHandler[Any])


class HardwareChanges:
    """Changes the hardware of machines. Every operator of its pool may change a machine without owner.

    `all` are also the handlers of their operations.
    """

    def __init__(self, tools: HardwareTools, kinds: Iterable[type[ChangeHandler[Any]]] = KINDS) -> None:
        self.installation_id = tools.installation_id
        self.all: tuple[ChangeHandler[Any], ...] = tuple(kind(tools) for kind in kinds)
        self._by_asked = {asked: one for one in self.all if isinstance(one, HardwareChange) for asked in one.asked}
        self._by_kind = {type(one): one for one in self.all}

    async def start(
        self,
        caller: Caller,
        system_id: str,
        asked: object,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
        parent: Parent | None = None,
    ) -> Operation:
        """Returns the operation. Raises as `HardwareChange.start`."""
        return await self._by_asked[type(asked)].start(
            caller, system_id, asked, idempotency_key=idempotency_key, need_rack=need_rack, parent=parent
        )

    async def plan(self, caller: Caller, system_id: str, asked: object) -> Any:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`."""
        return await self._by_asked[type(asked)].plan(caller, system_id, asked)

    def of(self, kind: type[C]) -> C:
        return cast(C, self._by_kind[kind])
