"""SQL of downloads, from their declaration until the whole file is stored or they have failed."""

from __future__ import annotations

from uuid import UUID

from regiond.db.pool import Db
from regiond.images.model import Image
from regiond.images.store import SELECT, image_of

MAX_FAILURES = 8  # in succession: some 20 minutes

_DUE = SELECT + " where store_id = $1 and state = 'downloading' and retry_at <= now() order by retry_at, id"
_NEXT = """
    select extract(epoch from min(retry_at) - now())::float8 from image where store_id = $1 and state = 'downloading'
"""
_PROGRESS = """
    update image set received_bytes = $2, size_bytes = $3, updated_at = now(),
                     error = case when $2 > received_bytes then null else error end,
                     download_failures = case when $2 > received_bytes then 0 else download_failures end
     where id = $1 and state = 'downloading'
    returning expires_at < now() as is_overdue
"""
_RETRY = """
    update image set download_failures = download_failures + 1, error = $2, updated_at = now(),
                     retry_at = now() + make_interval(secs => least(2 * 4 ^ download_failures, 300))
     where id = $1 and state = 'downloading'
    returning download_failures
"""
_DOWNLOADED = """
    update image set state = 'checking', received_bytes = $2, size_bytes = $2, error = null, download_failures = 0,
                     retry_at = null, expires_at = null, updated_at = now()
     where id = $1 and state = 'downloading'
"""


async def due(db: Db, store_id: UUID) -> tuple[Image, ...]:
    """Returns the downloads that may be tried now; some may be running."""
    return tuple(image_of(row) for row in await db.fetch(_DUE, store_id))


async def seconds_until_due(db: Db, store_id: UUID) -> float | None:
    """Returns the time until the next download may be attempted, in seconds; None if there is no download."""
    found: float | None = await db.fetchval(_NEXT, store_id)
    return found


async def set_progress(db: Db, image_id: int, received_bytes: int, size_bytes: int) -> bool | None:
    """Returns whether the download takes too long; None if the entry was deleted or declared again."""
    found: bool | None = await db.fetchval(_PROGRESS, image_id, received_bytes, size_bytes)
    return found


async def set_retry(db: Db, image_id: int, error: str) -> bool:
    """Schedules another attempt, later each time. Returns False, with nothing changed, after the last attempt."""
    failures: int | None = await db.fetchval(_RETRY, image_id, error)
    return failures is None or failures < MAX_FAILURES


async def set_downloaded(db: Db, image_id: int, size_bytes: int) -> bool:
    """Records that the whole file is stored. Returns False if the entry was deleted or declared again."""
    return await db.execute(_DOWNLOADED, image_id, size_bytes) == "UPDATE 1"
