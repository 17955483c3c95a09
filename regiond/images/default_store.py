"""SQL of the default image: the image of deployments that name none."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.images.default_image import CHOSEN

_NAMES = "select architecture, name from default_image"
_CHOOSE = """
    insert into default_image (architecture, name) values ($1, $2)
    on conflict (architecture) do update set name = excluded.name
"""
# The default is the only one that was ready before the new one, or the new one if there was none.
_RECORD = """
    insert into default_image (architecture, name)
    select new.architecture, coalesce(min(known.name), new.name)
      from image new
      left join image known on known.architecture = new.architecture and known.state = 'ready' and known.id <> new.id
                           and known.host_id is null and known.filetype <> 'iso'
     where new.id = $1 and new.filetype <> 'iso' group by new.architecture, new.name having count(known.id) <= 1
    on conflict (architecture) do nothing
"""


async def names(db: Db) -> dict[str, str]:
    """Returns the names by architecture; that of CHOSEN is for all."""
    return {row["architecture"]: row["name"] for row in await db.fetch(_NAMES)}


async def choose(db: Db, name: str) -> None:
    await db.execute(_CHOOSE, CHOSEN, name)


async def record_first(db: Db, image_id: int) -> None:
    """Records what the default is, unless it is recorded, so that an image that has become ready changes nothing."""
    await db.execute(_RECORD, image_id)
