"""Operations. The double does their work within the request that starts them, so none is ever seen running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tests.lxd_http.messages import Answer, Refused, Request, background, sync
from tests.lxd_http.state import Lxd, now


def run(lxd: Lxd, description: str, work: Callable[[], Any], resources: dict[str, list[str]] | None = None) -> Answer:
    """Returns the answer to the request that starts `work`. An operation whose work is refused fails with 400."""
    operation = {
        "id": str(uuid4()), "class": "task", "description": description, "created_at": now(), "updated_at": now(),
        "status": "Success", "status_code": 200, "resources": resources, "metadata": None, "may_cancel": False,
        "err": "", "location": "none",
    }  # fmt: skip
    try:
        operation["metadata"] = work()
    except Refused as refused:
        operation |= {"status": "Failure", "status_code": 400, "err": refused.message}
    lxd.operations[str(operation["id"])] = operation
    return background(operation)


def listing(lxd: Lxd, request: Request) -> Answer:
    return sync({})


def wait(lxd: Lxd, request: Request, operation_id: str) -> Answer:
    found = lxd.operations.get(operation_id)
    if found is None:
        raise Refused(404, "Operation not found")
    return sync(found)
