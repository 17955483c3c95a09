"""Decides which quotas are nearly used up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from common.words.messages import message
from regiond.attention.model import AttentionKind, Found, ObjectType
from regiond.quotas.model import RESOURCES, Quota

_GIB_IN_MIB = 1024
_GB = 1000**3


def nearly_used(quota: Quota, percent: int, since: Mapping[str, datetime]) -> Found | None:
    """Returns what the quota is about if something of it is used to at least `percent`; None if nothing is.

    A limit of 0 permits nothing and does not count. `since` has the times of quotas that were above before, by type
    and id such as `quota 7`.
    """
    near = [(name, used, limit) for name, used, limit in _uses(quota) if limit and 100 * used >= percent * limit]
    if not near:
        return None
    return Found(
        kind=AttentionKind.QUOTA_FULL,
        object_type=ObjectType.QUOTA,
        object_id=str(quota.id),
        name=message("The quota of user {name}", name=quota.username)
        if quota.username is not None
        else message("The quota of pool {name}", name=quota.pool),
        broken=False,
        since=since.get(f"quota {quota.id}"),
        pool=quota.pool,
        facts={
            "uses": [_text(name, used, limit) for name, used, limit in near],
            "is_full": any(used >= limit for _, used, limit in near),
        },
    )


def _uses(quota: Quota) -> list[tuple[str, int, int]]:
    limits = ((name, getattr(quota.limits, name)) for name in RESOURCES)
    return [(name, getattr(quota.used, name), limit) for name, limit in limits if limit is not None]


def _text(name: str, used: int, limit: int) -> str:
    match name:
        case "memory_mib":
            return message(
                "{n} of {most} GiB of RAM", n=f"{used / _GIB_IN_MIB:,.4g}", most=f"{limit / _GIB_IN_MIB:,.4g}"
            )
        case "storage_bytes":
            return message("{n} of {most} GB of storage", n=f"{used / _GB:,.6g}", most=f"{limit / _GB:,.6g}")
        case "machines":
            return message("{n} of {most} VMs", n=f"{used:,}", most=f"{limit:,}")
        case "cores":
            return message("{n} of {most} cores", n=f"{used:,}", most=f"{limit:,}")
        case _:
            return f"{used:,} of {limit:,} {name}"
