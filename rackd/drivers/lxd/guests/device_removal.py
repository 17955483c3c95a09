"""Removes devices from an instance, also while it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import structlog

from common.errors import DriverFailed, WrongState
from rackd.drivers.lxd.connection.client import Client, path
from rackd.drivers.lxd.connection.failures import PreconditionFailed, Unfinished
from rackd.drivers.lxd.guests import instance_config
from rackd.drivers.lxd.guests.instances import Instances
from rackd.drivers.lxd.inventory.ownership import BOOT_DISK_KEY, Json, config_of

_REMOVAL_S = 60.0  # LXD itself waits for some seconds

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def remove_devices(
    instances: Instances, name: str, chosen: Collection[str], *, what: str, has: Callable[[Json], bool], runs: bool
) -> DriverFailed | None:
    """Returns the server's reason if the running instance keeps what it has by these devices; else None, without the
    devices, and the choice to boot from one of them at the next start.

    Raises WrongState, which says `what` it is, for devices of a profile. `has` says whether an instance has it.
    """
    client, project = instances.client, instances.scope.project
    current, etag = client.get_with_etag(path("instances", name), project=project)
    devices: Mapping[str, Mapping[str, str]] = current.get("devices") or {}
    if not any(device in devices for device in chosen):
        raise of_profile(client, name, what, ", ".join(sorted(chosen)))
    left = {key: entry for key, entry in devices.items() if key not in chosen}
    config = {key: text for key, text in config_of(current).items() if key != BOOT_DISK_KEY or text not in chosen}
    body = instance_config.changed(current, config=config, devices=left)
    try:
        client.put(path("instances", name), body, etag=etag, wait_s=_REMOVAL_S, project=project)
    except (PreconditionFailed, Unfinished):
        raise
    except DriverFailed as error:
        # LXD changes the instance, then fails if a running guest has no agent to notify.
        if not has(instances.read(name)):
            log.info("guest_agent_not_notified", guest=name, reason=str(error))
        elif runs:
            return error
        else:
            raise
    return None


def of_profile(client: Client, name: str, what: str, device: str) -> WrongState:
    """Returns the error that the instance has this device from a profile, which no change of the instance removes."""
    return WrongState(
        f"{name} has {what} from one of its profiles, as {device}. Remove the device from the profile: "
        f"{client.dialect.client} profile device remove.",
        name=name,
    )
