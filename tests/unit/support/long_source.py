"""Machines of long lists, made when their batch is read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from attrs import define, evolve, field

from common.errors import DatabaseUnavailable
from regiond.machines.values.model import MachineView
from regiond.requests.long_list import LongList
from tests.unit.support.machine_samples import MACHINE


@define
class Source:
    """`fails_at` is the key at which reading fails."""

    fails_at: int | None = None
    read_keys: list[int] = field(factory=list)

    async def read(self, keys: Sequence[Any]) -> Sequence[MachineView]:
        await asyncio.sleep(0)
        if self.fails_at in keys:
            raise DatabaseUnavailable("The database does not respond.")
        self.read_keys += keys
        return [evolve(MACHINE, id=key, hostname=f"vm-{key}") for key in keys]

    def machines(self, number: int) -> LongList[MachineView]:
        return LongList(keys=range(number), read=self.read)
