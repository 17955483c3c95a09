"""A compose that has made its disks and cannot go on is cancelled: what it made is removed, and it ends cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from common.errors import InnkeeperError
from tests.faults.matrix.caller import headers
from tests.faults.matrix.held import times
from tests.faults.matrix.inn import Inn
from tests.faults.matrix.scenario import Asked, Told
from tests.faults.matrix.scenarios.machines import Compose, Made, machines_are
from tests.waiting import eventually

STUCK_AT = "define guest"  # the disks are there by then
_STATE = "select state from operation where id = $1"
# It is tried once before somebody loses patience. Later than any pause of ours would seem a clock that went back.
_PUT_OFF = "update operation set not_before = now() + interval '50 seconds' where id = $1 and state = 'waiting'"
_CANCEL = [("op", "cancel")]


class Cancel(Compose):
    """Whoever hears no answer cancels again: it is refused once the operation is being undone."""

    name = "cancel"
    ends = frozenset({"cancelled"})

    async def prepare(self, inn: Inn) -> Made:
        ground = await super().prepare(inn)
        inn.watched.away_at.add((ground.host, STUCK_AT))
        return ground

    async def ask(self, inn: Inn, ground: Made, key: str) -> Asked:
        opened = await super().ask(inn, ground, key)
        if opened.operation_id is None or (ground.host, STUCK_AT) not in inn.watched.away_at:
            return opened
        await eventually(lambda: self._is_stuck(inn, opened.operation_id))
        try:
            await inn.installed.api.send(
                "POST", f"operations/{opened.operation_id}/", query=_CANCEL, headers=headers(key)
            )
        except InnkeeperError as error:
            if error.details.get("status") != 409:
                raise
        inn.watched.away_at.clear()
        return opened

    async def _is_stuck(self, inn: Inn, operation_id: Any) -> bool:
        """Or past being cancelled."""
        await inn.db.execute(_PUT_OFF, operation_id)
        return await inn.db.fetchval(_STATE, operation_id) not in ("queued", "running")

    async def check(self, inn: Inn, ground: Made, told: Told) -> Iterable[str]:
        made = times(inn, ground.host, ground.hostname, "appeared")
        return [*await machines_are(inn), *([f"the guest was made {made} times"] if made else [])]

    async def clear(self, inn: Inn, ground: Made) -> None:
        inn.watched.away_at.clear()
