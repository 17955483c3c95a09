"""Keeps the inventories of imports, sealed and compressed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from common.errors import NotFound
from common.maas.inventory import Inventory
from regiond.credentials.rewrap import MAAS_INVENTORY
from regiond.credentials.service import Credentials
from regiond.db.pool import Database, Db
from regiond.maas.imports import store
from regiond.maas.imports.inventory_reading import InventoryReading, ReadInventory

KEEP_S = 60.0


class Inventories:
    """The last inventory that was read stays in memory for `keep_s` after its last use.

    It has the secrets of a MAAS, and an import reads its own every few seconds.
    """

    def __init__(
        self, database: Database, seal: Credentials, reading: InventoryReading, *, keep_s: float = KEEP_S
    ) -> None:
        self.reading = reading
        self._database = database
        self._seal = seal
        self._keep_s = keep_s
        self._last: tuple[int, datetime, Inventory] | None = None
        self._end: asyncio.TimerHandle | None = None

    async def write(
        self, db: Db, import_id: int, read: ReadInventory, counts: Mapping[str, int], host_keys: Sequence[str]
    ) -> None:
        sealed = self._seal.seal_data(import_id, MAAS_INVENTORY, read.packed)
        await store.write_sealed(db, import_id, sealed, counts, host_keys)

    async def read(self, import_id: int) -> Inventory:
        """Raises NotFound."""
        return (await self.read_dated(import_id))[0]

    async def read_dated(self, import_id: int) -> tuple[Inventory, datetime]:
        """Returns the inventory, and when it was read. Raises NotFound."""
        async with self._database.connection() as db:
            read_at = await store.read_at(db, import_id)
            if self._last is not None and self._last[:2] == (import_id, read_at):
                self._keep(self._last)
                return self._last[2], self._last[1]
            # A region that writes another one meanwhile changes both.
            sealed = await store.read_sealed(db, import_id)
        if sealed is None or read_at is None:
            raise NotFound(f"There is no import {import_id} from MAAS.")
        packed = self._seal.unseal_data(import_id, MAAS_INVENTORY, sealed)
        inventory = (await self.reading.of_file(packed)).inventory
        self._keep((import_id, read_at, inventory))
        return inventory, read_at

    def _keep(self, last: tuple[int, datetime, Inventory] | None) -> None:
        if self._end is not None:
            self._end.cancel()
        self._last = last
        self._end = None
        if last is not None:
            self._end = asyncio.get_running_loop().call_later(self._keep_s, self._keep, None)

    def forget(self, import_id: int) -> None:
        if self._last is not None and self._last[0] == import_id:
            self._keep(None)
