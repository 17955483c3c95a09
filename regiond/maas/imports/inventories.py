"""Keeps the inventories of imports, sealed and compressed; decodes them in a thread."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO

from common.errors import InvalidRequest, NotFound
from common.maas.inventory import Inventory
from common.serialization import from_dict, to_dict
from regiond.credentials.service import MAAS_INVENTORY, Credentials
from regiond.db.pool import Database, Db
from regiond.maas.imports import store

KEEP_S = 60.0
_MAX_REASON = 500  # characters of a message that may name every part of a large file
MAX_INVENTORY_BYTES = 512 * 2**20  # uncompressed


class Inventories:
    """The last inventory that was read stays in memory for `keep_s` after its last use.

    It has the secrets of a MAAS, and an import reads its own every few seconds.
    """

    def __init__(self, database: Database, seal: Credentials, *, keep_s: float = KEEP_S) -> None:
        self._database = database
        self._seal = seal
        self._keep_s = keep_s
        self._last: tuple[int, datetime, Inventory] | None = None
        self._end: asyncio.TimerHandle | None = None

    async def write(
        self, db: Db, import_id: int, inventory: Inventory, counts: Mapping[str, int], host_keys: Sequence[str]
    ) -> None:
        packed = await asyncio.to_thread(pack, inventory)
        sealed = self._seal.seal_data(import_id, MAAS_INVENTORY, packed)
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
        inventory = await asyncio.to_thread(unpack, packed)
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


def pack(inventory: Inventory) -> bytes:
    return gzip.compress(json.dumps(to_dict(inventory)).encode(), compresslevel=6, mtime=0)


def unpack(packed: bytes) -> Inventory:
    """Returns the inventory of compressed JSON. Raises InvalidRequest."""
    try:
        with gzip.GzipFile(fileobj=BytesIO(packed)) as file:
            plain = file.read(MAX_INVENTORY_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidRequest.of({"inventory": [f"Not a file of gzip: {error}."]}) from error
    if len(plain) > MAX_INVENTORY_BYTES:
        raise InvalidRequest.of({"inventory": [f"An inventory has at most {MAX_INVENTORY_BYTES} bytes."]})
    try:
        return from_dict(json.loads(plain), Inventory)
    except InvalidRequest as error:
        raise InvalidRequest.of({"inventory": [error.message[:_MAX_REASON]]}) from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest.of({"inventory": [f"Not an inventory of MAAS: {error}."]}) from error
