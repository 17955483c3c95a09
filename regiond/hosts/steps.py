"""Operation handlers of hosts: a requested refresh, and the removal of a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrs import asdict

from common.errors import Busy, DriverFailed, InnkeeperError, rebuild
from common.words.operation_kinds import OperationKind
from common.words.phrases import number_of
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import schedule_store, store
from regiond.hosts.discovery.model import DiscoveryChanges
from regiond.hosts.discovery.refresh import RETRY_AFTER_S, Refresher
from regiond.hosts.host_probe import require_dead
from regiond.hosts.image_copies.removal import remove_all
from regiond.hosts.image_copies.store import open_deployment, removable_with_host
from regiond.hosts.removal_model import CertificateFate, DeletedMachines, HostRemoval
from regiond.hosts.trust.host_removal import HostCertificates
from regiond.operations.handler import Journal, Outcome
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls

_AFTER_MACHINES = ("untrust", "disconnect")  # steps in which an earlier attempt may have been interrupted
_UNTRUST_RETRIES = 4  # they take some seconds: a rack connects again after its own restart or the region's


class RefreshHost:
    """A requested refresh. It fails at once if the host cannot be reached, because the user waits for the answer."""

    kind = OperationKind.REFRESH

    def __init__(self, refresher: Refresher) -> None:
        self._refresher = refresher

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        host_id = operation.host_id
        if host_id is None:
            return Outcome(result={"reason": "the host was removed"})
        await journal.step("discover")
        run = await self._refresher.discover(host_id)

        changes = DiscoveryChanges()

        async def record(db: Db) -> None:
            nonlocal changes
            changes = await self._refresher.apply(db, host_id, run)

        async def then() -> None:
            await self._refresher.refresh_members(host_id, changes)

        found = run.discovery
        result = {"guests": len(found.guests), "problems": len(found.problems), "calls": found.calls}
        return Outcome(result=result, record=record, then=then)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Stores the error with the host and requests another refresh, since this may run long after the failure."""
        host_id, code = operation.host_id, operation.error_code
        if host_id is None or code is None or operation.cancel_requested:
            return Outcome()
        error = rebuild(code, operation.error_message or "", operation.error_details or {})

        async def record(db: Db) -> None:
            await self._refresher.record_undone(db, host_id, error)
            await schedule_store.refresh_within(db, [host_id], RETRY_AFTER_S)

        return Outcome(record=record)


class HostMachines(Protocol):
    """The machines' part in the removal of a host."""

    async def delete_machines(self, operation: Operation) -> Sequence[str]:
        """Opens a delete operation for each machine without one; returns a message for each deletion that failed.

        Raises Busy while some are still running.
        """

    async def removal_result(self, operation: Operation) -> Mapping[str, Any]:
        """Returns the lists `deleted` and `kept`: one text for each guest, with its volumes.

        After a removal by force also the list `lost`, and `lost_machines` with the system ids of these machines.
        """

    async def lose_machines(self, db: Db, operation: Operation, host_id: int, expected: Iterable[str]) -> int:
        """Ends the other operations on the host and the records of its machines; returns the number of machines.

        Raises Busy if the host has other machines than the `expected` ones (system ids).
        """

    async def stop_deletions(self, operation: Operation) -> DeletedMachines:
        """Cancels the deletions that have not started, and returns the outcome of all deletions.

        Raises Busy while one of them has not ended.
        """

    async def detach_machines(self, db: Db, host_id: int) -> int:
        """Detaches the machines: deletes their rows and claims, and leaves their guests. Returns their number.

        Raises Busy if an operation acts on one of them.
        """


class HostClusters(Protocol):
    """The cluster's part in the removal of a member's host."""

    async def leave(self, db: Db, host_id: int) -> None:
        """Prevents the other members from adding the host again. Called before the host is deleted."""

    async def drop_empty(self, db: Db) -> None:
        """Removes clusters without hosts. Called after the host was deleted."""


class HostImages(Protocol):
    """The image catalogue's part in the removal of a host."""

    async def leave(self, db: Db, host_id: int) -> None:
        """Removes images from the catalogue that only this host has. Called before the host is deleted."""


class RemoveHost:
    """Removes a host. Its guests stay, except the guests of machines that the request's `HostRemoval` deletes first."""

    kind = OperationKind.REMOVE_HOST

    def __init__(
        self,
        database: Database,
        machines: HostMachines,
        clusters: HostClusters,
        images: HostImages,
        calls: HostCalls,
        certificates: HostCertificates,
    ) -> None:
        self._database = database
        self._machines = machines
        self._clusters = clusters
        self._images = images
        self._certificates = certificates
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        host_id = operation.host_id
        if host_id is None:
            return Outcome(result={"reason": "the host had already been removed"})
        removal = operation.request_as(HostRemoval)
        if removal.force:
            return await self._remove_dead(operation, host_id, journal)
        if removal.decompose:
            await journal.step("destroy_machines")
            await self._delete_machines(operation)
        result = {**await self._machines.removal_result(operation), **await self._remove_copies(operation, journal)}
        await journal.step("untrust")
        certificate = await self._certificates.leave(
            host_id, keep_trust=removal.keep_trust, interrupted=operation.step in _AFTER_MACHINES,
            may_retry=operation.failures < _UNTRUST_RETRIES,
        )  # fmt: skip
        await journal.step("disconnect")
        await self._calls.disconnect(host_id)

        async def record(db: Db) -> None:
            await store.lock(db, host_id)  # waits for a compose that chose the host before it was set to removing
            detached = await self._machines.detach_machines(db, host_id)
            await self._images.leave(db, host_id)
            await self._clusters.leave(db, host_id)
            await store.delete(db, host_id)
            await self._clusters.drop_empty(db)
            stay = number_of(detached, "machine") + (" stays" if detached == 1 else " stay")
            left = f"; {stay} there, no longer managed" if detached else ""
            message = f"{operation.host_name} was removed{left}"
            await Events.record(
                db, "host_removed", message, host_id=host_id, operation_id=operation.id,
                account_id=operation.account_id, username=operation.username,
            )  # fmt: skip
            await _record_certificate(db, operation, certificate)

        return Outcome(result={**result, **_certificate_result(certificate)}, record=record)

    async def _remove_copies(self, operation: Operation, journal: Journal) -> Mapping[str, Any]:
        """Deletes the image copies that Innkeeper has brought to the host. A host that does not answer retains them.

        Raises Busy while a deployment may need a copy.
        """
        if operation.host_id is None or operation.step in _AFTER_MACHINES:
            return {}
        async with self._database.connection() as db:
            deploying = await open_deployment(db, operation.host_id)
            copies = await removable_with_host(db, operation.host_id)
        if deploying is not None:
            raise Busy(f"Operation {deploying} still deploys a machine on {operation.host_name}.", operation=deploying)
        if not copies:
            return {}
        await journal.step("remove_image_copies", reaches_host=True, copies=[copy.description for copy in copies])
        left = await remove_all(self._calls, operation, operation.host_id, copies)
        return {"image_copies": [copy.description for copy in copies], "image_copies_left": list(left)}

    async def _delete_machines(self, operation: Operation) -> None:
        """Deletes the machines. Raises Busy while deletions run, and DriverFailed, which names each that failed."""
        async with self._database.transaction() as db:
            if (
                operation.host_id is not None
            ):  # waits for a compose that read its state before: its machine is deleted too
                await store.lock(db, operation.host_id)
        failures = await self._machines.delete_machines(operation)
        if failures:
            raise DriverFailed(
                f"{number_of(len(failures), 'machine')} on {operation.host_name} could not be deleted: "
                f"{'; '.join(failures)}",
                failures=list(failures),
            )

    async def _remove_dead(self, operation: Operation, host_id: int, journal: Journal) -> Outcome:
        """Removes a dead host, all in the transaction that ends the operation; until then it can be cancelled.

        Raises WrongState if the host answers, which ends the operation.
        """
        name = operation.host_name or ""
        await journal.step("check_host")
        reason = await require_dead(self._calls, host_id, name)

        async def wait_for_composes(db: Db) -> None:
            await store.lock(db, host_id)  # waits for composes that chose the host before it was set to removing

        await journal.write("close_host", wait_for_composes)
        certificate = await self._certificates.abandon(host_id)
        result = {**await self._machines.removal_result(operation), **_certificate_result(certificate)}
        await journal.step("disconnect")
        await self._calls.disconnect(host_id)

        async def record(db: Db) -> None:
            await store.lock(db, host_id)
            lost = await self._machines.lose_machines(db, operation, host_id, result["lost_machines"])
            await self._images.leave(db, host_id)
            await self._clusters.leave(db, host_id)
            await store.delete(db, host_id)
            await self._clusters.drop_empty(db)
            names = ", ".join(text.split(" ")[0] for text in result["lost"])
            are = number_of(lost, "machine") + (" is" if lost == 1 else " are")
            message = f"{name} was removed by force{f'; {are} lost: {names}' if lost else ''}"
            await Events.record(
                db, "host_removed", message, level=Level.WARNING, host_id=host_id,
                operation_id=operation.id, account_id=operation.account_id, username=operation.username,
                details={"reason": reason, **result},
            )  # fmt: skip
            await _record_certificate(db, operation, certificate)

        return Outcome(result=result, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Makes the host available again, once no deletion of a machine is left.

        Machines that were deleted stay deleted; the error and the event name them.
        """
        host_id = operation.host_id
        decompose = operation.request_as(HostRemoval).decompose
        machines = await self._machines.stop_deletions(operation) if decompose else None
        error = _error_of(operation, machines)

        async def record(db: Db) -> None:
            if host_id is None:
                return
            await store.reopen_host(db, host_id, operation.id)
            await self._certificates.stay(db, host_id)
            await schedule_store.refresh_within(db, [host_id], 0.0)
            message = f"{operation.host_name} was not removed: {error.message}"
            await Events.record(
                db, "host_removal_failed", message, level=Level.ERROR, host_id=host_id, operation_id=operation.id,
                details=None if machines is None else asdict(machines),
            )  # fmt: skip

        undone = ("the host is available again", *(() if machines is None else machines.sentences))
        return Outcome(undone=undone, error=error, record=record)


async def _record_certificate(db: Db, operation: Operation, fate: CertificateFate | None) -> None:
    if fate is None:
        return
    name, level = ("certificate_removed", Level.INFO) if fate.removed else ("certificate_left", Level.WARNING)
    await Events.record(
        db, name, fate.sentence, level=level, host_id=operation.host_id, operation_id=operation.id,
        account_id=operation.account_id,
        username=operation.username,
    )  # fmt: skip


def _certificate_result(fate: CertificateFate | None) -> dict[str, Any]:
    return {} if fate is None else {"certificate": {**asdict(fate), "message": fate.sentence}}


def _error_of(operation: Operation, machines: DeletedMachines | None) -> InnkeeperError:
    """Returns the error that ended the removal; it also names the deleted machines, if any was to be deleted."""
    code, message = operation.error_code or "error", operation.error_message or "The removal failed."
    details = operation.error_details or {}
    if machines is None:
        return rebuild(code, message, details)
    return rebuild(code, " ".join((message, *machines.sentences)), {**details, **asdict(machines)})
