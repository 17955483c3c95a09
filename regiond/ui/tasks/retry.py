"""The ways to try a task again that did not succeed, or what to do instead. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from common.words.operation_kinds import OperationKind, words_of
from common.words.phrases import first_of
from regiond.machines.bulk.progress import BulkRequest, stopped
from regiond.machines.core.ownership_rules import may_act, may_allocate
from regiond.machines.values.bulk import BulkAction
from regiond.machines.values.clones import CloneRequest
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import ReleaseOptions, StoredCompose
from regiond.operations.model import Child, Operation, OperationState
from regiond.requests.caller import Caller
from regiond.ui.extension import pages_extensions
from regiond.ui.machines.bulk import bulk_actions
from regiond.ui.machines.bulk.bulk_changes import fields_again
from regiond.ui.machines.clone_again import clone_of, is_shown, page_again
from regiond.ui.machines.compose.compose_again import form_again
from regiond.ui.machines.machine_actions import ACTIONS
from regiond.ui.machines.release_form import NO, QUICK, SECURE
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url
from regiond.ui.words.task_facts import action_of, is_rebuild

_MOST_NAMED = 5
_POWER = {"on": "start", "off": "stop", "force_off": "off", "cycle": "restart"}
_NO_VM = constant("The VM is no longer there.")
_USER_DATA = constant("User data is not kept after the task has ended: if there was any, enter it again.")
_NO_FIELD = constant("The form has no field for a part of this request. Send it again with what sent it: API or CLI.")
_NO_HOST = constant("The host is no longer there.")

_BULK = {action.as_task: key for key, action in bulk_actions.ACTIONS.items() if action.as_task is not None}


@frozen(kw_only=True)
class Retry:
    """A way to begin the same again: a form to post, or a page that asks first; without a URL, what to do instead.

    `fields` are those of the form.
    """

    url: str = ""
    is_post: bool = False
    fields: Sequence[tuple[str, str]] = ()
    instead: str = ""


def offered_retry(
    task: Operation, children: Iterable[Child], *, caller: Caller, machine: MachineView | None
) -> Retry | None:
    """Returns the way for this caller; None instead of a way to a page that refuses them.

    `machine` is that of the task, as the caller sees it; None if there is none, or none that the caller sees.
    """
    retry = retry_of(task, children)
    return None if retry is None or (retry.url and not _may(task, caller, machine)) else retry


def _may(task: Operation, caller: Caller, machine: MachineView | None) -> bool:
    if caller.is_admin:
        return True
    if task.kind in {OperationKind.COMPOSE, OperationKind.BULK}:
        return caller.operated_pools != frozenset()
    if words_of(task.kind).for_administrators or machine is None:
        return False
    allocates = task.kind in {OperationKind.DEPLOY, OperationKind.ALLOCATE}
    return may_act(caller, machine) or (allocates and may_allocate(caller, machine))


def retry_of(task: Operation, children: Iterable[Child] = ()) -> Retry | None:
    """None unless the task failed or was cancelled. Each kind has a way, or a sentence. `children` of a bulk task."""
    if task.state not in {OperationState.FAILED, OperationState.CANCELLED}:
        return None
    match task.kind:
        case OperationKind.COMPOSE:
            return _compose(task)
        case OperationKind.REFRESH | OperationKind.REMOVE_HOST | OperationKind.ROTATE | OperationKind.ADOPT:
            return _on_host(task)
        case OperationKind.BULK:
            return _bulk(task.request_as(BulkRequest), children)
        case OperationKind.CLEAN_UP:
            return _clean_up()
        case _:
            return _of_extension(task) or _on_machine(task)


def _of_extension(task: Operation) -> Retry | None:
    for extension in pages_extensions():
        if (again := extension.again.get(task.kind)) is not None:
            url, instead = again(task)
            return Retry(url=url, instead=instead)
    return None


def _clean_up() -> Retry:
    return Retry(
        url=page_url("settings", "discrepancies"),
        instead=text("Innkeeper tries this again itself. What is left stands among the discrepancies."),
    )


def _compose(task: Operation) -> Retry:
    name = task.hostname or ""
    held = [name] if task.machine_id else []
    stored = task.request_if(StoredCompose)
    if stored is not None and stored.copied is not None:
        source = stored.copied.system_id
        if stored.asked is None:
            return _clone(source, None, [])
        clone = clone_of(stored.asked)
        return Retry(instead=_NO_FIELD) if clone is None else _clone(source, clone, [name], held)
    if form_again(task.request) is not None:
        return Retry(url=page_url("compose", query={"task": str(task.id)}), instead=_have_names(held))
    return Retry(instead=_NO_FIELD)


def _clone(system_id: str, asked: CloneRequest | None, missing: Sequence[str], held: Sequence[str] = ()) -> Retry:
    """The form of clones, with what was asked, for those that were not made. Failed VMs still have the names `held`."""
    if asked is None:
        return Retry(url=page_url("vms", system_id, "clone"))
    if not is_shown(asked):
        return Retry(instead=_NO_FIELD)
    has_name = "" if asked.hostname is None else _have_names(held)  # without a name, the new ones get others
    return Retry(url=page_again(system_id, asked, missing), instead=has_name)


def _have_names(held: Sequence[str]) -> str:
    if len(held) > 1:
        names = first_of(held, _MOST_NAMED)
        return text("{names} were not created and keep their names until they are deleted.", names=names)
    return text("{name} was not created and keeps its name until it is deleted.", name=held[0]) if held else ""


def _bulk(request: BulkRequest, children: Iterable[Child]) -> Retry:
    """The same action on all VMs for which it did not succeed: the list of VMs asks first where the action does."""
    if request.action is BulkAction.CLONE:
        of_names = {one.hostname: one for one in children}
        made = {name for name, one in of_names.items() if one.state is OperationState.SUCCEEDED}
        missing = [one.hostname for one in request.machines if one.hostname not in made]
        held = [name for name in missing if name in of_names and of_names[name].machine_id]
        return _clone(request.machines[0].system_id, request.clone, missing, held)
    done = {one.system_id for one in children if one.state is OperationState.SUCCEEDED}
    left = [one.system_id for one in request.machines if one.system_id not in done]
    fields = [("action", _BULK[request.action]), ("at_once", str(request.at_once)), *_options(request)]
    return Retry(
        url=page_url("vms", "bulk"),
        is_post=True,
        fields=(*fields, *(("selected", system_id) for system_id in left)),
        instead=_USER_DATA if request.action.deploys else "",
    )


def offered_restart(task: Operation, children: Iterable[Child], caller: Caller) -> Retry | None:
    """Returns the way to start again what a bulk operation that has ended powered off; None if that is nothing."""
    if task.kind is not OperationKind.BULK or not task.state.ended or not _may(task, caller, None):
        return None
    ids = stopped(task.request_as(BulkRequest), children)
    fields = (("action", "start"), *(("selected", system_id) for system_id in ids))
    return Retry(url=page_url("vms", "bulk"), is_post=True, fields=fields) if ids else None


def _options(request: BulkRequest) -> list[tuple[str, str]]:
    comment = ("comment", request.comment)
    if request.action.deploys:
        return [("distro_series", request.image), comment]
    if request.action is BulkAction.RELEASE:
        return [("erase", _erasure(request.release)), ("force", "true" if request.release.force else ""), comment]
    return [*fields_again(request)]


def _erasure(release: ReleaseOptions) -> str:
    if release.overwrite:
        return SECURE
    return QUICK if release.erase else NO


def _on_host(task: Operation) -> Retry:
    if task.host_id is None:
        return Retry(instead=_NO_HOST)
    match task.kind:
        case OperationKind.REFRESH:
            return Retry(url=page_url("hosts", task.host_id, "refresh"), is_post=True)
        case OperationKind.REMOVE_HOST:
            return Retry(url=page_url("hosts", task.host_id, "remove"))
        case OperationKind.ROTATE:
            return Retry(url=page_url("hosts", task.host_id, "trust", query={"action": "rotate"}))
        case _:
            return Retry(url=page_url("hosts", task.host_id, "vms"))  # where it can be adopted again


def _on_machine(task: Operation) -> Retry:
    if task.machine_id is None or task.system_id is None:
        return Retry(instead=_NO_VM)
    if task.kind is OperationKind.POWER:
        return _power(task, task.system_id)
    if task.kind is OperationKind.FORGET and task.host_id is not None:
        return Retry(url=page_url("hosts", task.host_id, "forget", query={"vm": task.system_id}))
    if page := "rebuild" if is_rebuild(task) else words_of(task.kind).page:  # of the VM, or a form of it
        return Retry(url=page_url("vms", task.system_id, page))
    return Retry(url=page_url("vms", task.system_id))  # set_autostart and allocate: the page of the VM offers them


def _power(task: Operation, system_id: str) -> Retry:
    action = _POWER.get(action_of(task), "")
    if action not in ACTIONS:
        return Retry(url=page_url("vms", system_id))
    if ACTIONS[action].asks:
        return Retry(url=page_url("vms", system_id, "act", query={"action": action}))
    return Retry(url=page_url("vms", system_id, "act"), is_post=True, fields=(("action", action),))
