"""The request and the progress that a bulk operation stores. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from common.words.phrases import number_of
from regiond.machines.values.boot import BootToSet
from regiond.machines.values.bulk import DEFAULT_AT_ONCE, BulkAction, BulkChange
from regiond.machines.values.clones import CloneRequest
from regiond.machines.values.disks import DiskToAdd, NamedDisk
from regiond.machines.values.nics import NamedNic, NicToAdd
from regiond.machines.values.requests import DEFAULT_RELEASE, ReleaseOptions
from regiond.machines.values.resize import SizeRequest
from regiond.operations.model import Child, OperationState

_NAMED_FAILURES = 5


@frozen(kw_only=True)
class BulkMachine:
    """A machine of a bulk operation. `hostname` is from when that was opened: the machine may be deleted since.

    Of clones, `system_id` is their source and `hostname` that of the new machine. `ran` is whether it was on then.
    """

    system_id: str
    hostname: str
    ran: bool = False


@frozen(kw_only=True)
class BulkRequest:
    """The request for a bulk operation. At most `at_once` children are open at a time.

    `comment` is for a release or deployment, `release` for a release, `image` for a deployment or rebuild; empty: the
    default image, or the present one of each machine. The user data of these is sealed, and stored apart. `cores` to
    `huge_page_size_mib` are for a resize, as in a `SizeRequest`. `disk`, `named_disk`, `boot`, `nic` and `named_nic`
    are for the action that has one; `clone` is what clones have in common.
    """

    action: BulkAction
    machines: tuple[BulkMachine, ...]
    at_once: int = DEFAULT_AT_ONCE
    comment: str = ""
    release: ReleaseOptions = DEFAULT_RELEASE
    image: str = ""
    cores: int | None = None
    memory_mib: int | None = None
    pin_cores: int | None = None
    huge_pages: bool | None = None
    huge_page_size_mib: int | None = None
    disk: DiskToAdd | None = None
    named_disk: NamedDisk | None = None
    boot: BootToSet | None = None
    nic: NicToAdd | None = None
    named_nic: NamedNic | None = None
    clone: CloneRequest | None = None

    @property
    def change(self) -> BulkChange:
        """The change of an action that changes hardware."""
        return (
            self.disk
            or self.named_disk
            or self.boot
            or self.nic
            or self.named_nic
            or SizeRequest(
                cores=self.cores,
                memory_mib=self.memory_mib,
                pin_cores=self.pin_cores,
                huge_pages=self.huge_pages,
                huge_page_size_mib=self.huge_page_size_mib,
            )
        )


@frozen(kw_only=True)
class BulkProgress:
    """The numbers of machines by state, which add up to `total`, and the machines that come next."""

    total: int
    not_begun: int
    open: int
    succeeded: int
    failed: int
    cancelled: int
    next: tuple[BulkMachine, ...]

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.cancelled


def progress(request: BulkRequest, children: Iterable[Child]) -> BulkProgress:
    """Returns the progress. `next` has the machines to begin with now, in order, as many as `at_once` permits."""
    is_new = request.action is BulkAction.CLONE  # known by its name before there is an id
    states = {child.hostname if is_new else child.system_id: child.state for child in children}
    waiting = [one for one in request.machines if (one.hostname if is_new else one.system_id) not in states]
    count = Counter(states.values())
    ended = sum(count[state] for state in count if state.ended)
    is_open = len(states) - ended
    return BulkProgress(
        total=len(request.machines),
        not_begun=len(waiting),
        open=is_open,
        succeeded=count[OperationState.SUCCEEDED],
        failed=count[OperationState.FAILED],
        cancelled=count[OperationState.CANCELLED],
        next=tuple(waiting[: max(0, request.at_once - is_open)]),
    )


def result_of(now: BulkProgress) -> Mapping[str, int]:
    """Returns the result that the operation stores: the numbers of machines by the end of their children."""
    return {
        "succeeded": now.succeeded,
        "failed": now.failed,
        "cancelled": now.cancelled,
        "not_begun": now.not_begun,
    }


def failure_of(request: BulkRequest, children: Sequence[Child]) -> str | None:
    """Returns a message with the machines whose child did not succeed, and the reasons; None if all succeeded."""
    wrong = [child for child in children if child.state is not OperationState.SUCCEEDED]
    if not wrong:
        return None
    named = [f"{child.hostname}: {_reason(child)}" for child in wrong[:_NAMED_FAILURES]]
    more = f" And {len(wrong) - _NAMED_FAILURES} more." if len(wrong) > _NAMED_FAILURES else ""
    were = "was" if len(wrong) == 1 else "were"
    of_all = number_of(len(request.machines), "machine")
    return f"{len(wrong)} of {of_all} {were} not {request.action.done}. {' '.join(named)}{more}"


def _reason(child: Child) -> str:
    reason = (child.error_message or f"it is {child.state}").strip()
    return reason if reason.endswith((".", "!", "?")) else f"{reason}."


def stopped(request: BulkRequest, children: Iterable[Child]) -> tuple[str, ...]:
    """Returns the system ids of the machines that ran, and that this operation has powered off; in their order."""
    if request.action not in {BulkAction.POWER_OFF, BulkAction.FORCE_OFF}:
        return ()
    off = {one.system_id for one in children if one.state is OperationState.SUCCEEDED}
    return tuple(one.system_id for one in request.machines if one.ran and one.system_id in off)
