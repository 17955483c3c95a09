"""Values of regions, racks and RPC clients for other rooms, and the plan of a rack's removal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from common.words.phrases import first_of, number_of
from regiond.requests.audience import others_read
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan

HOSTS_SHOWN = 50  # hosts that a message names
UNREACHED_SHOWN = 20  # hosts that a list of racks names for each rack; reading one rack shows all
RACKS_LINK_WITHIN_S = 45.0  # of the start of a region: a rack tries again after 30 s at the latest


@frozen(kw_only=True)
class RackRegion:
    """A live region that a rack has a link to. `hostname` is the name of its computer."""

    id: UUID
    hostname: str
    connected_at: datetime


@frozen(kw_only=True)
class HostReach:
    """A rack's last attempt at a host; `reaches` is None before the first. `since` is when the result changed last."""

    host_id: int
    host: str
    reaches: bool | None = None
    error_code: str | None = None
    error_message: str | None = field(default=None, metadata=others_read(None))
    since: datetime | None = None


@frozen(kw_only=True)
class RackOfHost:
    """A rack that serves a host's zone, with its last attempt at the host; `reaches` is None before the first.

    `since` is when the result changed last. One that is not connected cannot be asked now, whatever it reached.
    """

    id: UUID
    name: str
    connected: bool
    reaches: bool | None = None
    error_code: str | None = None
    error_message: str | None = field(default=None, metadata=others_read(None))
    since: datetime | None = None


@frozen(kw_only=True)
class RegionView:
    """A region process. `running` means that its heartbeat is at most 30 s old; `here` that it is this process.

    `schema_number` is the number of the newest migration that its release knows. `racks` are names, `operations` the
    ids of the operations whose lease it holds. The addresses are None until the process listens.
    """

    id: UUID
    hostname: str
    pid: int
    running: bool
    here: bool
    started_at: datetime
    seen_at: datetime
    age_s: int
    silent_s: int
    release: str | None = None
    schema_number: int | None = None
    rpc_address: str | None = None
    api_url: str | None = None
    racks: tuple[str, ...] = ()
    operations: tuple[int, ...] = ()


@frozen(kw_only=True)
class RackRotation:
    """A rotation that replaces credentials which a removed or stolen rack had."""

    operation_id: int
    host: str
    state: str
    error_message: str | None = field(default=None, metadata=others_read(None))


@frozen(kw_only=True)
class ExposedByHand:
    """A credential that a removed or stolen rack had, and that only a person can replace. `remedy` says how."""

    host_id: int
    host: str
    credential: str
    sent_at: datetime
    remedy: str


@frozen(kw_only=True)
class RackView:
    """A rack. `connected` means a link to any live region. `hosts_reached` counts hosts that its last attempt reached.

    `age_s` is the time since it connected, otherwise since it was last seen or joined. In a list of racks, `hosts` are
    at most UNREACHED_SHOWN hosts that the rack does not reach; where one rack is read, all hosts. Hosts of zones that
    the rack does not serve are left out. `zones` are the names of the zones that it serves; None: all. `rotations` and
    `by_hand` are only given where one removed rack is read.
    """

    id: UUID
    name: str
    connected: bool
    joined_at: datetime
    seen_at: datetime | None
    certificate_fingerprint: str
    certificate_expires_at: datetime
    hosts_reached: int
    hosts_unreached: int = 0
    removed_at: datetime | None = None
    release: str | None = None
    age_s: int = 0
    regions: tuple[RackRegion, ...] = ()
    hosts: tuple[HostReach, ...] = ()
    zones: tuple[str, ...] | None = None
    stolen_at: datetime | None = None
    rotations: tuple[RackRotation, ...] = field(default=(), metadata=others_read(()))
    by_hand: tuple[ExposedByHand, ...] = field(default=(), metadata=others_read(()))

    @property
    def state(self) -> str:
        if self.stolen_at is not None:
            return "stolen"
        if self.removed_at is not None:
            return "removed"
        return "connected" if self.connected else "disconnected" if self.seen_at is not None else "never connected"

    @property
    def connected_at(self) -> datetime | None:
        return min((region.connected_at for region in self.regions), default=None)


@frozen(kw_only=True)
class RpcClientView:
    id: UUID
    name: str
    username: str
    certificate_fingerprint: str
    certificate_expires_at: datetime
    issued_at: datetime
    api_key_name: str | None = None  # None: there is none, see rpc_client.api_key_id
    token_key: str | None = None


@frozen(kw_only=True)
class SupervisedHost:
    """A host as the link supervisor sees it. A new address or key on either side requires a new watch."""

    id: int
    is_ready: bool
    is_removing: bool
    zone_id: int
    address: str
    pinned_fingerprint: str | None = None
    certificate_fingerprint: str | None = None


@frozen(kw_only=True)
class Exposed:
    """The credentials that a removed rack had, by how each is replaced. `rotated` names one host of each server."""

    rotated: tuple[str, ...] = ()
    by_hand: tuple[ExposedByHand, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        found = []
        if self.rotated:
            found.append(f"The rotation of credentials that it had is queued: {first_of(self.rotated, HOSTS_SHOWN)}.")
        if self.by_hand:
            hosts = first_of([f"{one.host} ({one.credential})" for one in self.by_hand], HOSTS_SHOWN)
            found.append(f"A person has to replace these credentials that it had: {hosts}.")
        return tuple(found)


NOTHING_EXPOSED = Exposed()


def rack_removal(
    rack_id: str, name: str | None, hosts: Sequence[str], exposed: Exposed = NOTHING_EXPOSED
) -> DeletionPlan:
    """Returns the plan of a rack's removal.

    `name` is None if the rack was removed before; `hosts` are the names of hosts that only this rack reaches.
    """
    if name is None:
        return DeletionPlan(name=rack_id, effects=("The rack was removed before.",))
    effects = ["It is disconnected at once, and its certificate is rejected."]
    if hosts:
        named = ", ".join(hosts[:5]) + (", …" if len(hosts) > 5 else "")
        effects.append(f"No other rack has reached {number_of(len(hosts), 'VM host')}: {named}.")
    effects += exposed.sentences
    return DeletionPlan(
        name=name, deleted=(AffectedRecord(kind="rack", id=rack_id, name=name),), effects=tuple(effects)
    )
