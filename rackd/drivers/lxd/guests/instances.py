"""Finds, creates, completes, changes and deletes single instances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from attrs import evolve, frozen

from common.errors import DriverFailed, NameTaken, NotFound
from common.guests.guest_spec import GuestSpec
from common.values import Guest, GuestRef, OwnershipMarker
from rackd.drivers.driver_errors import required_guest
from rackd.drivers.lxd.connection.capabilities import UNKNOWN, Capabilities
from rackd.drivers.lxd.connection.client import Client, Json, Scope, path
from rackd.drivers.lxd.connection.failures import Conflict
from rackd.drivers.lxd.guests import instance_config
from rackd.drivers.lxd.inventory.guests import function_ports, guest_of
from rackd.drivers.lxd.inventory.operation_subjects import instances_of, is_console
from rackd.drivers.lxd.inventory.ownership import MACHINE_KEY, NO_UUID, UUID_KEY, config_of, id_of, marker_of
from rackd.drivers.lxd.inventory.reader import check_readable
from rackd.drivers.lxd.inventory.removal_facts import dependent_devices
from rackd.drivers.lxd.inventory.server_memory import total_bytes_for
from rackd.drivers.lxd.inventory.volume_index import Volume, VolumeIndex, parse_volume

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen(kw_only=True)
class Instances:
    """The instances in one scope."""

    client: Client
    scope: Scope
    capabilities: Capabilities = UNKNOWN

    @property
    def product(self) -> str:
        """The server's product, for messages."""
        return self.capabilities.dialect.product

    def candidates(self, *, name: str, marker: OwnershipMarker) -> list[Json]:
        """Returns those that have the name or may carry the marker, in one request."""
        wanted = f"name eq {name} or config.{MACHINE_KEY} eq {marker.machine_id}"
        found: list[Json] = self.client.get(
            "instances", recursion="1", project=self.scope.project, filter=wanted if _is_filterable(name) else ""
        )
        machine = str(marker.machine_id)
        return [one for one in found if one["name"] == name or config_of(one).get(MACHINE_KEY) == machine]

    def by_id(self, guest_id: str, name: str) -> Json | None:
        """Returns the instance with this id, whatever its marker; `name` only speeds up the search."""
        wanted = f"name eq {name} or config.{UUID_KEY} eq {guest_id}"
        plain = _is_filterable(name) and _is_filterable(guest_id)
        found = self.client.get("instances", recursion="1", project=self.scope.project, filter=wanted if plain else "")
        same = [one for one in found if id_of(one) == guest_id]  # a restored backup has the id of its original
        return min(same, key=lambda one: (one["name"] != name, one["name"]), default=None)

    def marked(self, *, name: str, marker: OwnershipMarker) -> Json | None:
        """Returns the instance with the marker; if a copy also carries it, the one with this name.

        Raises HostUnreachable if an unresponsive cluster member has one with this name, or may have the only one.
        """
        return next(iter(self.all_marked(name=name, marker=marker)), None)

    def all_marked(self, *, name: str, marker: OwnershipMarker) -> list[Json]:
        """Returns those with the marker, also placeholders and copies; first the one with this name. Raises as `marked`
        does.
        """
        candidates = self.candidates(name=name, marker=marker)
        if self.scope.member is not None:
            check_readable(candidates, None)  # a restored backup elsewhere is not taken for the one of this name
        found = _with_marker(candidates, name, marker)
        if not found and self.scope.member is not None:
            check_readable(self.client.get("instances", recursion="1", project=self.scope.project), None)
        return found

    def of_machine(self, guest: GuestRef) -> Json:
        """Returns the instance as `marked` does. Raises NotFound without one."""
        return required_guest(self.marked(name=guest.name, marker=guest.marker), guest)

    def marked_here(self, *, name: str, marker: OwnershipMarker) -> Json | None:
        """Returns the instance as `marked` does, but treats unresponsive cluster members as having none."""
        return next(iter(self.all_marked_here(name=name, marker=marker)), None)

    def all_marked_here(self, *, name: str, marker: OwnershipMarker) -> list[Json]:
        return _with_marker(self.candidates(name=name, marker=marker), name, marker)

    def guest(
        self,
        instance: Json,
        addresses: Mapping[str, tuple[str, ...]] | None = None,
        snapshots: tuple[str, ...] = (),
    ) -> Guest:
        """Returns one guest with all details, in one request per custom volume and per network. `addresses` has those
        that it has now, by MAC address; `snapshots` are those of the instance.
        """
        volumes: list[Volume] = []
        for device in (instance.get("expanded_devices") or {}).values():
            pool, source = device.get("pool"), device.get("source")
            if device.get("type") == "disk" and pool and source:
                response = self.client.find(
                    path("storage-pools", pool, "volumes", "custom", source),
                    project=self.scope.project,
                    target=self._member(instance),
                )
                volumes += [] if response is None else [parse_volume(response, pool)]
        home = volumes[0].project if volumes else self.scope.project
        networks = self._networks(instance)
        index = VolumeIndex.of(volumes, {self.scope.project: home}, self._pool_of_root(instance))
        return guest_of(
            instance, index, function_ports(networks), addresses, can=self.capabilities,
            snapshots=snapshots, memory_total_bytes=self.memory_total_bytes(instance),
        )[0]  # fmt: skip

    def plain_guest(self, instance: Mapping[str, Any]) -> Guest:
        """Returns the guest with its root disk as the only one, and with NICs of networks as if these were unknown."""
        return guest_of(
            instance, VolumeIndex.of((), {}, self._pool_of_root(instance)), can=self.capabilities,
            memory_total_bytes=self.memory_total_bytes(instance),
        )[0]  # fmt: skip

    def memory_total_bytes(self, instance: Mapping[str, Any]) -> int:
        """Returns the memory of the server, 0 if that of the instance is no percentage of it."""
        return total_bytes_for(self.client, [dict(instance)], self._member(instance), None, self.capabilities)

    def _pool_of_root(self, instance: Mapping[str, Any]) -> list[Json]:
        """Returns the storage pool of a root disk that has no size of its own, but that which the pool gives it."""
        devices = (instance.get("expanded_devices") or {}).values()
        pools = [one["pool"] for one in devices if one.get("path") == "/" and one.get("pool") and not one.get("size")]
        return [self.client.get(path("storage-pools", pool)) for pool in pools]

    def _networks(self, instance: Json) -> list[Json]:
        """Returns LXD's networks of its NICs, as far as the certificate may see them."""
        devices = (instance.get("expanded_devices") or {}).values()
        names = {device["network"] for device in devices if device.get("type") == "nic" and device.get("network")}
        found = (
            self.client.find(path("networks", name), project=self.scope.project, target=self._member(instance))
            for name in sorted(names)
        )
        return [response for response in found if response is not None]

    def _member(self, instance: Mapping[str, Any]) -> str:
        return "" if self.scope.member is None else str(instance.get("location") or "")

    def scope_of(self, instance: Mapping[str, Any]) -> Scope:
        """Returns the scope in which the volumes of an instance are: in a cluster that of its own member."""
        return evolve(self.scope, member=self._member(instance) or None)

    def wait_while_busy(self, name: str) -> bool:
        """Waits for a running LXD operation on the instance, such as one of another rack. Returns whether there was
        one.
        """
        operations = self.client.get("operations", recursion="1", project=self.scope.project)
        for operation in (operations or {}).get("running") or ():
            if name in instances_of(operation) and not is_console(operation):
                self.client.wait(str(operation["id"]))
                return True
        return False

    def create(self, spec: GuestSpec, attempt: str, prerequisites: instance_config.Prerequisites) -> None:
        """Creates the marked, incomplete instance. Raises NameTaken if another instance was created first."""
        body = self.body_of(spec, attempt, prerequisites)
        try:
            self.client.post("instances", body, project=self.scope.project, target=self.scope.member or "")
        except Conflict as error:
            raise name_taken(spec.name) from error

    def body_of(
        self, spec: GuestSpec, attempt: str, prerequisites: instance_config.Prerequisites
    ) -> dict[str, Any]:  # fmt: skip
        """Returns the body of the request that creates the instance."""
        profile = self.client.find(path("profiles", instance_config.PROFILE), project=self.scope.project)
        return instance_config.instance_of(spec, profile=profile, attempt=attempt, prerequisites=prerequisites)

    def complete(self, name: str) -> Json:
        """Records the instance as complete and returns its current state. Idempotent."""
        instance = self.read(name)
        body = instance_config.completion(config_of(instance).get(UUID_KEY, NO_UUID))
        self.patch(name, {**body, "description": instance.get("description") or ""})
        return self.read(name)

    def read(self, name: str) -> Json:
        found: Json = self.client.get(path("instances", name), project=self.scope.project)
        return found

    def delete(self, name: str) -> None:
        """Deletes an instance that is off, and none of its custom volumes. Idempotent."""
        try:
            self.keep_volumes(name)
            self.client.delete(path("instances", name), project=self.scope.project)
        except NotFound:
            log.info("guest_already_deleted", guest=name)

    def keep_volumes(self, name: str) -> None:
        """Makes volumes that the server would delete with the instance independent of it. Idempotent."""
        if not self.capabilities.dependent_disks:
            return
        kept = dependent_devices(self.read(name))
        if kept:
            self.change(name, devices=kept, config={})
            log.info("volumes_made_independent", guest=name, devices=sorted(kept))

    @contextmanager
    def independent_volumes(self, found: Mapping[str, Any]) -> Iterator[None]:
        """Lets the server copy the instance without the volumes that depend on it, which it would copy along."""
        own: Mapping[str, Mapping[str, str]] = found.get("devices") or {}
        dependent = {name: own[name] for name in dependent_devices(found) if name in own}
        name = str(found["name"])
        if dependent:
            self.keep_volumes(name)
        try:
            yield
        finally:
            if dependent:
                self.change(name, devices=dependent, config={})

    def change(self, name: str, *, devices: Mapping[str, Mapping[str, str]], config: Mapping[str, str]) -> None:
        """Adds or replaces these devices and changes these keys in one step. Idempotent.

        LXD replaces a device of a running instance by unplugging it, and fails after a change of keys if the guest has
        no agent.
        """
        self.patch(name, {"devices": devices, "config": config})

    def patch(self, name: str, body: Mapping[str, Any], *, etag: str = "") -> None:
        """Changes what `body` has, and nothing else: LXD and older Incus remove a description that a PATCH lacks."""
        if "description" not in body:
            body = {**body, "description": self.read(name).get("description") or ""}
        self.client.patch(path("instances", name), body, etag=etag, project=self.scope.project)

    def change_config(self, name: str, config: Mapping[str, str], *, etag: str = "") -> None:
        """Changes these keys; an empty value deletes a key. Idempotent.

        With the `etag` of an earlier read, raises PreconditionFailed after another change.
        """
        try:
            self.patch(name, {"config": config}, etag=etag)
        except DriverFailed as error:
            # LXD changes the config, then fails if a running guest has no agent to notify.
            current = config_of(self.read(name))
            if any(current.get(key, "") != text for key, text in config.items()):
                raise
            log.info("guest_agent_not_notified", guest=name, reason=str(error))


def _with_marker(candidates: Iterable[Json], name: str, marker: OwnershipMarker) -> list[Json]:
    found = [one for one in candidates if marker_of(one) == marker]
    return sorted(found, key=lambda one: (one["name"] != name, one["name"]))


def _is_filterable(name: str) -> bool:
    """Returns whether the name can be used in a filter, where spaces and brackets have a meaning."""
    return name.replace("-", "").isalnum()


def name_taken(name: str) -> NameTaken:
    return NameTaken(f"The host already has an instance named {name} that belongs to no or another machine.", name=name)
