"""The names for which ids in rows stand. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from common.errors import InvalidRequest
from innkeeper.maas_import.tables import Row, Tables


@frozen(kw_only=True)
class References:
    """The names by id, of the kinds to which rows of many tables refer."""

    zones: Mapping[str, str]
    pools: Mapping[str, str]
    tags: Mapping[str, str]
    spaces: Mapping[str, str]
    fabrics: Mapping[str, str]
    domains: Mapping[str, str]
    users: Mapping[str, str]
    cidrs: Mapping[str, str]  # of subnets

    @classmethod
    def of(cls, tables: Tables) -> References:
        def names(table: str, column: str = "name") -> dict[str, str]:
            return {row.text("id"): row.text(column) for row in tables[table]}

        fabrics = {
            row.text("id"): row.text("name") or f"fabric-{row.text('id')}" for row in tables["maasserver_fabric"]
        }
        return cls(
            zones=names("maasserver_zone"),
            pools=names("maasserver_resourcepool"),
            tags=names("maasserver_tag"),
            spaces=names("maasserver_space"),
            fabrics=fabrics,
            domains=names("maasserver_domain"),
            users=names("auth_user", "username"),
            cidrs=names("maasserver_subnet", "cidr"),
        )


def named(names: Mapping[str, str], row: Row, column: str) -> str:
    """The name of what the column refers to; empty for NULL. Raises InvalidRequest if there is no such row."""
    key = row.key(column)
    if key is None:
        return ""
    if key not in names:
        raise InvalidRequest(
            f"{row.table}.{column} refers to row {key} of another table, which the dump does not have. Make a dump of "
            "the whole database."
        )
    return names[key]


def address(row: Row, column: str = "ip") -> str:
    """An IP address without the length of its network."""
    return row.text(column).partition("/")[0]
