"""Gives an instance another root disk, where the server can do so and keep the instance.

Its id and other disks stay. A call that was interrupted is repeated as a whole. Until then the instance may have no
root disk, and is the guest all the same.
"""

from __future__ import annotations

import structlog

from common.errors import DriverFailed, InnkeeperError
from common.rpc.commands.host_commands import MAX_CALL_S
from common.values import OwnershipMarker
from rackd.drivers.lxd.connection.client import Json, path
from rackd.drivers.lxd.connection.failures import Unfinished
from rackd.drivers.lxd.guests import instance_config
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.guests.rebuild.replacement import (
    EMPTY,
    OUTPUT_LOST,
    TRIES,
    RootDisk,
    config_for,
    devices_for,
    replace,
    wait_until_idle,
)
from rackd.drivers.lxd.guests.safeguards import check_deletable
from rackd.drivers.lxd.inventory.ownership import config_of, replacement_name

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def give_root_disk(instances: Instances, original: Json, root: RootDisk, marker: OwnershipMarker) -> str:
    """Gives what `stopped_instance` returned this root disk, by what the server can do: by `rebuild`, or by `replace`,
    which also goes on from its placeholder. Returns the name of the instance.
    """
    if instances.capabilities.rebuild and original["name"] != replacement_name(marker):
        return rebuild(instances, original, root)
    check_deletable(instances, original)
    return replace(instances, original, root, marker)


def rebuild(instances: Instances, original: Json, root: RootDisk) -> str:
    """Replaces the root disk of an instance that is off. If the server cannot make the new one, it is empty. Snapshots
    of the instance are deleted: the server rebuilds none that has some.

    Returns the name of the instance.
    """
    name = str(original["name"])
    wait_until_idle(instances, name)
    _delete_snapshots(instances, name)
    _configure(instances, name, root)
    try:
        _rebuild_repeatedly(instances, name, root)
    except Unfinished:
        raise  # it still writes; the next call waits for it
    except DriverFailed as error:
        log.warning("root_disk_not_replaced", guest=name, reason=str(error))
        _restore_empty(instances, name)
        raise
    log.info("root_disk_replaced", guest=name, image=root.fingerprint)
    return name


def _delete_snapshots(instances: Instances, name: str) -> None:
    client, project = instances.client, instances.scope.project
    for url in client.get(path("instances", name, "snapshots"), project=project):
        snapshot = str(url).partition("?")[0].rpartition("/")[2]
        client.delete(path("instances", name, "snapshots", snapshot), project=project)
        log.info("snapshot_deleted", guest=name, snapshot=snapshot)


def _configure(instances: Instances, name: str, root: RootDisk) -> None:
    """Gives the instance the config and devices that belong to the new root disk."""
    client, project = instances.client, instances.scope.project
    found, etag = client.get_with_etag(path("instances", name), project=project)
    own = {key: text for key, text in config_of(found).items() if key.startswith("volatile.")}
    body = instance_config.changed(found, config={**config_for(found, root), **own}, devices=devices_for(found, root))
    client.put(path("instances", name), body, etag=etag, project=project)


def _rebuild_repeatedly(instances: Instances, name: str, root: RootDisk) -> None:
    for left in reversed(range(TRIES)):
        try:
            _rebuild(instances, name, root)
        except DriverFailed as error:
            if not left or not OUTPUT_LOST.search(str(error)):
                raise
            log.info("root_disk_attempt_failed", guest=name, attempts_left=left, reason=str(error))
        else:
            return


def _rebuild(instances: Instances, name: str, root: RootDisk) -> None:
    where = path("instances", name, "rebuild")
    instances.client.post(where, {"source": root.source}, wait_s=MAX_CALL_S, project=instances.scope.project)


def _restore_empty(instances: Instances, name: str) -> None:
    try:
        _configure(instances, name, EMPTY)
        _rebuild(instances, name, EMPTY)
    except InnkeeperError as error:
        log.warning("guest_not_restored", guest=name, reason=str(error))
