"""One instance at a time: found by its mark, made, finished, removed."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog
from attrs import frozen

from common.errors import DriverFailed, NameTaken, NotFound
from common.values import Guest, GuestSpec, Mark
from rackd.drivers.lxd import definition
from rackd.drivers.lxd.client import Client, Conflict, Json, path
from rackd.drivers.lxd.guests import (
    MACHINE,
    UNNAMED,
    UUID_KEY,
    Volume,
    Volumes,
    config_of,
    function_ports,
    guest_of,
    id_of,
    mark_of,
    volume_of,
)
from rackd.drivers.lxd.survey import Place, check_readable

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen(kw_only=True)
class Instances:
    """The instances of one project."""

    client: Client
    place: Place
    extensions: frozenset[str] = frozenset()  # of the server's API

    def like(self, *, name: str, mark: Mark) -> list[Json]:
        """Those that have the name or might carry the mark, in one request."""
        wanted = f"name eq {name} or config.{MACHINE} eq {mark.machine_id}"
        found: list[Json] = self.client.get(
            "instances", recursion="1", project=self.place.project, filter=wanted if _is_plain(name) else ""
        )
        machine = str(mark.machine_id)
        return [one for one in found if one["name"] == name or config_of(one).get(MACHINE) == machine]

    def of_id(self, guest_id: str, name: str) -> Json | None:
        """The one with that id, which is most likely called so; whatever its mark is."""
        wanted = f"name eq {name} or config.{UUID_KEY} eq {guest_id}"
        plain = _is_plain(name) and _is_plain(guest_id)
        found = self.client.get("instances", recursion="1", project=self.place.project, filter=wanted if plain else "")
        return next((one for one in found if id_of(one) == guest_id), None)

    def marked(self, *, name: str, mark: Mark) -> Json | None:
        """The one that carries the mark; that of the given name when a copy carries it too.

        HostUnreachable when there is none, but a member of the cluster that may have it does not answer.
        """
        found = self.marked_here(name=name, mark=mark)
        if found is None and self.place.member is not None:
            check_readable(self.client.get("instances", recursion="1", project=self.place.project), None)
        return found

    def marked_here(self, *, name: str, mark: Mark) -> Json | None:
        """As `marked`, for those who may go on when it cannot be told."""
        found = [one for one in self.like(name=name, mark=mark) if mark_of(one) == mark]
        return min(found, key=lambda one: (one["name"] != name, one["name"]), default=None)

    def guest(self, instance: Json) -> Guest:
        """In full: with one request for each disk that is a volume of its own, for its size, and for each network."""
        volumes: list[Volume] = []
        for device in (instance.get("expanded_devices") or {}).values():
            pool, source = device.get("pool"), device.get("source")
            if device.get("type") == "disk" and pool and source:
                told = self.client.find(
                    path("storage-pools", pool, "volumes", "custom", source),
                    project=self.place.project,
                    target=self._member(instance),
                )
                volumes += [] if told is None else [volume_of(told, pool)]
        home = volumes[0].project if volumes else self.place.project
        networks = self._networks(instance)
        return guest_of(instance, Volumes.of(volumes, {self.place.project: home}), function_ports(networks))[0]

    def _networks(self, instance: Json) -> list[Json]:
        """Those of LXD that it has cards on, as far as we are shown them."""
        devices = (instance.get("expanded_devices") or {}).values()
        names = {device["network"] for device in devices if device.get("type") == "nic" and device.get("network")}
        found = (
            self.client.find(path("networks", name), project=self.place.project, target=self._member(instance))
            for name in sorted(names)
        )
        return [told for told in found if told is not None]

    def _member(self, instance: Json) -> str:
        return "" if self.place.member is None else str(instance.get("location") or "")

    def wait_while_busy(self, name: str) -> bool:
        """Whether LXD was making or removing it, for somebody else or a rack that is gone; that is over now."""
        under_way = self.client.get("operations", recursion="1", project=self.place.project)
        for operation in (under_way or {}).get("running") or ():
            urls = (operation.get("resources") or {}).get("instances") or ()
            if any(urlsplit(str(url)).path.rpartition("/")[2] == name for url in urls):
                self.client.wait(str(operation["id"]))
                return True
        return False

    def make(self, spec: GuestSpec, attempt: str, ground: definition.Ground) -> None:
        """Half made and marked. Raises NameTaken when an instance that is not this machine's came first."""
        has_profile = self.client.find(path("profiles", definition.PROFILE), project=self.place.project) is not None
        body = definition.instance_of(spec, has_profile=has_profile, attempt=attempt, ground=ground)
        try:
            self.client.post("instances", body, project=self.place.project, target=self.place.member or "")
        except Conflict as error:
            raise name_taken(spec.name) from error

    def finish(self, name: str) -> Json:
        """Nothing is missing any more; the instance as it is then."""
        instance = self.read(name)
        self.client.patch(
            path("instances", name),
            definition.finished(config_of(instance).get(UUID_KEY, UNNAMED)),
            project=self.place.project,
        )
        return self.read(name)

    def read(self, name: str) -> Json:
        found: Json = self.client.get(path("instances", name), project=self.place.project)
        return found

    def remove(self, name: str) -> None:
        """Of one that is switched off. Gone already is success."""
        try:
            self.client.delete(path("instances", name), project=self.place.project)
        except NotFound:
            log.info("guest_was_gone", guest=name)

    def change_config(self, name: str, config: Mapping[str, str]) -> None:
        """Change keys of `user.innkeeper`; an empty text takes a key away."""
        try:
            self.client.patch(path("instances", name), {"config": config}, project=self.place.project)
        except DriverFailed as error:
            # LXD changes it, tells the agent inside a running guest, and fails when the guest has none.
            there = config_of(self.read(name))
            if any(there.get(key, "") != text for key, text in config.items()):
                raise
            log.info("guest_was_not_told_of_its_mark", guest=name, reason=str(error))


def _is_plain(name: str) -> bool:
    """Whether it can stand in a filter, where blanks and brackets have a meaning."""
    return name.replace("-", "").isalnum()


def name_taken(name: str) -> NameTaken:
    return NameTaken(f"The host has an instance named {name} already, and it is not this machine's.", name=name)
