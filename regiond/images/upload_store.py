"""SQL of uploads, from the declaration of an image until it is ready or failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from uuid import UUID

from attrs import frozen

from common.guests.deployment_spec import ImageFormat
from regiond.db.pool import Db
from regiond.images.declaration import Declaration
from regiond.images.model import Image
from regiond.images.store import SELECT, image_of

IDLE_S = 600.0  # without a part for so long, an upload is promised no more space than its content takes
UPLOAD_LIFETIME_S = 86400.0  # since the last part; for a download, since it was added
# An advisory lock; an arbitrary number. Code that adds entries or files of content, or removes files, holds it.
_CATALOGUE_LOCK = 0x1_4E4B_494D

_LOCK = "select pg_advisory_xact_lock($1)"
_FIND = SELECT + " where name = $1 and architecture = $2"
_WITH_CONTENT = (
    SELECT
    + """
     where $1 in (sha256, file_sha256) and store_id = $2 and state = 'ready' order by (sha256 = $1) desc, id limit 1
"""
)
_IN_STORE = SELECT + " where store_id = $1 and state = any($2::text[]) order by id"
_INSERT = """
    insert into image (name, title, architecture, subarch, filetype, sha256, size_bytes, store_id, account_id,
                       expires_at, url, state, retry_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10), $11,
            case when $11::text is null then 'uploading' else 'downloading' end,
            case when $11::text is not null then now() end)
    returning id
"""
_RECEIVED = """
    update image set received_bytes = $3, updated_at = now(), error = null,
                     state = case when $3 = size_bytes then 'checking' else 'uploading' end,
                     expires_at = case when $3 < size_bytes then now() + make_interval(secs => $4) end
     where id = $1 and received_bytes = $2 and state in ('uploading', 'failed')
"""
_READY = """
    update image set state = 'ready', format = $2, virtual_size_bytes = $3, received_bytes = $6, error = null,
                     updated_at = now(), expires_at = null, packing = $4, sha256 = $5, size_bytes = $6, uefi = $7,
                     file_sha256 = case when $5 <> sha256 then sha256 end,
                     file_bytes = case when $5 <> sha256 then size_bytes end, retry_at = null
     where id = $1 and state in ('uploading', 'downloading', 'checking')
"""
_FAILED = """
    update image set state = 'failed', error = $2, received_bytes = 0, updated_at = now(), expires_at = null,
                     retry_at = null, download_failures = 0, packing = null,
                     sha256 = coalesce(file_sha256, sha256), file_sha256 = null,
                     size_bytes = coalesce(file_bytes, size_bytes), file_bytes = null
     where id = $1 and state in ('downloading', 'checking', 'ready')
"""
_HASHED = "update image set sha256 = $2, updated_at = now() where id = $1 and state = 'checking' and sha256 = ''"
_LOST = "update image set received_bytes = 0, updated_at = now() where id = $1 and state = 'uploading'"
_DELETE = "delete from image where id = $1"
_EXPIRED = SELECT + " where store_id = $1 and state = 'uploading' and expires_at < now() order by id"
# An open deployment may still read an image that was deleted from the catalogue, until the guest reports or in time; an
# insertion until the host has its copy.
_USED = """
    select sha256 from image where store_id = $1 and state in ('checking', 'ready') and sha256 = any($2)
    union
    select request #>> '{image,sha256}' from operation
     where kind in ('deploy', 'insert_iso') and is_open and request #>> '{image,sha256}' = any($2)
"""
_OPEN_UPLOADS = "select id from image where store_id = $1 and state <> 'ready'"  # a failed upload can begin again
_IS_IDLE = "select state = 'uploading' and updated_at < now() - make_interval(secs => $2) from image where id = $1"
_RENEW = """
    update image set state = 'uploading', error = null, updated_at = now(),
                     expires_at = now() + make_interval(secs => $2)
     where id = $1 and state in ('uploading', 'failed')
"""
_USAGE = """
    select coalesce(sum(size_bytes), 0)::bigint as bytes, coalesce(sum(missing_bytes), 0)::bigint as missing_bytes
      from (select max(case when state = 'uploading' and updated_at < now() - make_interval(secs => $2)
                            then received_bytes else greatest(size_bytes, received_bytes) end) as size_bytes,
                   min(case when state = 'uploading' and updated_at < now() - make_interval(secs => $2) then 0
                            when state in ('uploading', 'downloading') then greatest(size_bytes - received_bytes, 0)
                            else 0 end) as missing_bytes
              from image where store_id = $1 and state <> 'failed'
             group by case when sha256 = '' then id::text else sha256 end) content
"""


@frozen(kw_only=True)
class Usage:
    """The size of all entries of a folder once they are uploaded, each content once, and the part still missing."""

    bytes: int
    missing_bytes: int


async def lock_catalogue(db: Db) -> None:
    """Locks the catalogue until the transaction ends. Never held while content is transferred or read."""
    await db.execute(_LOCK, _CATALOGUE_LOCK)


async def find(db: Db, name: str, architecture: str) -> Image | None:
    row = await db.fetchrow(_FIND, name, architecture)
    return None if row is None else image_of(row)


async def ready_with(db: Db, sha256: str, store_id: UUID) -> Image | None:
    """Returns an image with this content."""
    row = await db.fetchrow(_WITH_CONTENT, sha256, store_id)
    return None if row is None else image_of(row)


async def in_states(db: Db, store_id: UUID, states: Iterable[str]) -> tuple[Image, ...]:
    return tuple(image_of(row) for row in await db.fetch(_IN_STORE, store_id, list(states)))


async def insert(db: Db, new: Declaration, *, store_id: UUID, account_id: int) -> int:
    image_id: int = await db.fetchval(
        _INSERT, new.name, new.title, new.architecture, new.subarch, new.filetype, new.sha256, new.size_bytes,
        store_id, account_id, UPLOAD_LIFETIME_S, new.url,
    )  # fmt: skip
    return image_id


async def add_received(db: Db, image_id: int, before_bytes: int, after_bytes: int) -> bool:
    """Records a part; after the last one the image is `checking`. Returns False if the entry has changed since."""
    return await db.execute(_RECEIVED, image_id, before_bytes, after_bytes, UPLOAD_LIFETIME_S) == "UPDATE 1"


class StoredDisk(Protocol):
    """The disk of an image that is ready, and how it was packed in the file that was added."""

    @property
    def sha256(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def packing(self) -> str | None: ...
    @property
    def format(self) -> ImageFormat | None: ...
    @property
    def virtual_size_bytes(self) -> int | None: ...
    @property
    def uefi(self) -> bool | None: ...


async def set_ready(db: Db, image_id: int, disk: StoredDisk) -> bool:
    """False if the entry was deleted or declared again."""
    values = (disk.format, disk.virtual_size_bytes, disk.packing, disk.sha256, disk.size_bytes, disk.uefi)
    return await db.execute(_READY, image_id, *values) == "UPDATE 1"


async def set_failed(db: Db, image_id: int, error: str) -> bool:
    """False if the entry was deleted or declared again."""
    return await db.execute(_FAILED, image_id, error) == "UPDATE 1"


async def set_hash(db: Db, image_id: int, sha256: str) -> None:
    """Stores the hash of an upload that was declared without one."""
    await db.execute(_HASHED, image_id, sha256)


async def forget_received(db: Db, image_id: int) -> None:
    """Records that nothing was received: the upload starts again."""
    await db.execute(_LOST, image_id)


async def is_idle(db: Db, image_id: int) -> bool:
    """Returns whether no part of the upload has come for IDLE_S."""
    return bool(await db.fetchval(_IS_IDLE, image_id, IDLE_S))


async def renew(db: Db, image_id: int) -> None:
    """Promises an upload that was idle, or has failed, its space."""
    await db.execute(_RENEW, image_id, UPLOAD_LIFETIME_S)


async def delete(db: Db, image_id: int) -> None:
    await db.execute(_DELETE, image_id)


async def expired(db: Db, store_id: UUID) -> tuple[Image, ...]:
    return tuple(image_of(row) for row in await db.fetch(_EXPIRED, store_id))


async def used_of(db: Db, store_id: UUID, hashes: Iterable[str]) -> frozenset[str]:
    """Returns those of the hashes to which an entry, an open deployment or an open insertion refers."""
    return frozenset(row["sha256"] for row in await db.fetch(_USED, store_id, list(hashes)))


async def open_uploads(db: Db, store_id: UUID) -> frozenset[int]:
    """Returns the ids of the images whose upload may have a file."""
    return frozenset(row["id"] for row in await db.fetch(_OPEN_UPLOADS, store_id))


async def usage(db: Db, store_id: UUID) -> Usage:
    row = await db.fetchrow(_USAGE, store_id, IDLE_S)
    return Usage(**dict(row or {"bytes": 0, "missing_bytes": 0}))
