"""SQL of machines that are copied."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.db.pool import Db

_HARDWARE = "select cardinality(pinned_core_ids) as pinned, huge_page_size_kib as page_kib from machine where id = $1"
_COPY_NIC_TAGS = """
    with numbered as (
        select id, tags, machine_id, row_number() over (partition by machine_id order by index) as number
          from machine_nic where machine_id in ($1, $2)
    )
    update machine_nic set tags = source.tags
      from numbered source join numbered copy using (number)
     where source.machine_id = $1 and copy.machine_id = $2 and machine_nic.id = copy.id
"""


async def hardware_of(db: Db, machine_id: int) -> Mapping[str, int | None]:
    """Returns the number of pinned cores (`pinned`), and the size of its huge pages (`page_kib`); None without."""
    row = await db.fetchrow(_HARDWARE, machine_id)
    return {} if row is None else dict(row)


async def copy_nic_tags(db: Db, source_id: int, machine_id: int) -> None:
    """Gives the NICs of the copy the tags of those of its source, in their order. Idempotent."""
    await db.execute(_COPY_NIC_TAGS, source_id, machine_id)
