"""Amounts that machines use now, by which a list of them is sorted."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class UsedAmounts:
    """Amounts that guests use now, in three columns of the same length. `guests` are their names on the host."""

    host_ids: tuple[int, ...] = ()
    guests: tuple[str, ...] = ()
    amounts: tuple[float, ...] = ()
