"""Facts of the request of a task for its title; none of one that its reader cannot read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from common.words.operation_kinds import OperationKind
from regiond.machines.bulk.progress import BulkMachine, BulkRequest
from regiond.machines.running.deployment.rebuild import DeploymentRequest
from regiond.machines.values.power import PowerRequest
from regiond.machines.values.requests import Requested, StoredCompose
from regiond.operations.model import Operation


@frozen(kw_only=True)
class _Import:
    """The part of an import's request that its title names; the whole is MAAS's alone."""

    source: str


def action_of(task: Operation) -> str:
    """Returns the action of a change of power, or of many VMs."""
    if task.kind is OperationKind.POWER:
        power = task.request_if(PowerRequest)
        return "" if power is None else power.action.value
    bulk = _bulk(task)
    return "" if bulk is None else bulk.action.value


def machines_of(task: Operation) -> Sequence[BulkMachine]:
    bulk = _bulk(task)
    return () if bulk is None else bulk.machines


def is_rebuild(task: Operation) -> bool:
    deployment = task.request_if(DeploymentRequest) if task.kind is OperationKind.DEPLOY else None
    return deployment is not None and deployment.rebuild


def is_import(task: Operation) -> bool:
    """Returns whether a compose fills its disks with a file."""
    compose = task.request_if(StoredCompose) if task.kind is OperationKind.COMPOSE else None
    return compose is not None and compose.import_ is not None


def source_of(task: Operation) -> str:
    """Returns the MAAS of an import."""
    found = task.request_if(_Import)
    return "" if found is None else found.source


def requested_hostname(task: Operation) -> str:
    """Returns the name that a compose was asked for which was rejected."""
    found = task.request_if(Requested)
    return "" if found is None else str(found.requested.get("hostname") or "")


def _bulk(task: Operation) -> BulkRequest | None:
    return task.request_if(BulkRequest) if task.kind is OperationKind.BULK else None


FACTS: Mapping[str, Callable[[Operation], object]] = {
    one.__name__: one for one in (action_of, machines_of, is_rebuild, is_import, source_of, requested_hostname)
}
