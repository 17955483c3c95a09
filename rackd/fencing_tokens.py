"""Rejects calls of an attempt older than the newest that this rack has seen for the machine."""

from __future__ import annotations

from collections import OrderedDict

from common.errors import StaleAttempt
from common.rpc.commands.host_commands import Fence


class FencingTokens:
    """Remembers the newest attempt of the `size` machines used most recently.

    Orders attempts by operation, then by attempt: a later operation on a machine is always newer.
    """

    def __init__(self, *, size: int = 100_000) -> None:
        self._size = size
        self._newest: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._newest)

    def admit(self, fence: Fence) -> None:
        """Records this attempt. Raises StaleAttempt if a newer one was seen. Idempotent."""
        self.check(fence)
        self._newest[fence.machine_id] = (fence.operation_id, fence.attempt)
        self._newest.move_to_end(fence.machine_id)
        if len(self._newest) > self._size:
            self._newest.popitem(last=False)

    def check(self, fence: Fence) -> None:
        """Raises StaleAttempt if a newer attempt has been admitted. Thread-safe."""
        token = (fence.operation_id, fence.attempt)
        newest = self._newest.get(fence.machine_id, token)
        if token < newest:
            raise StaleAttempt(
                f"Attempt {fence.attempt} of operation {fence.operation_id} on machine {fence.machine_id} is stale: "
                f"attempt {newest[1]} of operation {newest[0]} has already started.",
                machine_id=fence.machine_id,
                operation_id=newest[0],
                attempt=newest[1],
            )
