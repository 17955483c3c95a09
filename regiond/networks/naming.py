"""Which of the networks that constraints name there are none of: a mistake of whoever asked, not a lack of hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from regiond.placement.selectors import NamedNetwork

if TYPE_CHECKING:
    from regiond.db.pool import Db

_UNKNOWN = """
    select asked.number
      from unnest($1::text[], $2::text[], $3::text[]) with ordinality asked (kind, by, value, number)
     where not case asked.kind
           when 'fabric' then exists (
                select from fabric f
                 where asked.value = case asked.by when 'id' then f.id::text when 'class' then f.class_type
                                                   else f.name end)
           when 'space' then exists (
                select from space s where asked.value = case asked.by when 'id' then s.id::text else s.name end)
           when 'vlan' then exists (
                select from vlan v
                 where asked.value = case asked.by when 'id' then v.id::text when 'vid' then v.vid::text
                                                   else v.name end)
           else exists (
                select from subnet s
                 where case asked.by when 'id' then s.id::text = asked.value
                                     when 'cidr' then s.cidr = asked.value::cidr
                                     when 'ip' then s.cidr >>= asked.value::inet
                                     else s.name = asked.value end)
           end
     order by asked.number
"""
_BY = {"id": "with the id", "vid": "with the VID", "cidr": "", "class": "of the class", "ip": "that holds", "name": ""}
_KINDS = {"fabric": "fabric", "space": "space", "vlan": "VLAN", "subnet": "subnet"}


async def unknown(db: Db, named: Sequence[NamedNetwork]) -> tuple[str, ...]:
    """A sentence about each of `named` that there is none of, in their order. One query; none when nothing is named."""
    if not named:
        return ()
    columns = ([one.of for one in named], [one.by for one in named], [one.value for one in named])
    return tuple(_sentence(named[row["number"] - 1]) for row in await db.fetch(_UNKNOWN, *columns))


def _sentence(one: NamedNetwork) -> str:
    what = " ".join(part for part in (_KINDS[one.of], _BY[one.by], one.value) if part)
    return f"{one.label}: {one.text}: there is no {what}."
