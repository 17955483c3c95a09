"""SQL of the image catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiond.images.model import Image, ImageFormat, ImageState

if TYPE_CHECKING:
    from regiond.db.pool import Db, Row

_SELECT = """
    select id, name, title, architecture, subarch, filetype, format, sha256, size_bytes, virtual_size_bytes,
           received_bytes, state, error, account_id, created_at, updated_at, expires_at, store_id
      from image
"""
_LIST = _SELECT + " order by name, architecture"
_READ = _SELECT + " where id = $1"


async def list_images(db: Db) -> tuple[Image, ...]:
    """By name and architecture."""
    return tuple(_image(row) for row in await db.fetch(_LIST))


async def read(db: Db, image_id: int) -> Image | None:
    row = await db.fetchrow(_READ, image_id)
    return None if row is None else _image(row)


def _image(row: Row) -> Image:
    found = dict(row)
    found["state"] = ImageState(found["state"])
    found["format"] = None if found["format"] is None else ImageFormat(found["format"])
    return Image(**found)
