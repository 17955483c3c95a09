"""Which attempts at a machine may still act: none that is older than the newest this rack has seen."""

from __future__ import annotations

from collections import OrderedDict

from common.errors import StaleAttempt
from common.rpc.commands import Fence


class Fences:
    """Remembers the newest attempt for the `size` machines acted on last. The oldest memories go first.

    Attempts are ordered by operation, then by attempt within it: a later operation on a machine is always newer.
    """

    def __init__(self, *, size: int = 100_000) -> None:
        self._size = size
        self._newest: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._newest)

    def admit(self, fence: Fence) -> None:
        """Remember this attempt. Raises StaleAttempt when a newer one was seen; the same one again may pass."""
        self.check(fence)
        self._newest[fence.machine_id] = (fence.operation_id, fence.attempt)
        self._newest.move_to_end(fence.machine_id)
        if len(self._newest) > self._size:
            self._newest.popitem(last=False)

    def check(self, fence: Fence) -> None:
        """Raises StaleAttempt when a newer attempt was admitted meanwhile. Any thread may ask."""
        asked = (fence.operation_id, fence.attempt)
        newest = self._newest.get(fence.machine_id, asked)
        if asked < newest:
            raise StaleAttempt(
                f"attempt {fence.attempt} of operation {fence.operation_id} on machine {fence.machine_id} comes too "
                f"late: attempt {newest[1]} of operation {newest[0]} was seen already.",
                machine_id=fence.machine_id,
                operation_id=newest[0],
                attempt=newest[1],
            )
