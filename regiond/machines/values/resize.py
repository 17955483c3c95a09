"""The plan of a change of cores and memory."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

from regiond.ledger.model import NO_DISCRETE_RESOURCES, DiscreteResources
from regiond.quotas.model import Charge, Holdings


class Takes(StrEnum):
    """When a change takes effect."""

    NO_EFFECT = "unchanged"
    NOW = "now"
    IF_POSSIBLE = "now_if_possible"  # the hypervisor may be able to change a running guest; else at the next start
    AT_START = "next_start"  # when Innkeeper next starts the machine


@frozen(kw_only=True)
class Amount:
    """One resource: cores, or memory in MiB."""

    now: int
    wanted: int
    takes_effect: Takes


@frozen(kw_only=True)
class SizeRefusal:
    """Why a host refused the pending size at the last start, and at which start it first did."""

    reason: str
    since: datetime


MAX_CORES = 4096


@frozen(kw_only=True)
class SizeRequest:
    """The size that a machine is to have, and what it is bound to; None: as it is. Unchecked: the region validates it.

    A machine with pinned cores keeps as many as it has cores. `pin_cores` 0: none; else as many, which replace `cores`
    as `pinned_cores` does, the ids of cores of the host. `huge_pages`: whether they back its memory.
    """

    cores: int | None = None
    memory_mib: int | None = None
    pinned_cores: tuple[int, ...] | None = None
    pin_cores: int | None = None
    huge_pages: bool | None = None
    huge_page_size_mib: int | None = None


AS_IT_IS = SizeRequest()


@frozen(kw_only=True)
class ResizePlan:
    """The plan of a resize. `name` is the hostname; `effects` are sentences for people, none if nothing changes.

    `charge` is what counts more at once for quotas, and `frees` what counts less once it has the size; `claims` and
    `gives_back` are the same of the cores and the general memory of its host. `bound` are its pinned cores and huge
    pages now, `bound_then` those that it gets.
    """

    name: str
    cores: Amount
    memory_mib: Amount
    effects: tuple[str, ...]
    charge: Charge = field(default=Charge(asked=Holdings()))
    frees: Holdings = field(default=Holdings())
    claims: Holdings = field(default=Holdings())
    gives_back: Holdings = field(default=Holdings())
    bound: DiscreteResources = NO_DISCRETE_RESOURCES
    bound_then: DiscreteResources = NO_DISCRETE_RESOURCES
