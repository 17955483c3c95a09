"""Wait for an operation by reading it again and again, and tell somebody how it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from common.errors import InnkeeperError, rebuild
from innkeeper.http import Api, relative_path

ENDED = ("succeeded", "failed", "cancelled")
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
PATIENCE_S = 120.0  # how long the region may be away: it restarts within that
READ_S = 30.0


class Progress(Protocol):
    def tell(self, state: str, step: str, elapsed_s: float) -> None:
        """Called at each look at the operation."""


async def follow(
    api: Api, path: str, progress: Progress, *, clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """The operation at `path`, once it has ended, however it did.

    A region that does not answer for a while is asked again, since the operation outlives it; after PATIENCE_S of
    silence its error is raised. Refusals (the operation is unknown, the key was revoked) are raised at once.
    """
    began = heard = clock()
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            operation = await read_operation(api, path)
        except InnkeeperError as error:
            if not _may_pass(error) or clock() - heard > PATIENCE_S:
                raise
            progress.tell("the region does not answer", "trying again", clock() - began)
        else:
            heard = clock()
            progress.tell(operation["state"], _doing(operation), clock() - began)
            if operation["state"] in ENDED:
                return operation
        await asyncio.sleep(pause_s)
        pause_s = min(LONGEST_PAUSE_S, pause_s * 1.3)


def _doing(operation: Mapping[str, Any]) -> str:
    """Why it waits, or else at which step it is."""
    error = operation.get("error")
    if operation["state"] == "waiting" and isinstance(error, dict):
        return str(error.get("message") or "")
    return str(operation.get("step") or "")


async def read_operation(api: Api, path: str) -> dict[str, Any]:
    plain = (await api.get(path, deadline_s=READ_S)).json()
    if not isinstance(plain, dict) or not isinstance(plain.get("state"), str):
        raise InnkeeperError(f"{api.url}{path} did not answer an operation.", status=200)
    return plain


async def outcome_of(api: Api, operation: Mapping[str, Any]) -> tuple[Any, str]:
    """What the ended operation was about, and the command of its resource: its machine, its host, or the operation.

    Raises the operation's own error when it failed or was cancelled.
    """
    if operation["state"] != "succeeded":
        raise error_of(operation)
    path, resource = subject_of(operation)
    if path is None:
        return dict(operation), "operation"
    return (await api.get(path)).json(), resource


def subject_of(operation: Mapping[str, Any]) -> tuple[str | None, str]:
    """The path of what it changed, as far as that still exists, and the command of its resource."""
    gone = operation.get("kind") in ("delete", "remove_host")
    result = operation.get("result")
    if not gone and isinstance(result, dict) and isinstance(result.get("resource_uri"), str):
        path = relative_path(result["resource_uri"])
        return path, path.partition("/")[0]
    if not gone and operation.get("system_id"):
        return f"machines/{operation['system_id']}/", "machine"
    if not gone and operation.get("host_id") is not None:
        return f"vm-hosts/{operation['host_id']}/", "vm-host"
    return None, "operation"


def error_of(operation: Mapping[str, Any]) -> InnkeeperError:
    """Its error with everything that was undone, as one text."""
    told = operation.get("error") or {}
    said = told.get("message") or f"Operation {operation.get('id')} was {operation['state']}."
    text = "\n".join([str(said), *(f"  undone: {each}" for each in operation.get("undone") or [])])
    return rebuild(str(told.get("code") or "error"), text, told.get("details") or {})


def _may_pass(error: InnkeeperError) -> bool:
    # Without a status nobody answered; 5xx is a region that starts, stops or has lost its database for a moment.
    status = error.details.get("status")
    return status is None or status >= 500
