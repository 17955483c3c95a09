"""The libvirt driver: the contract of `rackd/drivers/contract.py`, kept with libvirt's calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

import structlog
from attrs import evolve

from common.discovery import Discovery, VolumeRef
from common.errors import DriverFailed, InnkeeperError, InvalidRequest, NameTaken, NotFound, Unsupported
from common.values import Guest, GuestChange, GuestRef, GuestSpec, Mark, PowerAction, PowerState
from rackd.drivers.libvirt import definition, facts, functions, guests, power, reservations, seed, storage, unused
from rackd.drivers.libvirt.addresses import Delivery, Reservation
from rackd.drivers.libvirt.attachments import check_attachments
from rackd.drivers.libvirt.client import BulkDomain, Client
from rackd.drivers.libvirt.cpu import check_host
from rackd.drivers.libvirt.defined import FunctionPorts
from rackd.drivers.libvirt.definitions import Definitions, Told
from rackd.drivers.libvirt.handles import Domain, Volume
from rackd.drivers.libvirt.session import Session
from rackd.drivers.libvirt.trees import Element, parse, text_at
from rackd.drivers.libvirt.watching import Watch
from rackd.drivers.plain import Plain
from rackd.drivers.refusals import no_such_copy

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class LibvirtDriver(Plain):
    """One libvirt host. A domain of ours has the machine's id as its UUID and the mark in its metadata; the metadata
    is read from the one domain that is meant before anything is done to it."""

    kind = "libvirt"

    def __init__(self, connect: Callable[[], Client], installation_id: UUID) -> None:
        """`connect` opens a connection; nothing is opened before the first call."""
        self._installation_id = installation_id
        self._session = Session(connect)
        self._watches: set[Watch] = set()
        self._definitions: tuple[Client, Definitions] | None = None
        self._offered: tuple[Client, facts.HostTraits, definition.Offer] | None = None

    def reach(self) -> str:
        return facts.version_text(self._session.client().lib_version())

    def discover(self) -> Discovery:
        client = self._session.client()
        before = client.calls
        definitions = self._definitions_of(client)
        answers = client.host()
        pools, problems = facts.pools_of(answers)
        domains = client.all_domains()
        told = definitions.of(domains)
        found = guests.listing(
            (domain for domain in domains if domain.uuid not in told.gone),
            guests.PoolPaths.of(pools),
            self._installation_id,
            told.definitions,
            FunctionPorts.of(answers),
        )
        listed = self._volume_names(client, pools, domains, told)
        return Discovery(
            facts=facts.facts_of(answers, pools, found.used_bytes),
            guests=found.guests,
            problems=(*problems, *told.problems, *found.problems),
            calls=client.calls - before,
            unused_volumes=unused.unused_volumes(listed, told.definitions.values()),
            volumes_told=tuple(sorted(listed)),
        )

    def _volume_names(
        self, client: Client, pools: Iterable[Element], domains: Iterable[BulkDomain], told: Told
    ) -> Mapping[str, tuple[str, ...]]:
        """Nothing while a guest's definition is not known: any volume might be that guest's."""
        if any(domain.uuid not in told.definitions and domain.uuid not in told.gone for domain in domains):
            return {}
        return client.volume_names({text_at(pool, "uuid") for pool in pools})

    def _definitions_of(self, client: Client) -> Definitions:
        """Kept for as long as the connection, whose events they need."""
        if self._definitions is None or self._definitions[0] is not client:
            self._definitions = client, Definitions(client)
        return self._definitions[1]

    def find(self, guest: GuestRef) -> Guest | None:
        client = self._session.client()
        domain = self._marked(client, guest)
        return None if domain is None else self._guest(client, domain)

    def compose(self, spec: GuestSpec) -> Guest:
        client = self._session.client()
        traits, offer = self._offer(client)
        definition.check(spec, traits)
        there = client.domain(str(spec.mark.machine_id))
        if there is not None:  # its disks were made before it, so only what follows may be missing
            guest = self._our_own(client, there, spec)
            reservations.hold(client, guests.reservations_of_definition(parse(there.xml(), f"the guest {spec.name}")))
            there.set_autostart()
            return guest
        if client.domain_named(spec.name) is not None:
            raise NameTaken(f"The host has a guest named {spec.name} already.", name=spec.name)
        if spec.pinned_core_ids or spec.numa_node_ids or spec.huge_page_size_kib is not None:
            check_host(spec, facts.numa_nodes(client.capabilities()))
        check_attachments(client, spec)
        wanted = storage.places(client, spec)
        delivery, chosen = reservations.delivery_of(client, spec), functions.choose(client, spec)
        volumes: list[Volume] = []
        domain = None
        try:
            made = evolve(self._make(wanted, delivery, spec, volumes), functions=chosen)
            domain = self._define(client, spec, definition.domain_xml(spec, made, traits, offer))
            functions.check_still_free(client, spec, chosen)
            reservations.hold(client, made.reservations)
            domain.set_autostart()
            guest = self._guest(client, domain)
        except BaseException:
            undo(client, spec, domain, volumes, delivery.reservations)
            raise
        log.info("guest_defined", guest=spec.name, cores=spec.cores, memory_mib=spec.memory_mib, disks=len(made.disks))
        return guest

    def _make(
        self, wanted: list[storage.Place], delivery: Delivery, spec: GuestSpec, volumes: list[Volume]
    ) -> definition.Made:
        disks = storage.make(wanted, volumes)
        image = None
        if delivery.network_config is not None:
            content = seed.image(seed.files(spec, delivery.network_config))
            image = storage.make_seed(wanted[0], spec.mark, content, volumes)
        return definition.Made(disks=disks, seed=image, reservations=delivery.reservations)

    def decompose(
        self, guest: GuestRef, volumes: tuple[tuple[str, str], ...] = (), mac_addresses: tuple[str, ...] = ()
    ) -> None:
        client = self._session.client()
        named = set(volumes)
        domain = client.domain(str(guest.mark.machine_id))
        if domain is not None:
            tree = parse(domain.xml(), f"the guest {domain.name}")
            if guests.mark_of_definition(tree) != guest.mark:
                log.warning("guest_without_our_mark_left", guest=domain.name)
                return
            paths = self._pool_paths(client)
            named |= {made for made in map(paths.place_of, guests.disk_paths(tree).values()) if made is not None}
            reservations.release(client, guests.reservations_of_definition(tree))
            self._remove(domain)
        elif mac_addresses:
            reservations.release(client, reservations.held_for(client, mac_addresses))
        in_use = {path for other in client.all_domains() for path in guests.paths_of(other.stats)}
        storage.remove(client, guest.mark, named, in_use)

    def remove_volumes(self, mark: Mark, volumes: Iterable[VolumeRef]) -> None:
        unused.remove_unused(self._session.client(), mark, volumes)

    def power(self, guest: GuestRef, action: PowerAction, *, grace_s: float) -> PowerState:
        domain = self._marked(self._session.client(), guest)
        if domain is None:
            raise NotFound(f"The host has no guest {guest.name} of ours (id {guest.mark.machine_id}).", name=guest.name)
        return power.switch(domain, action, grace_s=grace_s, closing=self._session.closing)

    def adopt(self, guest_id: str, name: str, mark: Mark) -> Guest:
        """Raises Unsupported for a domain without a definition of its own: it could never be started again."""
        client = self._session.client()
        domain = client.domain(guest_id)
        if domain is None:
            raise NotFound(f"The host has no guest {name} (id {guest_id}).", name=name)
        if domain.uuid != str(mark.machine_id):
            raise InvalidRequest(f"{domain.name} has the id {domain.uuid}, so it cannot be machine {mark.machine_id}.")
        if not domain.is_persistent():
            raise Unsupported(f"{domain.name} is transient: it is gone once it is switched off. Define it first.")
        marks = marks_of(domain)
        if marks - {mark, None}:
            raise NameTaken(f"{domain.name} carries another mark already.", name=name)
        if None in marks:
            domain.set_mark(definition.mark_element(mark), guests.MARK_NAMESPACE)
            log.info("guest_marked", guest=domain.name)
        return self._guest(client, domain)

    def disown(self, guest_id: str, name: str, mark: Mark, *, exactly: bool = False) -> None:
        domain = self._session.client().domain(str(mark.machine_id))
        carried = set() if domain is None else marks_of(domain)
        named = domain is not None and (domain.uuid, domain.name) == (guest_id, name)
        if exactly and not (named and (mark in carried or carried == {None})):
            raise no_such_copy(name, mark)
        if domain is not None and mark in carried:
            domain.set_mark(None, guests.MARK_NAMESPACE)
            log.info("guest_unmarked", guest=domain.name)

    def watch(self, notify: Callable[[GuestChange], None]) -> Callable[[], None]:
        watch = Watch(self._session, notify)
        self._watches.add(watch)

        def stop() -> None:
            watch.stop()
            self._watches.discard(watch)

        return stop

    def close(self) -> None:
        self._session.closing.set()
        for watch in tuple(self._watches):
            watch.stop()
        self._watches.clear()
        self._session.close()

    def _offer(self, client: Client) -> tuple[facts.HostTraits, definition.Offer]:
        """Read once per connection: it changes only with the host's software."""
        if self._offered is None or self._offered[0] is not client:
            traits = facts.traits_of(client.host())
            described = client.domain_capabilities(traits.kernel_architecture, traits.domain_type)
            self._offered = client, traits, definition.Offer.of(described, traits)
        return self._offered[1:]

    def _marked(self, client: Client, guest: GuestRef) -> Domain | None:
        domain = client.domain(str(guest.mark.machine_id))
        if domain is None:
            return None
        mark = guests.mark_of_definition(parse(domain.xml(), f"the guest {domain.name}"))
        return domain if mark == guest.mark else None

    def _our_own(self, client: Client, domain: Domain, spec: GuestSpec) -> Guest:
        guest = self._guest(client, domain)
        if guest.mark != spec.mark:
            raise NameTaken(
                f"The host has a guest {guest.name} with the id {guest.guest_id} that was meant for {spec.name}, "
                "but not our mark.",
                name=spec.name,
            )
        return guest

    def _guest(self, client: Client, domain: Domain) -> Guest:
        return guests.guest_of_definition(domain.xml(), domain.stats(), self._pool_paths(client))

    def _pool_paths(self, client: Client) -> guests.PoolPaths:
        return guests.PoolPaths.of(parse(xml, "a storage pool") for xml in client.pools())

    def _define(self, client: Client, spec: GuestSpec, xml: str) -> Domain:
        try:
            return client.define(xml, spec.name)
        except DriverFailed as error:
            taken = client.domain_named(spec.name)
            if taken is not None and taken.uuid != str(spec.mark.machine_id):  # it came since we looked
                raise NameTaken(f"The host has a guest named {spec.name} already.", name=spec.name) from error
            raise

    def _remove(self, domain: Domain) -> None:
        try:
            power.switch(domain, PowerAction.FORCE_OFF, grace_s=0.0, closing=self._session.closing)
            domain.undefine()
        except NotFound:
            log.info("guest_was_gone", guest=domain.name)


def marks_of(domain: Domain) -> set[Mark | None]:
    """What the definition carries, and what the domain carries as it runs."""
    what = f"the guest {domain.name}"
    return {guests.mark_of_definition(parse(xml, what)) for xml in (domain.xml(), domain.definition())}


def undo(
    client: Client, spec: GuestSpec, domain: Domain | None, made: list[Volume], held: Iterable[Reservation] = ()
) -> None:
    """As far as the host lets us. Volumes stay when the guest does, also one that another rack defined meanwhile."""
    try:
        if domain is not None:
            reservations.release(client, held)
            domain.undefine()
        if client.domain(str(spec.mark.machine_id)) is None:
            storage.undo(made)
    except InnkeeperError as error:
        log.warning("guest_left_behind", guest=spec.name, volumes=len(made), reason=str(error))
