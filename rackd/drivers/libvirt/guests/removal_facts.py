"""Finds what goes along with the domain of a machine, what stays, and what forbids its deletion."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set

from attrs import evolve, field, frozen

from common.disks.volume_names import marker_of_volume
from common.errors import NotFound
from common.removal_facts import RemovalFacts
from common.values import Guest
from rackd.drivers.libvirt.connection.client import Client, DomainTrait
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions.domain_config import DomainConfig, domain_config
from rackd.drivers.libvirt.definitions.volume_references import image_below, layers_of_snapshot
from rackd.drivers.libvirt.guests.disks.volume_users import VolumeUsers, users_in
from rackd.drivers.libvirt.guests.lookup import tree_of
from rackd.drivers.libvirt.inventory.pool_paths import PoolPaths
from rackd.drivers.libvirt.xml import Element, parse, text_at


@frozen(kw_only=True)
class Storage:
    """The paths of all storage pools of a host, and the names of those that are inactive, by id."""

    paths: PoolPaths
    inactive: Mapping[str, str] = field(factory=dict)

    def place(self, path: str) -> tuple[str, str] | None:
        """Returns (pool id, volume name) of the volume at the path; None if it is none."""
        pool_id, name = self.paths.volume_at(path) or (None, None)
        return None if pool_id is None or name is None else (pool_id, name)

    @classmethod
    def of(cls, active: Iterable[Element], inactive: Iterable[Element]) -> Storage:
        lost = tuple(inactive)
        names = {text_at(pool, "uuid"): text_at(pool, "name") for pool in lost}
        return cls(paths=PoolPaths.of((*active, *lost)), inactive=names)


class RemovalInventory:
    """Finds the facts of all machines in a discovery run, and of one of them later."""

    def __init__(self) -> None:
        self._users: VolumeUsers | None = None  # as the last discovery run found them

    def find(
        self, client: Client, guests: Iterable[Guest], configs: Mapping[str, DomainConfig], storage: Storage
    ) -> tuple[Guest, ...]:
        """Returns the guests, those of machines with their facts. The calls grow only with machines that have
        snapshots. `configs` are of all guests, by UUID.
        """
        self._users = users_in(client, {uuid: config.references for uuid, config in configs.items()})
        return self._with_facts(client, guests, configs, storage)

    def update(self, client: Client, guest: Guest, domain: Domain) -> Guest:
        """Returns the guest with its facts as they are now; who else has its volumes is known from the last run."""
        config = domain_config(tree_of(domain))
        storage = Storage.of(
            *([parse(xml, "a pool") for xml in xmls] for xmls in (client.pools(), client.inactive_pools()))
        )
        return self._with_facts(client, [guest], {guest.guest_id: config}, storage)[0]

    def _with_facts(
        self, client: Client, guests: Iterable[Guest], configs: Mapping[str, DomainConfig], storage: Storage
    ) -> tuple[Guest, ...]:
        transient, saved = client.domains_that(DomainTrait.TRANSIENT), client.domains_that(DomainTrait.SAVED_MEMORY)
        noted = client.domains_that(DomainTrait.SNAPSHOTS) | client.domains_that(DomainTrait.CHECKPOINTS)

        def facts(guest: Guest, config: DomainConfig) -> RemovalFacts:
            uuid = guest.guest_id
            names, layers = _snapshots(client, uuid) if uuid in noted else ((), ())
            own, above = _own_volumes(guest, config, (*config.layers, *layers))
            stay = [path for path in own if above.get(path) or self._users_of(path) - {uuid}]
            return RemovalFacts(
                snapshots=names,
                saved_memory=uuid in saved,
                shared_volumes=tuple(sorted("/".join(place) for path in stay if (place := storage.place(path)))),
                layers=tuple(sorted(set().union(*above.values()))),
                protection=_protection(filter(None, map(storage.place, own)), storage.inactive),
                deleted_when_off=uuid in transient,
            )

        return tuple(
            guest
            if guest.marker is None or (config := configs.get(guest.guest_id)) is None
            else evolve(guest, removal=facts(guest, config))
            for guest in guests
        )

    def _users_of(self, path: str) -> set[str]:
        return set() if self._users is None else self._users.of(posixpath.basename(path), path)


def _snapshots(client: Client, uuid: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Returns the names of snapshots and checkpoints, and the images that they have put on others."""
    domain = client.domain(uuid)
    if domain is None:
        return (), ()
    try:
        found, checkpoints = domain.snapshots(), domain.checkpoint_names()
    except NotFound:
        return (), ()
    layers = [pair for name, xml in found for pair in layers_of_snapshot(parse(xml, f"the snapshot {name}"))]
    return tuple(sorted((*(name for name, _ in found), *checkpoints))), tuple(layers)


def _own_volumes(
    guest: Guest, config: DomainConfig, layers: Iterable[tuple[str, str]]
) -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
    """Returns the paths of the volumes of the machine's own, and for each the images of others on top of it.

    A domain that is off does not always name what is below an image; libvirt names one after what it is put on.
    """
    below = defaultdict(set)
    for upper, lower in layers:
        below[upper].add(lower)
    for path in config.references:
        folder, name = posixpath.split(path)
        base = image_below(name)
        if marker_of_volume(base) == guest.marker:
            below[path].add(posixpath.join(folder, base))
    paths = {*config.references, *(lower for _, lower in layers), *(path for found in below.values() for path in found)}
    own = frozenset(path for path in paths if path.startswith("/") and _is_own(guest, path))
    above = defaultdict(set)
    for upper in below:
        for path in _all_below(upper, below):
            if path in own and not _is_own(guest, upper):
                above[path].add(upper)
    return own, {path: frozenset(found) for path, found in above.items()}


def _all_below(path: str, below: Mapping[str, Set[str]]) -> Set[str]:
    found: set[str] = set()
    wanted = [path]
    while wanted:
        new = below.get(wanted.pop(), set()) - found
        found |= new
        wanted += new
    return found


def _is_own(guest: Guest, path: str) -> bool:
    return marker_of_volume(posixpath.basename(path)) == guest.marker


def _protection(own: Iterable[tuple[str, str]], inactive: Mapping[str, str]) -> str:
    lost = sorted({inactive[pool_id]: name for pool_id, name in own if pool_id in inactive}.items())
    return " ".join(
        f"Its disk {name} is in the storage pool {pool}, which is not active. On that host: virsh pool-start {pool}. "
        f"If what was stored there is lost: virsh pool-undefine {pool}."
        for pool, name in lost
    )
