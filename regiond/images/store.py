"""SQL of the image catalogue."""

from __future__ import annotations

from common.guests.deployment_spec import ImageFormat
from regiond.db.pool import Db, Row
from regiond.images.model import Image, ImageCopyView, ImageState
from regiond.requests.caller import Caller, visible_pool_ids
from regiond.requests.validation_messages import existing

SELECT = """
    select id, name, title, architecture, subarch, filetype, format, sha256, size_bytes, virtual_size_bytes,
           received_bytes, state, error, account_id, created_at, updated_at, expires_at, store_id,
           packing, file_sha256, file_bytes, uefi, url, host_id, alias,
           (select h.name from vm_host h where h.id = image.host_id) as host_name,
           array(select o.id from vm_host h
                   join vm_host o on o.id = h.id or (o.cluster_id = h.cluster_id and o.project = h.project)
                  where h.id = image.host_id order by o.id) as host_ids
      from image
"""
_LIST = SELECT + " order by name, architecture"
_READ = SELECT + " where id = $1"
_HOST_ARCHITECTURES = """
    select distinct s.architecture from vm_host h join server s on s.id = h.server_id order by s.architecture
"""
# An image that is deleted in the caller's transaction does not count any more.
_HOSTS_WITH_UNNEEDED_COPY = """
    select distinct h.name from image_copy c join vm_host h on h.server_id = c.server_id
     where c.sha256 = $1 and not exists (select from image i where i.sha256 = c.sha256 and i.state <> 'failed')
     order by h.name
"""
_HOSTS_WITH_COPY = """
    select i.id, array_agg(distinct h.name order by h.name) as names
      from image i join image_copy c on c.sha256 = i.sha256 and c.state = 'complete'
      join vm_host h on h.server_id = c.server_id and (c.storage_pool_id is not null or h.project = c.project)
     where i.state = 'ready' and i.host_id is null group by i.id
"""


# All hosts of the server have a copy in a storage pool; only hosts of one project have a copy in an image store.
_COPIES = """
    select i.id as image_id, h.id as host_id, h.name as host_name, p.name as pool, c.size_bytes, c.state
      from image i join image_copy c on c.sha256 = i.sha256
      left join storage_pool p on p.id = c.storage_pool_id
      join vm_host h on h.server_id = c.server_id and (c.storage_pool_id is not null or h.project = c.project)
     where i.state = 'ready' and i.host_id is null
       and ($1::integer is null or i.id = $1) and ($2::integer[] is null or h.pool_id = any($2))
     order by i.id, h.name, p.name nulls first
"""


async def list_images(db: Db) -> tuple[Image, ...]:
    """Returns the images in every state, by name and architecture."""
    return tuple(image_of(row) for row in await db.fetch(_LIST))


async def read(db: Db, image_id: int) -> Image | None:
    row = await db.fetchrow(_READ, image_id)
    return None if row is None else image_of(row)


async def find(db: Db, image_id: int) -> Image:
    """Returns the image. Raises NotFound."""
    return existing(await read(db, image_id), "image", image_id)


async def host_architectures(db: Db) -> tuple[str, ...]:
    """Returns the architectures of all hosts that a discovery run has reached."""
    return tuple(row["architecture"] for row in await db.fetch(_HOST_ARCHITECTURES))


async def hosts_with_copy(db: Db) -> dict[int, tuple[str, ...]]:
    """Returns the names of the hosts that have a copy of each image, by the image's id."""
    return {row["id"]: tuple(row["names"]) for row in await db.fetch(_HOSTS_WITH_COPY)}


async def copies(
    db: Db, image_id: int | None = None, *, caller: Caller | None = None
) -> dict[int, list[ImageCopyView]]:
    """Returns the copies of all images, or of one, by the image's id, on the hosts that the caller may see."""
    found: dict[int, list[ImageCopyView]] = {}
    for row in await db.fetch(_COPIES, image_id, visible_pool_ids(caller)):
        copy = dict(row)
        found.setdefault(copy.pop("image_id"), []).append(ImageCopyView(**copy))
    return found


async def hosts_with_unneeded_copy(db: Db, sha256: str) -> tuple[str, ...]:
    """Returns the names of hosts with a copy of content that no entry has."""
    return tuple(row["name"] for row in await db.fetch(_HOSTS_WITH_UNNEEDED_COPY, sha256))


def image_of(row: Row) -> Image:
    found = dict(row)
    found["state"] = ImageState(found["state"])
    found["host_ids"] = tuple(found["host_ids"])
    found["format"] = None if found["format"] is None else ImageFormat(found["format"])
    return Image(**found)
