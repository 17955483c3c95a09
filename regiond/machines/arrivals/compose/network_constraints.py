"""Reduces the interface conditions of NICs to columns by which the shortlist query filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from regiond.db.pool import Db
from regiond.placement.network_selectors import parse_cidr, parse_selector
from regiond.placement.requirements import NetworkType, NicRequirement

_SPACE_IDS = "select id from space where id = any($1::integer[]) or name = any($2::text[])"
_SUBNETS = "select id, vlan_id from subnet where id = any($1::integer[]) or cidr = any($2::cidr[]) or name = any($3)"


async def nic_columns(db: Db, nics: Iterable[NicRequirement]) -> list[Mapping[str, object]]:
    """Returns for each NIC the columns that its interface must have; spaces and subnets are ids.

    Conditions that columns cannot express are omitted, as are NICs without any other condition.
    """
    result: list[Mapping[str, object]] = []
    for number, nic in enumerate(nics):
        values = {one.key: one.values for one in nic.conditions if not one.negated}
        columns: dict[str, object] = {
            column: values[key] for key, column in (("type", "types"), ("name", "names")) if key in values
        }
        if spaces := _selected("space", values.get("space", ()), {"id", "name"}):
            rows = await db.fetch(_SPACE_IDS, [int(one) for one in spaces["id"]], spaces["name"])
            columns["spaces"] = [row["id"] for row in rows]
        if subnets := _selected("subnet", values.get("subnet", ()), {"id", "cidr", "name"}):
            cidrs = [parse_cidr(cidr) for cidr in subnets["cidr"]]
            rows = await db.fetch(_SUBNETS, [int(one) for one in subnets["id"]], cidrs, subnets["name"])
            columns |= {"subnets": [row["id"] for row in rows], "subnet_vlans": [row["vlan_id"] for row in rows]}
        if vids := _selected("vlan", [f"vid:{value}" for value in values.get("vid", ())], {"vid"}):
            columns["vids"] = [int(value) for value in vids["vid"]]
        if columns:
            result.append({"nic": number, **columns})
    return result


def _selected(of: NetworkType, values: Iterable[str], by: Iterable[str]) -> Mapping[str, list[str]]:
    """Returns the selected values by selector kind; empty if there are none or one is of a kind that is not in `by`."""
    selected: dict[str, list[str]] = {key: [] for key in by}
    selectors = [parse_selector(of, value) for value in values]
    if not selectors or any(one.by not in selected for one in selectors):
        return {}
    for one in selectors:
        selected[one.by].append(one.value)
    return selected
