"""SQL that changes NICs of machines and their links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from attrs import frozen

from regiond.db.pool import Db, of_row
from regiond.networks.interface_store import HAS_OWN_VLAN
from regiond.networks.model import Address

# A virtual function with a tag is in the VLAN of its tag, not in that of its port, and so is a NIC to which its host
# gives another VLAN than its network's.
_VLAN_IDS = f"""
    select distinct vlan.id
      from machine_nic n
      left join host_interface i on i.id = n.interface_id
     cross join lateral (values (n.vlan_id), (case when n.vid is null and not {HAS_OWN_VLAN} then i.vlan_id end))
           vlan (id)
     where n.id = any($1::integer[]) and vlan.id is not null
"""  # noqa: S608  a constant
_SET_LINK = """
    update machine_nic
       set mode = $2, subnet_id = $3, gateway_versions = '{}', link_id = nextval('nic_link_id_seq')::integer
     where id = $1
"""
_CLEAR_GATEWAY = """
    update machine_nic set gateway_versions = array_remove(gateway_versions, $2::integer)
     where machine_id = $1 and $2::integer = any(gateway_versions)
"""
_CLEAR_GATEWAYS = "update machine_nic set gateway_versions = '{}' where machine_id = $1 and gateway_versions <> '{}'"
_CLEAR_GATEWAYS_OF_NIC = "update machine_nic set gateway_versions = '{}' where id = $1"
_SET_GATEWAY = "update machine_nic set gateway_versions = array_append(gateway_versions, $2::integer) where id = $1"
_SET_NAME = "update machine_nic set name = $2 where id = $1"
_SET_TAGS = "update machine_nic set tags = $2 where id = $1"
_REMEMBER = """
    update machine_nic n
       set link_before = jsonb_build_object('mode', n.mode, 'subnet_id', n.subnet_id,
                                            'gateway_versions', n.gateway_versions, 'link_id', n.link_id,
                                            'address', (select host(a.address) from ip_address a
                                                         where a.nic_id = n.id order by a.id limit 1))
     where n.machine_id = $1 and n.link_before is null
"""
_REMEMBERED = """
    select n.id, n.name, n.link_before ->> 'mode' as mode, s.id as subnet_id, n.link_before ->> 'address' as address,
           array(select jsonb_array_elements_text(n.link_before -> 'gateway_versions')::integer) as gateway_versions
      from machine_nic n left join subnet s on s.id = (n.link_before ->> 'subnet_id')::integer
     where n.machine_id = $1 and n.link_before is not null
     order by n.id
"""
_RESTORE = """
    update machine_nic
       set mode = $2, subnet_id = $3, gateway_versions = $4, link_before = null,
           link_id = (link_before ->> 'link_id')::integer
     where id = $1
"""


@frozen(kw_only=True)
class RememberedLink:
    """The link that a NIC (row id) had before the owner of its machine changed one."""

    id: int
    name: str
    mode: str
    subnet_id: int | None
    address: Address | None
    gateway_versions: tuple[int, ...]


async def vlan_ids(db: Db, nic_ids: Iterable[int]) -> frozenset[int]:
    """Returns the ids of the VLANs to which these NICs are attached, by placement and by present host interfaces."""
    return frozenset(row["id"] for row in await db.fetch(_VLAN_IDS, list(nic_ids)))


async def set_link(db: Db, nic_id: int, *, mode: str, subnet_id: int | None) -> None:
    """Sets the link, which gets a new id. Also ends the use of the NIC for default routes."""
    await db.execute(_SET_LINK, nic_id, mode, subnet_id)


async def set_gateway(db: Db, machine_id: int, nic_id: int, version: int) -> None:
    """Sets the default route of this IP version to go through this NIC only."""
    await db.execute(_CLEAR_GATEWAY, machine_id, version)
    await db.execute(_SET_GATEWAY, nic_id, version)


async def clear_gateways(db: Db, machine_id: int) -> None:
    await db.execute(_CLEAR_GATEWAYS, machine_id)


async def clear_gateways_of_nic(db: Db, nic_id: int) -> None:
    await db.execute(_CLEAR_GATEWAYS_OF_NIC, nic_id)


async def set_name(db: Db, nic_id: int, name: str) -> None:
    await db.execute(_SET_NAME, nic_id, name)


async def set_tags(db: Db, nic_id: int, tags: Sequence[str]) -> None:
    await db.execute(_SET_TAGS, nic_id, list(tags))


async def remember(db: Db, machine_id: int) -> None:
    """Stores the links of the machine's NICs for its release. Does nothing if they are stored already."""
    await db.execute(_REMEMBER, machine_id)


async def remembered(db: Db, machine_id: int) -> tuple[RememberedLink, ...]:
    """Returns the links that the release of the machine restores."""
    rows = await db.fetch(_REMEMBERED, machine_id)
    return tuple(
        of_row(
            RememberedLink,
            row,
            address=None if row["address"] is None else ip_address(row["address"]),
            gateway_versions=tuple(row["gateway_versions"]),
        )
        for row in rows
    )


async def restore(db: Db, nic_id: int, *, mode: str, subnet_id: int | None, gateway_versions: Sequence[int]) -> None:
    await db.execute(_RESTORE, nic_id, mode, subnet_id, list(gateway_versions))
