"""The search for machines by pages: what it is for, its order and its groups."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import field, frozen

from regiond.search_query import SearchQuery


class MachineColumn(StrEnum):
    """A column by which a page of machines is sorted."""

    NAME = "name"
    STATE = "state"
    HOST = "host"
    CORES = "cores"
    MEMORY = "memory"
    POOL = "pool"
    OWNER = "owner"
    CREATED = "created"


class MachineGroup(StrEnum):
    """A fact that the machines of a group have in common. Groups are in the order of its values; none is last."""

    HOST = "host"
    STATE = "state"
    POOL = "pool"
    OWNER = "owner"


@frozen(kw_only=True)
class MachineSearch:
    """A search for machines, by pages. With `host_ids`, only for those on these hosts; with `group`, by group first.

    The names in `query` are those that exist (`Machines.read_query`).
    """

    query: SearchQuery = field(factory=SearchQuery)
    host_ids: tuple[int, ...] | None = None
    group: MachineGroup | None = None
    sort: MachineColumn = MachineColumn.NAME
    descending: bool = False
    limit: int = 50
    offset: int = 0


GroupSizes = Mapping[str | None, int]  # numbers of machines by what groups them; None: those without a value
