"""The parts of a task: the tasks that it began. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from common.serialization import from_dict
from regiond.machines.bulk.progress import BulkProgress, BulkRequest, progress
from regiond.operations.model import Child, Operation, OperationKind, OperationState

MOST_SHOWN = 200
# What needs attention comes first, what has ended well last.
_ORDER: Mapping[OperationState, int] = {
    state: place
    for place, state in enumerate(
        (
            OperationState.FAILED,
            OperationState.UNDOING,
            OperationState.WAITING,
            OperationState.RUNNING,
            OperationState.QUEUED,
            OperationState.CANCELLED,
            OperationState.SUCCEEDED,
        )
    )
}


@frozen(kw_only=True)
class Parts:
    """`shown` are at most MOST_SHOWN of `total`. `progress` only of a task that acts on many VMs."""

    shown: tuple[Operation, ...]
    total: int
    progress: BulkProgress | None = None


def parts_of(task: Operation, children: Sequence[Child], visible: Sequence[Operation]) -> Parts:
    """`children` are all that the task began, `visible` those that the user may see."""
    ordered = sorted(visible, key=lambda one: (_ORDER[one.state], one.id))
    return Parts(
        shown=tuple(ordered[:MOST_SHOWN]),
        total=len(visible),
        progress=progress(from_dict(task.request, BulkRequest), children) if task.kind is OperationKind.BULK else None,
    )
