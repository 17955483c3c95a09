"""Removes copies of images from a host."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from uuid import NAMESPACE_OID, uuid5

from attrs import frozen

from common.errors import InnkeeperError
from common.rpc.commands.host_commands import HOST_REMOVE_IMAGE, RemoveImageCall
from regiond.operations.handler import fence_of
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls

PAUSES_S = (0.5, 1.0, 2.0, 4.0)  # in this time a rack connects again after its own restart or the region's


@frozen(kw_only=True)
class RemovableCopy:
    """A copy, by its row id; `place` is the name of its storage pool, or text that means LXD's image store."""

    id: int
    sha256: str
    pool_id: str
    place: str
    size_bytes: int

    @property
    def description(self) -> str:
        return f"image {self.sha256[:12]} in {self.place} ({self.size_bytes} bytes)"


async def remove_image_copy(calls: HostCalls, operation: Operation, host_id: int, sha256: str, pool_id: str) -> None:
    """Removes the copy. Idempotent. Raises the errors of the host's driver and of `HostCalls.call`.

    The fencing token belongs to the copy instead of a machine, so that attempts on the same copy follow each other.
    """
    fence = fence_of(operation, str(uuid5(NAMESPACE_OID, f"image copy {host_id} {pool_id} {sha256}")))
    await calls.call(
        host_id,
        HOST_REMOVE_IMAGE,
        lambda access: RemoveImageCall(access=access, sha256=sha256, pool_id=pool_id, fence=fence),
    )


async def remove_all(
    calls: HostCalls, operation: Operation, host_id: int, copies: Iterable[RemovableCopy]
) -> tuple[str, ...]:
    """Removes the copies, as far as the host allows. Returns a text with the reason for each copy that stays.

    Retries for some seconds if the host cannot be reached; then it leaves the other copies without another attempt.
    """
    left: list[str] = []
    pauses = iter(PAUSES_S)
    silent: InnkeeperError | None = None
    for copy in copies:
        try:
            if silent is not None:
                raise silent
            await _remove_with_retries(calls, operation, host_id, copy, pauses)
        except InnkeeperError as error:
            silent = error if error.retryable else None
            left.append(f"{copy.description}: {error.message}")
    return tuple(left)


async def _remove_with_retries(
    calls: HostCalls, operation: Operation, host_id: int, copy: RemovableCopy, pauses: Iterator[float]
) -> None:
    while True:
        try:
            return await remove_image_copy(calls, operation, host_id, copy.sha256, copy.pool_id)
        except InnkeeperError as error:
            pause_s = next(pauses, None) if error.retryable else None
            if pause_s is None:
                raise
        await asyncio.sleep(pause_s)
