"""Removes copies of images that no deployment uses any more."""

from __future__ import annotations

import structlog
from attrs import frozen

from common.errors import NotFound
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db
from regiond.hosts.image_copies import store as image_copy_store
from regiond.ledger import store as ledger_store
from regiond.machines.running.deployment import image_copy_store as store
from regiond.machines.running.deployment.image_copy_store import UnusedCopy
from regiond.machines.values.removals import ImageCopy, ImageCopyCleanUp
from regiond.operations import intent_store
from regiond.operations.model import stored_request

MAX_FAILURES = 10  # some minutes; the next refresh finds copies that remain

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen
class ImageCopyCollection:
    """Removes copies of images from VM hosts.

    A copy is removed when its image was deleted from the catalogue, when no deployment has used it for `keep_days`, or
    when it was left incomplete hours ago, but never while an open deployment uses it.
    """

    database: Database
    keep_days: int

    async def collect(self) -> None:
        """Opens an operation for each such copy on a host that can be reached. Idempotent."""
        async with self.database.connection() as db:
            found = await store.unused_copies(db, self.keep_days)
        for copy in found:
            try:
                async with self.database.transaction() as db:
                    await self._open_removal(db, copy)
            except NotFound as error:
                log.info("image_copy_not_collected", host=copy.host_name, reason=error.message)

    async def _open_removal(self, db: Db, copy: UnusedCopy) -> None:
        await ledger_store.lock_server(db, copy.server_id)  # a deployment that claims the copy holds it too
        if not await store.unused_copies(db, self.keep_days, copy.id):
            return
        operation_id = await intent_store.insert(
            db, OperationKind.CLEAN_UP, host_id=copy.host_id, host_name=copy.host_name,
            hostname=f"image {copy.sha256[:12]}",
            request=stored_request(
                ImageCopyCleanUp(image_copy=ImageCopy(sha256=copy.sha256, pool_id=copy.pool_id, place=copy.place))
            ),
            max_failures=MAX_FAILURES,
        )  # fmt: skip
        await image_copy_store.begin_removal(db, copy.id, operation_id)
        log.info("image_copy_unused", host=copy.host_name, sha256=copy.sha256, place=copy.place, reason=copy.reason)
