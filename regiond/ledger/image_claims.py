"""Claims of the copies of images on storage pools.

The caller holds the lock of the server. A copy is in at most one storage pool.
"""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import OutOfCapacity
from common.values import POOL_AVAILABLE
from regiond.db.pool import Db
from regiond.ledger.claimable import CLAIMED_OF_STORAGE

_HELD = "select amount from claim where image_copy_id = $1"
_GUARDED = f"""
    update storage_pool p set claimed_bytes = claimed_bytes + $2
     where id = $1 and missing_since is null and status = 'available'
       and {CLAIMED_OF_STORAGE} + used_elsewhere_bytes + $2 <= total_bytes
"""  # noqa: S608  a constant
_LEFT = f"""
    select name, status, greatest(0, total_bytes - {CLAIMED_OF_STORAGE} - used_elsewhere_bytes) as left_bytes
      from storage_pool p where id = $1
"""  # noqa: S608  a constant
_DROP = "delete from claim where image_copy_id = any($1::integer[])"
_WRITE = """
    insert into claim (server_id, image_copy_id, resource, storage_pool_id, amount)
    select $1, held.copy_id, 'storage_bytes', held.pool_id, held.amount
      from unnest($2::integer[], $3::integer[], $4::bigint[]) as held (copy_id, pool_id, amount)
     where amount > 0
"""

ImageClaim = tuple[int, int, int]  # row ids of the copy and of the storage pool, bytes


async def claim_image(db: Db, server_id: int, claim: ImageClaim) -> None:
    """Makes the copy claim at least this amount. Raises OutOfCapacity, with nothing changed, if it does not fit."""
    copy_id, pool_id, amount = claim
    held = await db.fetchval(_HELD, copy_id) or 0
    if amount <= held:
        return
    if await db.execute(_GUARDED, pool_id, amount - held) != "UPDATE 1":
        pool = await db.fetchrow(_LEFT, pool_id)
        name, left_bytes = ("", 0) if pool is None else (pool["name"], pool["left_bytes"])
        if pool is not None and pool["status"] != POOL_AVAILABLE:
            raise OutOfCapacity(f"The storage pool {name} is {pool['status']}, so the image cannot be copied to it.")
        raise OutOfCapacity(
            f"The storage pool {name} has {left_bytes} bytes left; the copy of the image, which all deployments there "
            f"share, needs {amount}.",
            requested_bytes=amount,
            left_bytes=left_bytes,
        )
    await _replace(db, server_id, [claim])


async def record_images(db: Db, server_id: int, claims: Iterable[ImageClaim]) -> None:
    """Replaces the claims of these copies. Never rejected, since the copies exist. The caller recomputes the totals."""
    await _replace(db, server_id, list(claims))


async def drop_images(db: Db, copy_ids: Iterable[int]) -> None:
    """Deletes the claims of these copies. The caller recomputes the totals. Idempotent."""
    await db.execute(_DROP, list(copy_ids))


async def _replace(db: Db, server_id: int, claims: list[ImageClaim]) -> None:
    if claims:
        columns = [list(column) for column in zip(*claims, strict=True)]
        await db.execute(_DROP, columns[0])
        await db.execute(_WRITE, server_id, *columns)
