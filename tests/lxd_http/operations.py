"""Operations. The double does their work within the request that starts them; only `leave_running` leaves one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from attrs import evolve

from tests.lxd_http.messages import Answer, Refused, Request, background, error, sync
from tests.lxd_http.state import Lxd, now

IN_PROGRESS = {"status": "Running", "status_code": 103}
SUCCESS = {"status": "Success", "status_code": 200}

Resources = dict[str, list[str]]


def run(
    lxd: Lxd, description: str, work: Callable[[], Mapping[str, Any] | None], resources: Resources | None = None
) -> Answer:
    """Returns the answer to the request that starts `work`. An operation whose work is refused fails with 400."""
    operation = _operation(lxd, description, resources)
    try:
        done = work()
        operation |= SUCCESS
        if done:
            operation["metadata"] = {**(operation["metadata"] or {}), **done}
    except Refused as refused:
        operation |= {"status": "Failure", "status_code": 400, "err": refused.message}
    return background(operation)


def leave_running(lxd: Lxd, description: str, resources: Resources, *, kind: str = "task") -> None:
    """Lists an operation as running until somebody waits for it."""
    _operation(lxd, description, resources)["class"] = kind


def running(lxd: Lxd) -> list[str]:
    """The descriptions of operations that nobody has waited for."""
    found = lxd.operations.values()
    return [one["description"] for one in found if one["status_code"] == IN_PROGRESS["status_code"]]


def _operation(lxd: Lxd, description: str, resources: Resources | None) -> dict[str, Any]:
    """Adds a running operation. A release that leaves out its resources has the first one's URL in the metadata."""
    urls = [url for named in (resources or {}).values() for url in named]
    about: dict[str, Any] = {"resources": resources, "metadata": None}
    if not lxd.release.operations_have_resources:
        about = {"resources": None, "metadata": {"entity_url": urls[0]} if urls else None}
    operation = {
        "id": str(uuid4()), "class": "task", "description": description, "created_at": now(), "updated_at": now(),
        "may_cancel": False, "err": "", "location": "none", **IN_PROGRESS, **about,
    }  # fmt: skip
    lxd.operations[str(operation["id"])] = operation
    return operation


def listing(lxd: Lxd, request: Request) -> Answer:
    running = [one for one in lxd.operations.values() if one["status_code"] == IN_PROGRESS["status_code"]]
    return sync({"running": running} if running else {})


def read(lxd: Lxd, request: Request, operation_id: str) -> Answer:
    """An operation whose waits end too early goes on."""
    return sync({**_find(lxd, operation_id), **(IN_PROGRESS if lxd.goes_on else {})})


def _find(lxd: Lxd, operation_id: str) -> dict[str, Any]:
    found = lxd.operations.get(operation_id)
    if found is None:
        raise Refused(404, "Operation not found")
    return found


def wait(lxd: Lxd, request: Request, operation_id: str) -> Answer:
    found = _find(lxd, operation_id)
    lxd.goes_on = lxd.slow_waits > 0
    if lxd.goes_on:
        lxd.slow_waits -= 1
        return _ended(lxd, 500, "context deadline exceeded")
    if found["status_code"] == IN_PROGRESS["status_code"]:
        found |= SUCCESS
    if found["status_code"] != SUCCESS["status_code"] and lxd.release.waits_end_as_errors:
        return _ended(lxd, found["status_code"], found["err"])
    return sync(found)


def _ended(lxd: Lxd, status: int, reason: str) -> Answer:
    """The answer to a wait that ends as an error. Some releases have sent the status of a success before."""
    answer = error(status, reason)
    return evolve(answer, status=200) if lxd.release.waits_end_as_errors else answer
