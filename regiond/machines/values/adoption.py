"""The results and records of adopting, detaching and forgetting machines."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from attrs import field, frozen

from common.values import OwnershipMarker
from regiond.machines.values.states import MachineState
from regiond.operations.model import LEFT_OUT, Operation


@frozen(kw_only=True)
class GuestToForget:
    """The key of a guest on its host, empty if that is not known, and its name."""

    key: str
    name: str


@frozen(kw_only=True)
class GuestToAdopt(GuestToForget):
    """`id` is that of its row."""

    id: int
    project: str = ""


@frozen(kw_only=True)
class ForgetRequest:
    """The request to forget a machine, in the operation's row."""

    guest: GuestToForget


@frozen(kw_only=True)
class AdoptionRequest:
    """The adoption of a guest, in the operation's row. `had_marker`: the guest has its marker already.

    A machine that another controller made `becomes` of that state, `locked` and `owned` as it was there; None: it is
    none of these.
    """

    guest: GuestToAdopt
    marker: OwnershipMarker
    had_marker: bool
    becomes: MachineState | None = field(default=None, metadata=LEFT_OUT)
    locked: bool | None = field(default=None, metadata=LEFT_OUT)
    owned: bool | None = field(default=None, metadata=LEFT_OUT)


@frozen(kw_only=True)
class Adopted:
    """The result for one guest. Without an operation, it is a machine already, or `rejected` is the reason."""

    guest_name: str
    system_id: str | None = None
    hostname: str | None = None
    operation: Operation | None = None
    rejected: str | None = None


@frozen(kw_only=True)
class DetachedMachine:
    """The record of a machine whose host was removed. `pool`, `zone` and `owner` are names; None if deleted since.

    A `lost` one is not restored with its host, which was removed by force.
    """

    uuid: UUID
    system_id: str
    hostname: str
    adopted: bool
    host_name: str
    driver: str
    address: str
    project: str
    pool: str | None
    zone: str | None
    owner: str | None
    architecture: str
    cores: int
    memory_mib: int
    tags: tuple[str, ...]
    disks: tuple[dict[str, Any], ...]
    nics: tuple[dict[str, Any], ...]
    detached_at: datetime
    lost: bool = False


@frozen(kw_only=True)
class ForgottenMachine:
    """A machine that a user had Innkeeper forget, and the guest that remained. The names are from that time."""

    system_id: str
    hostname: str
    host_name: str
    guest_name: str
    guest_id: int | None  # the id of the foreign guest; None: its host does not list it, or was removed
    forgotten_at: datetime
    username: str | None  # None if the account was deleted since
