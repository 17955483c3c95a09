"""Composes an instance with its volumes, or completes the one of an earlier attempt."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import structlog

from common.errors import DriverFailed, InnkeeperError, NotFound
from common.guests.guest_content import GuestContent
from common.guests.guest_spec import GuestSpec
from common.values import Guest
from rackd.drivers.lxd.connection.client import Client, path
from rackd.drivers.lxd.guests import cloning, preflight
from rackd.drivers.lxd.guests.disks import volumes
from rackd.drivers.lxd.guests.instances import Instances, name_taken
from rackd.drivers.lxd.guests.power import PowerControl
from rackd.drivers.lxd.inventory.ownership import COMPLETED_KEY, config_of, incomplete, is_incomplete

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

PowerFactory = Callable[[Instances, str], PowerControl]


def compose(
    client: Client, instances: Instances, spec: GuestSpec, power: PowerFactory, content: GuestContent | None = None
) -> Guest:
    """Returns the guest with `spec.marker`, powered off. Errors and idempotency are those of the driver contract."""
    # Instances of an offline cluster member stay unknown here: they are no reason to compose nothing on the others.
    found = instances.marked_here(name=spec.name, marker=spec.marker)
    if found is not None and is_incomplete(found):
        if instances.wait_while_busy(found["name"]):
            found = instances.marked_here(name=spec.name, marker=spec.marker)  # LXD may have been deleting it
        else:
            log.warning("incomplete_guest_deleted", guest=found["name"])
            delete_instance(instances, found["name"], power)
            found = None
    if found is not None:
        return instances.guest(instances.complete(found["name"]) if is_incomplete(found) else found)
    if client.find(path("instances", spec.name), project=instances.scope.project) is not None:
        raise name_taken(spec.name)
    return _create(client, instances, spec, power, content)


def _create(
    client: Client, instances: Instances, spec: GuestSpec, power: PowerFactory, content: GuestContent | None
) -> Guest:
    source = None if content is None else cloning.Source.of(instances, content)
    prerequisites = preflight.check(client, spec, instances.scope, instances.capabilities)
    created: list[volumes.CreatedVolume] = []
    attempt = uuid4().hex
    try:
        if source is None:
            volumes.create(client, spec.disks[1:], instances.scope, created)
            instances.create(spec, attempt, prerequisites)
        else:
            source.copy_volumes(spec.disks[1:], created)
            source.create(spec, attempt, prerequisites)
        guest = instances.guest(instances.complete(spec.name))
    except BaseException as error:
        _undo(client, instances, spec, attempt, created, power)
        if isinstance(error, DriverFailed | NotFound):
            # A pool or network that was removed in the meantime is a better reason.
            preflight.check(client, spec, instances.scope, instances.capabilities)
        raise
    log.info("guest_composed", guest=spec.name, cores=spec.cores, memory_mib=spec.memory_mib, disks=len(spec.disks))
    return guest


def _undo(
    client: Client,
    instances: Instances,
    spec: GuestSpec,
    attempt: str,
    created: list[volumes.CreatedVolume],
    power: PowerFactory,
) -> None:
    """Removes what a failed attempt created; logs what the host does not let it remove.

    Volumes stay if an instance exists that uses them, such as one that another rack created in the meantime.
    """
    try:
        found = instances.marked_here(name=spec.name, marker=spec.marker)  # created on no other member
        if found is not None and config_of(found).get(COMPLETED_KEY) == incomplete(attempt):
            delete_instance(instances, found["name"], power)
            found = None
        if found is None:
            volumes.undo(client, created, instances.scope)
    except InnkeeperError as error:
        log.warning("failed_compose_not_undone", guest=spec.name, volumes=len(created), reason=str(error))


def delete_instance(instances: Instances, name: str, power: PowerFactory) -> None:
    """Forces the instance off and deletes it, and none of its custom volumes. Idempotent."""
    try:
        instances.keep_volumes(name)  # a server deletes an ephemeral instance as soon as it is off
        power(instances, name).force_off()
        instances.delete(name)
    except NotFound:
        log.info("guest_already_deleted", guest=name)
