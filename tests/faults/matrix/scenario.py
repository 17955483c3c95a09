"""One thing that a caller asks for, whatever dies meanwhile. The shape that every scenario of the matrix has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol

from attrs import field, frozen

from common.errors import InnkeeperError
from regiond.operations.model import OperationKind
from tests.faults.matrix.inn import Inn


@frozen(kw_only=True)
class Asked:
    """What the API answered: the operation to follow, or, where none is needed, the answer itself."""

    operation_id: int | None = None
    answer: Any = None


@frozen(kw_only=True)
class Told:
    """What the caller knows in the end. `state` is the operation's; `answered` or `refused` where there is none."""

    state: str
    operation: Mapping[str, Any] = field(factory=dict)
    answer: Any = None
    refusal: InnkeeperError | None = None
    asked: int = 1  # so many times


class Scenario(Protocol):
    """It has no state of its own: what a cell needs is in the ground that `prepare` makes for it.

    `ends` are the states in which it may end whatever dies. `keyed`: the API takes an Idempotency-Key for it, so that
    whoever asks again in the end gets the same operation. `kinds` are the operations whose points belong to it, its
    own first; those that the region opens by itself to clear up after a fault do not.
    """

    @property
    def name(self) -> str: ...
    @property
    def kinds(self) -> tuple[OperationKind, ...]: ...
    @property
    def ends(self) -> frozenset[str]: ...
    @property
    def keyed(self) -> bool: ...

    async def prepare(self, inn: Inn) -> Any:
        """The ground of one cell, on hosts that may hold machines of others."""

    async def ask(self, inn: Inn, ground: Any, key: str) -> Asked:
        """Ask once. It is called again, with the same key, until there is an answer; it raises what the API does."""

    async def check(self, inn: Inn, ground: Any, told: Told) -> Iterable[str]:
        """What is wrong with what was asked for, now that all is quiet. Hosts have been refreshed."""

    def foreign(self, ground: Any) -> frozenset[str]:
        """Names of the guests that become ours, or foreign: of all others nothing may change."""

    async def clear(self, inn: Inn, ground: Any) -> None:
        """Take away what `prepare` made, but for machines, which are all deleted afterwards."""


SUCCEEDS = frozenset({"succeeded"})
LEARNS = frozenset({"succeeded", "answered"})  # who asks again when all is over gets the answer, not the operation


class OfMachines:
    """What most scenarios say: whatever dies it succeeds, it takes a key, and leaves nothing but machines."""

    ends: ClassVar[frozenset[str]] = SUCCEEDS
    keyed: ClassVar[bool] = True

    def foreign(self, ground: Any) -> frozenset[str]:
        return frozenset()

    async def clear(self, inn: Inn, ground: Any) -> None:
        pass
