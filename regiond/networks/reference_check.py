"""Finds references in constraints to networks that do not exist."""

from __future__ import annotations

from collections.abc import Sequence

from regiond.db.pool import Db
from regiond.placement.model import NamedNetwork

_UNKNOWN = """
    select reference.number
      from unnest($1::text[], $2::text[], $3::text[]) with ordinality reference (kind, by, value, number)
     where not case reference.kind
           when 'fabric' then exists (
                select from fabric f
                 where reference.value = case reference.by when 'id' then f.id::text when 'class' then f.class_type
                                                           else f.name end)
           when 'space' then exists (
                select from space s
                 where reference.value = case reference.by when 'id' then s.id::text else s.name end)
           when 'vlan' then exists (
                select from vlan v
                 where reference.value = case reference.by when 'id' then v.id::text when 'vid' then v.vid::text
                                                           else v.name end)
           else exists (
                select from subnet s
                 where case reference.by when 'id' then s.id::text = reference.value
                                         when 'cidr' then s.cidr = reference.value::cidr
                                         when 'ip' then s.cidr >>= reference.value::inet
                                         else s.name = reference.value end)
           end
     order by reference.number
"""
_BY = {
    "id": "with the id",
    "vid": "with the VID",
    "cidr": "",
    "class": "of the class",
    "ip": "that contains",
    "name": "",
}
_KINDS = {"fabric": "fabric", "space": "space", "vlan": "VLAN", "subnet": "subnet"}


async def unknown_references(db: Db, named: Sequence[NamedNetwork]) -> tuple[str, ...]:
    """A message for each of `named` that does not exist, in their order. One query; none if nothing is named."""
    if not named:
        return ()
    columns = ([one.of for one in named], [one.by for one in named], [one.value for one in named])
    return tuple(_message(named[row["number"] - 1]) for row in await db.fetch(_UNKNOWN, *columns))


def _message(reference: NamedNetwork) -> str:
    what = " ".join(part for part in (_KINDS[reference.of], _BY[reference.by], reference.value) if part)
    return f"{reference.label}: {reference.text}: there is no {what}."
