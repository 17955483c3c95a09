"""The use of a pool: its connections, and the tasks that wait for one."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class PoolUse:
    """The connections of a pool: open, idle of them, how many it may open, and the tasks that wait for one."""

    size: int
    idle: int
    limit: int
    waiting: int
