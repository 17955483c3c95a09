"""Creates an instance as a copy of another one that is off, with copies of its volumes.

LXD copies a root disk only with its instance, and gives the copy each key and device of the source that the request
does not name. So the request hides the devices, and the copy, incomplete until then, gets its own config afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from attrs import frozen

from common.errors import Busy, Unsupported
from common.guests.guest_content import DiskSource, GuestContent
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.rpc.commands.host_commands import MAX_CALL_S
from rackd.drivers.disk_moves import check_off
from rackd.drivers.driver_errors import disk_not_found
from rackd.drivers.lxd.connection.client import path
from rackd.drivers.lxd.connection.failures import Conflict
from rackd.drivers.lxd.guests import cloud_init, instance_config
from rackd.drivers.lxd.guests.disks import disk_moves, root_moves, volumes
from rackd.drivers.lxd.guests.disks.attached_disks import device_of, is_root, source_of, volumes_of
from rackd.drivers.lxd.guests.instances import Instances, name_taken
from rackd.drivers.lxd.guests.project_limits import limits_as_capacity
from rackd.drivers.lxd.inventory.boot_order import Device
from rackd.drivers.lxd.inventory.ownership import GENERATION_KEY, Json
from rackd.drivers.lxd.inventory.power_states import power_of

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_HIDDEN = {"type": "none"}


@frozen(kw_only=True)
class Source:
    """The instance to copy, as it was found."""

    instances: Instances
    found: Json
    content: GuestContent

    @classmethod
    def of(cls, instances: Instances, content: GuestContent) -> Source:
        """Raises NotFound without the instance or a disk, WrongState unless it is off, and Unsupported."""
        found = root_moves.settled(instances, content.source)
        source = cls(instances=instances, found=found, content=content)
        source.check_off()
        for number, disk in enumerate(content.disks):
            if disk is not None and is_root(source.device(disk)) is not (number == 0):
                raise Unsupported(
                    f"{instances.product} copies the root disk of {source.name} only to a root disk.",
                    volume=disk.volume,
                )
        return source

    @property
    def name(self) -> str:
        return str(self.found["name"])

    def check_off(self) -> None:
        check_off(self.name, power_of(int(self.found["status_code"])))

    def device(self, disk: DiskSource) -> Device:
        name = device_of(self.found, disk.pool_id, disk.volume)
        if name is None:
            raise disk_not_found(self.name, disk.volume, volumes_of(self.found))
        entry: Device = self.found["expanded_devices"][name]
        return entry

    def copy_volumes(self, disks: Iterable[DiskSpec], created: list[volumes.CreatedVolume]) -> None:
        """Makes the volumes of `disks`, the further ones of the new instance, instead of those that exist. Appends each
        to `created` before it is made, so that it can be undone.
        """
        client, scope = self.instances.client, self.instances.scope
        for disk, original in zip(disks, self.content.disks[1:], strict=True):
            disk_moves.delete_incomplete(client, scope, disk)
            created.append(volumes.CreatedVolume(pool=disk.pool_id, name=disk.volume, location=scope.member or ""))
            if original is None:
                volumes.create(client, [disk], scope, created=[])
                continue
            source = source_of(self.found, original.volume)
            disk_moves.check_only_user(
                client, self.instances.scope_of(self.found), self.found, original.pool_id, source
            )
            disk_moves.copy_volume(client, scope, original.pool_id, source, disk)
            where = path("storage-pools", disk.pool_id, "volumes", "custom", disk.volume)
            size = {"config": {"size": str(disk.size_bytes)}}
            client.patch(where, size, project=scope.project, target=scope.member or "")
            log.info("disk_copied", guest=self.name, volume=source, copy=disk.volume, pool=disk.pool_id)

    def create(self, spec: GuestSpec, attempt: str, prerequisites: instance_config.Prerequisites) -> None:
        """Creates the marked, incomplete instance. Raises NameTaken if another instance was created first, and Busy if
        the source was started while it was copied.
        """
        client, scope = self.instances.client, self.instances.scope
        body = self._body(spec, attempt, prerequisites)
        root = lxd_root(body["devices"])
        hidden = {name: _HIDDEN for name in self.found.get("devices") or {}}
        copy = {"type": "copy", "source": self.name, "instance_only": True}
        size = {"size": str(self._root_bytes(spec))}  # it grows only as a disk of a complete instance
        first = {
            **body,
            "config": {**body["config"], GENERATION_KEY: ""},
            "source": copy,
            "devices": {**hidden, root: {**body["devices"][root], **size}},
        }
        try:
            with limits_as_capacity(), self.instances.independent_volumes(self.found):
                client.post("instances", first, wait_s=MAX_CALL_S, project=scope.project, target=scope.member or "")
        except Conflict as error:
            raise name_taken(spec.name) from error
        self._check_unchanged()
        made, etag = client.get_with_etag(path("instances", spec.name), project=scope.project)
        volatile = {key: text for key, text in made["config"].items() if key.startswith("volatile.")}
        own = {**volatile, **body["config"]}
        put = instance_config.changed(made, config=own, devices=body["devices"])
        client.put(path("instances", spec.name), put, etag=etag, project=scope.project)
        log.info("guest_copied", guest=self.name, copy=spec.name)

    def _body(
        self, spec: GuestSpec, attempt: str, prerequisites: instance_config.Prerequisites
    ) -> dict[str, Any]:  # fmt: skip
        body = self.instances.body_of(spec, attempt, prerequisites)
        if self.content.seed is None:
            return body
        keys = cloud_init.config_of(self.content.seed, self.instances.capabilities)
        devices: Mapping[str, Any] = {
            **body["devices"], instance_config.CLOUD_INIT: instance_config.CLOUD_INIT_DISK
        }  # fmt: skip
        return {**body, "config": {**body["config"], **keys}, "devices": devices}

    def _root_bytes(self, spec: GuestSpec) -> int:
        """Returns the size of the source's root disk; without a size in its device, that of the copy."""
        roots = [entry for entry in self.found["expanded_devices"].values() if is_root(entry)]
        text = roots[0].get("size", "") if roots else ""
        return int(text) if text.isdecimal() else spec.disks[0].size_bytes

    def _check_unchanged(self) -> None:
        now = self.instances.read(self.name)
        check_off(self.name, power_of(int(now["status_code"])))
        if now.get("last_used_at") != self.found.get("last_used_at"):
            raise Busy(f"{self.name} was started while its disks were copied. They are copied again.")


def lxd_root(devices: Mapping[str, Device]) -> str:
    """Returns the name of the device of the root disk."""
    return next(name for name, device in devices.items() if is_root(device))
