"""Records the copies that deployments make and use. Functions join the caller's transaction."""

from __future__ import annotations

from common.errors import Busy
from common.guests.deployment_spec import ImageRef
from regiond.db.pool import Db
from regiond.hosts.image_copies import store
from regiond.hosts.image_copies.model import places_of
from regiond.ledger import image_claims
from regiond.ledger import store as ledger_store


async def claim_image_copy(db: Db, host_id: int, image: ImageRef, pool_key: str) -> None:
    """Records the intent to copy the image for a root disk in this storage pool, and claims the space. Idempotent.

    Only records the use of a copy that exists; does nothing for an unknown storage pool. Raises OutOfCapacity, and Busy
    while an operation removes the copy.
    """
    server_id = await ledger_store.server_of_host(db, host_id)
    if server_id is None:
        return
    await ledger_store.lock_server(db, server_id)
    pool = await store.pool_of_host(db, host_id, pool_key)
    if pool is None:
        return
    for place in places_of(image, pool.driver, pool.type):
        planned = await store.plan(
            db, server_id, image.sha256, place.size_bytes,
            pool_id=pool.id if place.in_pool else None, project="" if place.in_pool else pool.project,
        )  # fmt: skip
        if planned is None:
            raise Busy("The copy of the image on the host is just being removed; it will be copied again.")
        if place.in_pool and not planned.is_complete:
            await image_claims.claim_image(db, server_id, (planned.id, pool.id, place.size_bytes))


async def record_image_copied(db: Db, host_id: int, image: ImageRef, pool_key: str) -> None:
    """Records that the host has the copy. Idempotent."""
    await store.set_complete(db, host_id, image.sha256, pool_key)
