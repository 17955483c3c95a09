"""Names groups of users of MAAS 3.8 with their rights, which an import does not take. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from common.maas.inventory import LeftOut
from common.words.phrases import number_of
from innkeeper.maas_import.tables import Row, Tables

ADMINISTRATORS, _ADMINISTRATORS_ID = "administrators", "1"
_USER, _POOL, _GROUP = "user:", "pool", "group"


def groups_left_out(tables: Tables) -> tuple[LeftOut, ...]:
    """Returns the groups that have rights or members, without the administrators, who are administrators here."""
    return tuple(_left_out(tables)) if tables.has("maasserver_usergroup") else ()


def _left_out(tables: Tables) -> Iterator[LeftOut]:
    administrators = administrator_groups(tables)
    pools = {row.text("id"): row.text("name") for row in tables["maasserver_resourcepool"]}
    for group in tables.ordered("maasserver_usergroup"):
        id_ = group.text("id")
        members, rights = members_of(tables, {id_}), tuple(_rights(tables, id_, pools))
        if id_ not in administrators and (members or rights):
            yield LeftOut(
                kind="users", id=f"group:{id_}", name=group.text("name"), reason=_reason(len(members), rights)
            )


def administrator_groups(tables: Tables) -> set[str]:
    groups = tables["maasserver_usergroup"]
    return {row.text("id") for row in groups if row.text("name").lower() == ADMINISTRATORS} or {_ADMINISTRATORS_ID}


def members_of(tables: Tables, group_ids: set[str]) -> set[str]:
    """Returns the ids of the users in one of the groups."""
    return {
        row.text("_user").removeprefix(_USER)
        for row in _tuples(tables)
        if row.text("object_type") == _GROUP and row.text("object_id") in group_ids
        if row.text("_user").startswith(_USER)
    }


def _tuples(tables: Tables) -> Iterable[Row]:
    return tables["tuple"] if tables.has("tuple") else ()


def _rights(tables: Tables, group_id: str, pools: dict[str, str]) -> Iterator[str]:
    for row in _tuples(tables):
        if row.text("_user") == f"{_GROUP}:{group_id}#member":
            pool, is_pool = row.text("object_id"), row.text("object_type") == _POOL
            place = f"in the resource pool {pools.get(pool, pool)}" if is_pool else "everywhere"
            yield f"{row.text('relation')} {place}"


def _reason(members: int, rights: Iterable[str]) -> str:
    granted = ", ".join(rights) or "none"
    return (
        f"A group of {number_of(members, 'user')} with these rights in MAAS: {granted}. Its users are imported without "
        "them. Give each a role in the pools: innkeeper users, or Settings, Users."
    )
