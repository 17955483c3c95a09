"""The parts that requests of operations on machines have in common, as their rows have them."""

from __future__ import annotations

from attrs import field, frozen

from common.boot import BootOnce
from common.guests.guest_spec import GuestSpec
from common.guests.sizes import DiskSize, GuestSize
from regiond.operations.model import LEFT_OUT


@frozen(kw_only=True)
class StateBefore:
    """The machine's state when the operation was opened, as text: a newer release may have more states."""

    was: str | None = field(default=None, metadata=LEFT_OUT)


@frozen(kw_only=True)
class GuestRequest(StateBefore):
    """The definition of the guest, and what it gets at its next start: its size and larger disks.

    In the order `boot_once` it boots at the start that is asked for. Once the operation has begun to use the machine,
    its generation is `generation`; None: that is on the host already, or the operation is no use.
    """

    spec: GuestSpec
    pending: GuestSize | None = field(default=None, metadata=LEFT_OUT)
    pending_disks: tuple[DiskSize, ...] = field(default=(), metadata=LEFT_OUT)
    boot_once: BootOnce | None = field(default=None, metadata=LEFT_OUT)
    generation: int | None = field(default=None, metadata=LEFT_OUT)


@frozen
class MachineRequest:
    """A request that may be a use of its machine: its guest may get content."""

    @property
    def begins_use(self) -> str:
        """Returns in words why the operation is a use; empty if it is none."""
        return ""
