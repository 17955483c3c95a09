"""The plan of a change of cores and memory."""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen

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


MAX_CORES = 4096


@frozen(kw_only=True)
class SizeRequest:
    """The size that a machine is to have; None: as it is. Unchecked: the region validates it."""

    cores: int | None = None
    memory_mib: int | None = None


AS_IT_IS = SizeRequest()


@frozen(kw_only=True)
class ResizePlan:
    """The plan of a resize. `name` is the hostname; `effects` are sentences for people, none if nothing changes.

    `charge` is what the machine claims more at once, of its host and of quotas, and `frees` what it claims less once it
    has the size.
    """

    name: str
    cores: Amount
    memory_mib: Amount
    effects: tuple[str, ...]
    charge: Charge = field(default=Charge(asked=Holdings()))
    frees: Holdings = field(default=Holdings())
