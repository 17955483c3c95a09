"""The selection of machines: by a filter, or by pages with their order and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from attrs import field, frozen

from regiond.machines.values.criteria import MachineCriteria
from regiond.machines.values.states import MachineState
from regiond.machines.values.used import UsedAmounts
from regiond.requests.search_query import SearchQuery


@frozen(kw_only=True)
class MachineFilter:
    """A filter. A machine must match all given fields; values of one field, except tags, are alternatives.

    A machine must have all of `tags` and none of `not_tags`. With `limit`, the filter selects at most that many
    machines, in the order of hostnames, beginning after the hostname `after`.
    """

    system_ids: tuple[str, ...] = ()
    hostnames: tuple[str, ...] = ()
    mac_addresses: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # `pod`: host names
    agent_names: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()  # names of users
    states: tuple[MachineState, ...] = ()
    tags: tuple[str, ...] = ()  # all of them
    not_tags: tuple[str, ...] = ()  # none of them
    criteria: MachineCriteria = field(factory=MachineCriteria)
    after: str | None = None
    limit: int | None = None


@frozen(kw_only=True)
class PageOfIds:
    """The row ids of a page of machines, and the number of those on all pages.

    `next_after` is the hostname of the last one, if another machine follows.
    """

    ids: Sequence[int]
    total: int
    next_after: str | None = None


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
    CPU_USED = "cpu_used"  # those of USED take their values from the search
    RAM_USED = "ram_used"
    DISK_USED = "disk_used"
    NETWORK_USED = "network_used"


USED = frozenset({MachineColumn.CPU_USED, MachineColumn.RAM_USED, MachineColumn.DISK_USED, MachineColumn.NETWORK_USED})


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
    used: UsedAmounts = field(factory=UsedAmounts)  # for a column of USED; machines without an amount come last


GroupSizes = Mapping[str | None, int]  # numbers of machines by what groups them; None: those without a value
