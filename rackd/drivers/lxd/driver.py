"""The LXD driver: the contract of `rackd/drivers/contract.py`, kept with LXD's REST API."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from uuid import uuid4

import structlog
from attrs import evolve

from common.discovery import Discovery, VolumeRef
from common.errors import DriverFailed, InnkeeperError, NameTaken, NotFound, NotTrusted, Unsupported
from common.values import Guest, GuestChange, GuestRef, GuestSpec, Mark, PowerAction, PowerState, Project
from rackd.drivers.lxd import definition, facts, fitness, storage, trust
from rackd.drivers.lxd.client import Client, Conflict, NotAuthorized, path
from rackd.drivers.lxd.guests import MADE, UNNAMED, UUID_KEY, VM, config_of, homes_of, is_half_made, mark_of
from rackd.drivers.lxd.instances import Instances, name_taken
from rackd.drivers.lxd.power import Switch
from rackd.drivers.lxd.survey import Place, guests_of, marked_elsewhere, survey, unused_volumes
from rackd.drivers.lxd.watching import Watch
from rackd.drivers.refusals import no_such_copy

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class LxdDriver:
    """One project of one LXD server, or of one member of a cluster. Contacts nothing before the first call."""

    def __init__(
        self, client: Client, place: Place, *, own_pem: str, pinned_pem: str, closing: threading.Event
    ) -> None:
        self._client = client
        self._wanted = place
        self._own_pem, self._pinned_pem = own_pem, pinned_pem
        self._closing = closing
        self._instances: Instances | None = None
        self._watches: set[Watch] = set()

    def reach(self) -> str:
        server = self._client.server()
        facts.check_usable(server, self._client.address.normalised)
        return str(server["environment"]["server_version"])

    def discover(self) -> Discovery:
        self._ready()
        before = self._client.calls
        answers = survey(self._client, self._wanted)
        guests, problems = guests_of(answers)
        return Discovery(
            facts=facts.facts_of(answers, guests),
            guests=tuple(guests),
            elsewhere=tuple(marked_elsewhere(answers)),
            problems=tuple(problems),
            calls=self._client.calls - before,
            unused_volumes=tuple(sorted(unused_volumes(answers), key=lambda one: (one.pool_id, one.project, one.name))),
            volumes_told=tuple(answers.volumes_told),
        )

    def find(self, guest: GuestRef) -> Guest | None:
        instances = self._ready()
        found = instances.marked(name=guest.name, mark=guest.mark)
        return None if found is None else instances.guest(found)

    def compose(self, spec: GuestSpec) -> Guest:
        instances = self._ready()
        self._need_project()
        # A member that is offline is no reason to make nothing on the others.
        found = instances.marked_here(name=spec.name, mark=spec.mark)
        if found is not None and is_half_made(found):
            if instances.wait_while_busy(found["name"]):
                found = instances.marked_here(name=spec.name, mark=spec.mark)  # LXD may have been taking it away
            else:
                log.warning("half_made_guest_removed", guest=found["name"])
                self._remove(instances, found["name"])
                found = None
        if found is not None:
            return instances.guest(instances.finish(found["name"]) if is_half_made(found) else found)
        if self._client.find(path("instances", spec.name), project=instances.place.project) is not None:
            raise name_taken(spec.name)
        return self._make(instances, spec)

    def _make(self, instances: Instances, spec: GuestSpec) -> Guest:
        ground = self._check(instances, spec)
        made: list[storage.Made] = []
        attempt = uuid4().hex
        try:
            storage.make(self._client, spec.disks[1:], instances.place, made)
            instances.make(spec, attempt, ground)
            guest = instances.guest(instances.finish(spec.name))
        except BaseException as error:
            self._undo(instances, spec, attempt, made)
            if isinstance(error, DriverFailed | NotFound):
                self._check(instances, spec)  # a pool or network that vanished meanwhile is a better reason
            raise
        log.info("guest_defined", guest=spec.name, cores=spec.cores, memory_mib=spec.memory_mib, disks=len(spec.disks))
        return guest

    def _check(self, instances: Instances, spec: GuestSpec) -> definition.Ground:
        return fitness.check(self._client, spec, instances.place, instances.extensions)

    def _undo(self, instances: Instances, spec: GuestSpec, attempt: str, made: list[storage.Made]) -> None:
        """As far as the host lets us. Volumes stay when the guest does, also one that another rack made meanwhile."""
        try:
            there = instances.marked_here(name=spec.name, mark=spec.mark)  # it was made on no other member
            if there is not None and config_of(there).get(MADE) == definition.half_made(attempt):
                self._remove(instances, there["name"])
                there = None
            if there is None:
                storage.undo(self._client, made, instances.place)
        except InnkeeperError as error:
            log.warning("guest_left_behind", guest=spec.name, volumes=len(made), reason=str(error))

    def decompose(
        self, guest: GuestRef, volumes: tuple[tuple[str, str], ...] = (), mac_addresses: tuple[str, ...] = ()
    ) -> None:
        instances = self._ready()
        named = set(volumes)
        found = instances.marked(name=guest.name, mark=guest.mark)
        if found is not None:
            named |= {(disk.pool_id or "", disk.volume or "") for disk in instances.guest(found).disks}
            self._remove(instances, found["name"])
        storage.remove(self._client, guest.mark, named, instances.place)

    def remove_volumes(self, mark: Mark, volumes: Iterable[VolumeRef]) -> None:
        place = self._ready().place
        homes = homes_of(self._client.get("projects", recursion="1"))
        storage.remove_unused(self._client, mark, volumes, place, home=homes.get(place.project))

    def power(self, guest: GuestRef, action: PowerAction, *, grace_s: float) -> PowerState:
        instances = self._ready()
        found = instances.marked(name=guest.name, mark=guest.mark)
        if found is None:
            raise NotFound(f"The host has no guest {guest.name} of ours (id {guest.mark.machine_id}).", name=guest.name)
        return self._switch(instances, found["name"]).to(action, grace_s=grace_s)

    def adopt(self, guest_id: str, name: str, mark: Mark) -> Guest:
        instances = self._ready()
        found = instances.of_id(guest_id, name)
        if found is None:
            raise NotFound(f"The host has no instance {name} with the id {guest_id}.", name=name)
        if found.get("type") != VM:
            raise Unsupported(f"{found['name']} is a container: only virtual machines can be adopted.")
        there = mark_of(found)
        if there is not None and there != mark:
            raise NameTaken(f"{found['name']} carries the mark of machine {there.machine_id} already.", name=name)
        if there is None:
            other = instances.marked_here(name=name, mark=mark)
            if other is not None:
                raise NameTaken(f"{other['name']} carries the mark of machine {mark.machine_id} already.", name=name)
            made = {MADE: config_of(found).get(UUID_KEY, UNNAMED)}
            instances.change_config(found["name"], {**definition.mark_config(mark), **made})
            found = instances.read(found["name"])
        return instances.guest(found)

    def disown(self, guest_id: str, name: str, mark: Mark, *, exactly: bool = False) -> None:
        instances = self._ready()
        found = instances.marked(name=name, mark=mark)
        if exactly:
            found = instances.of_id(guest_id, name)
        if exactly and (found is None or found["name"] != name or mark_of(found) not in {mark, None}):
            raise no_such_copy(name, mark)
        if found is not None and mark_of(found) == mark:
            instances.change_config(found["name"], dict.fromkeys((*definition.mark_config(mark), MADE), ""))

    def projects(self) -> tuple[Project, ...]:
        """Those that our certificate may see; in a cluster with the guests of all members."""
        self._ready()
        answers = survey(self._client, evolve(self._wanted, project=self._any_project()))
        guests, _ = guests_of(evolve(answers, member=None))
        return facts.projects_of(answers.projects, guests)

    def _any_project(self) -> str:
        """The host's own, or where that is missing the first that we may see."""
        names = sorted(str(one["name"]) for one in self._client.get("projects", recursion="1"))
        return self._wanted.project if self._wanted.project in names or not names else names[0]

    def make_project(self, description: str) -> None:
        self.reach()
        name = self._wanted.project
        if self._has_project():
            return
        try:
            self._client.post("projects", {"name": name, "description": description, "config": {}})
        except Conflict:
            log.info("project_was_there", project=name)
        except NotAuthorized as error:
            raise NotTrusted(
                f"Our certificate is restricted and may not make the project '{name}'. On that server: "
                f"lxc project create {name}, and add it to the certificate's projects (lxc config trust edit)."
            ) from error

    def trust(self, certificate_pem: str, name: str, secret: str | None) -> None:
        trust.trust(
            self._client,
            own_pem=self._own_pem,
            pinned_pem=self._pinned_pem,
            certificate_pem=certificate_pem,
            name=name,
            secret=secret,
        )

    def untrust(self, fingerprint: str) -> None:
        self.reach()
        trust.untrust(self._client, fingerprint)

    def watch(self, notify: Callable[[GuestChange], None]) -> Callable[[], None]:
        watch = Watch(self._client, self._ready().place, notify)
        self._watches.add(watch)

        def stop() -> None:
            watch.stop()
            self._watches.discard(watch)

        return stop

    def close(self) -> None:
        self._closing.set()
        for watch in tuple(self._watches):
            watch.stop()
        self._watches.clear()
        self._client.close()

    def _ready(self) -> Instances:
        """Once for each driver: whether the server can do all this, and which member of a cluster is meant."""
        if self._instances is None:
            server = self._client.server()
            facts.check_usable(server, self._client.address.normalised)
            place = evolve(self._wanted, member=facts.member_of(server, self._wanted.member))
            extensions = frozenset(map(str, server.get("api_extensions", ())))
            self._instances = Instances(client=self._client, place=place, extensions=extensions)
        return self._instances

    def _has_project(self) -> bool:
        try:
            return self._client.find(path("projects", self._wanted.project)) is not None
        except NotAuthorized:
            self.reach()  # a certificate that is not trusted any more is no matter of projects
            return False  # LXD does not tell a restricted certificate which

    def _need_project(self) -> None:
        if not self._has_project():
            raise NotFound(
                f"LXD at {self._client.address.normalised} has no project '{self._wanted.project}' that our "
                "certificate may use.",
                project=self._wanted.project,
            )

    def _switch(self, instances: Instances, name: str) -> Switch:
        return Switch(client=self._client, name=name, project=instances.place.project, closing=self._closing)

    def _remove(self, instances: Instances, name: str) -> None:
        try:
            self._switch(instances, name).force_off()
            instances.remove(name)
        except NotFound:
            log.info("guest_was_gone", guest=name)
