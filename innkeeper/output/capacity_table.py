"""Table rows for `vm-hosts capacity`: the fleet, then each zone and each resource pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NOTE = (
    "'free/claimable': what composes can still get of what Innkeeper may hand out, with ratios and reserves.\n"
    "A server with several hosts counts once in each row. Servers that no rack reaches are not counted as free."
)


def rows_of(capacity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`of` is `fleet`, `zone NAME` or `pool NAME`; `unreachable` is the number of servers that are not in `servers`."""
    zones: Sequence[Mapping[str, Any]] = capacity["zones"]
    pools: Sequence[Mapping[str, Any]] = capacity["pools"]
    return [
        _row("fleet", capacity["fleet"]),
        *(_row(f"zone {zone['name']}", zone) for zone in zones),
        *(_row(f"pool {pool['name']}", pool) for pool in pools),
    ]


def _row(of: str, group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "of": of,
        "hosts": group["hosts"],
        "servers": group["servers"],
        "unreachable": group["unreachable_servers"],
        "capacity": group["capacity"],
    }
