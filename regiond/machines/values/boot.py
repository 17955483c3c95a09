"""The boot order of a machine, and the plan of a change of it."""

from __future__ import annotations

from attrs import frozen

from common.boot import BootOrder
from regiond.machines.values.resize import Takes


@frozen(kw_only=True)
class BootView:
    """The kinds of devices that a machine tries at its next start.

    `order` is that of its host: of any start; None: unknown. `pending` is applied when Innkeeper next stops or starts
    it. `once` comes first at its next start by Innkeeper, and only then. Empty: none.
    """

    order: BootOrder | None = None
    pending: BootOrder = ()
    once: BootOrder = ()
    once_key: str | None = None
    iso: str = ""  # the image in its drive: the name in the catalogue, or what the host calls it; empty: none
    iso_sha256: str = ""  # empty: it is no image of the region
    next_iso: str | None = None  # as `iso`, from its next start on; None: as now

    @property
    def lasting(self) -> BootOrder | None:
        """The order of all starts, from the next start by Innkeeper on; None: unknown."""
        return self.pending or self.order


@frozen(kw_only=True)
class BootToSet:
    """The kinds of devices that a machine tries first, in order, at all its starts or at the next one only. Unchecked:
    the region validates them.
    """

    order: tuple[str, ...]
    once: bool = False


@frozen(kw_only=True)
class BootPlan:
    """The plan of a change of the boot order. `name` is the hostname; `effects` are sentences for people."""

    name: str
    order: BootOrder
    once: bool
    takes_effect: Takes
    effects: tuple[str, ...]


@frozen(kw_only=True)
class ChangePlan:
    """The plan of a change that says it all in `effects`, sentences for people. `name` is the hostname."""

    name: str
    effects: tuple[str, ...]


@frozen(kw_only=True)
class IsoToInsert:
    """The name of an image of the type iso."""

    image: str


@frozen(kw_only=True)
class IsoToEject:
    """Takes out of the drive what is in it."""
