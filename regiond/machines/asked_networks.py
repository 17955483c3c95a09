"""What the database can tell of the interfaces that cards ask for: a few columns of each, to narrow hosts by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from regiond.placement.model import NicWish
from regiond.placement.selectors import Of, network, selector

if TYPE_CHECKING:
    from regiond.db.pool import Db

_SPACE_IDS = "select id from space where id = any($1::integer[]) or name = any($2::text[])"
_SUBNETS = "select id, vlan_id from subnet where id = any($1::integer[]) or cidr = any($2::cidr[]) or name = any($3)"


async def columns_of(db: Db, nics: Iterable[NicWish]) -> list[Mapping[str, object]]:
    """For each card what its interface has to be like, as far as a few columns tell: other conditions are left out.

    A card that asks for nothing of the kind is not among them. Spaces and subnets are ids.
    """
    asked: list[Mapping[str, object]] = []
    for number, nic in enumerate(nics):
        values = {one.key: one.values for one in nic.conditions if not one.negated}
        told: dict[str, object] = {
            column: values[key] for key, column in (("type", "types"), ("name", "names")) if key in values
        }
        if spaces := _picked("space", values.get("space", ()), {"id", "name"}):
            rows = await db.fetch(_SPACE_IDS, [int(one) for one in spaces["id"]], spaces["name"])
            told["spaces"] = [row["id"] for row in rows]
        if subnets := _picked("subnet", values.get("subnet", ()), {"id", "cidr", "name"}):
            cidrs = [network(cidr) for cidr in subnets["cidr"]]
            rows = await db.fetch(_SUBNETS, [int(one) for one in subnets["id"]], cidrs, subnets["name"])
            told |= {"subnets": [row["id"] for row in rows], "subnet_vlans": [row["vlan_id"] for row in rows]}
        if vids := _picked("vlan", [f"vid:{value}" for value in values.get("vid", ())], {"vid"}):
            told["vids"] = [int(value) for value in vids["vid"]]
        if told:
            asked.append({"nic": number, **told})
    return asked


def _picked(of: Of, values: Iterable[str], by: Iterable[str]) -> Mapping[str, list[str]]:
    """What the values are picked by; nothing when there are none, or when one of them is picked in another way."""
    picked: dict[str, list[str]] = {key: [] for key in by}
    selectors = [selector(of, value) for value in values]
    if not selectors or any(one.by not in picked for one in selectors):
        return {}
    for one in selectors:
        picked[one.by].append(one.value)
    return picked
