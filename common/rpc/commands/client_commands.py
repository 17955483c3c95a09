"""The commands that the region serves for RPC clients, with their requests and replies."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from common.guests.compose_request import ComposeRequest
from common.hosts.capacity import Capacity
from common.rpc.commands.command import Command
from common.rpc.commands.region_commands import RenewCall, Renewed
from common.values import PowerAction

GAP = "reload"  # as in the stream of events by HTTP
MAX_DOWNLOADED_BYTES = 16 * 2**20  # by one call: the next one continues


@frozen(kw_only=True)
class Nothing:
    """An empty request."""


@frozen(kw_only=True)
class HostSummary:
    """`cores` and `memory_mib` are what the hardware has, with what all guests of the server claim of it.

    `capacity` says what composes can still get, as the HTTP API does. All are None while unknown.
    """

    id: int
    name: str
    type: str
    cores: int | None
    memory_mib: int | None
    cores_claimed: int
    memory_mib_claimed: int
    state: str
    capacity: Capacity | None = None


@frozen(kw_only=True)
class MachineSummary:
    """`wanted_power` says whether the machine should run: `on` or `off`; None while unknown."""

    system_id: str
    hostname: str
    host_id: int | None
    status: str
    power_state: str
    cores: int
    memory_mib: int
    wanted_power: str | None = None


@frozen(kw_only=True)
class ClientComposeCall:
    """`host` is an id or a name, in place of `request.host_id`; None lets placement choose the host."""

    request: ComposeRequest
    host: str | None = None
    idempotency_key: str | None = None


@frozen(kw_only=True)
class MachineCall:
    system_id: str


@frozen(kw_only=True)
class MachinePowerCall:
    system_id: str
    action: PowerAction


@frozen(kw_only=True)
class MachineResizeCall:
    """The size that a machine gets, and what it is bound to, as `SizeRequest` of the region. None: as it is."""

    system_id: str
    cores: int | None = None
    memory_mib: int | None = None
    pinned_cores: tuple[int, ...] | None = None
    pin_cores: int | None = None
    huge_pages_backed: bool | None = None
    huge_page_size_mib: int | None = None


@frozen(kw_only=True)
class CloneCall:
    """A machine like this one, on its host. None: as this one, but a new hostname."""

    system_id: str
    hostname: str | None = None
    pool: str | None = None
    cores: int | None = None
    memory_mib: int | None = None
    storage_pool: str = ""
    power_on: bool = False
    idempotency_key: str | None = None


@frozen(kw_only=True)
class DeployCall:
    """An image, empty: the default, that a machine gets. `user_data` is base64."""

    system_id: str
    image: str = ""
    user_data: str = field(default="", repr=False)
    idempotency_key: str | None = None


@frozen(kw_only=True)
class RebuildCall:
    """An image, empty: the present one, that replaces the system of a machine. `force` powers it off at once."""

    system_id: str
    image: str = ""
    user_data: str = field(default="", repr=False)
    force: bool = False
    idempotency_key: str | None = None


@frozen(kw_only=True)
class ExportCall:
    """A machine whose disks are written to a file of the region."""

    system_id: str
    idempotency_key: str | None = None


@frozen(kw_only=True)
class DownloadCall:
    """The content of a file of the region from `start` on: at most MAX_DOWNLOADED_BYTES for each call."""

    export_id: int
    start: int = 0


@frozen(kw_only=True)
class DownloadedPart:
    """The next part of a file, which has `size_bytes` in all."""

    data: bytes = field(repr=False)
    size_bytes: int


@frozen(kw_only=True)
class EventsCall:
    """The events that follow `after`, an id; 0: all stored ones, None: those to come. All filters apply.

    `level` is the lowest: INFO, WARNING or ERROR. `host` is an id or a name.
    """

    after: int | None = None
    level: str = "INFO"
    host: str | None = None
    system_id: str | None = None
    operation_id: int | None = None
    kinds: tuple[str, ...] = ()
    username: str | None = None
    text: str | None = None


@frozen(kw_only=True)
class EventSummary:
    """An event. `at` is in ISO 8601. Of the kind GAP, it is none: events before this id have been deleted."""

    id: int
    at: str
    kind: str
    level: str
    message: str
    host_id: int | None = None
    host_name: str | None = None
    system_id: str | None = None
    hostname: str | None = None
    operation_id: int | None = None
    rack_id: str | None = None
    username: str | None = None
    details: dict[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class EventPart:
    """The next event, if any, and the id up to which the reader has all events.

    `is_gap`: events that followed the reader's id have been deleted, or the id is unknown here.
    """

    position: int
    event: EventSummary | None = None
    is_gap: bool = False


@frozen(kw_only=True)
class AddDiskCall:
    """A disk that a machine gets. Without `pool`, a storage pool is chosen as for compose."""

    system_id: str
    size_bytes: int
    pool: str = ""
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None


@frozen(kw_only=True)
class GrowDiskCall:
    """A disk, by id or name, that gets this size."""

    system_id: str
    disk: str
    size_bytes: int


@frozen(kw_only=True)
class RemoveDiskCall:
    """A disk, by id or name, that a machine loses. With `keep` its volume stays, else its data are lost."""

    system_id: str
    disk: str
    keep: bool


@frozen(kw_only=True)
class AddInterfaceCall:
    """A NIC that a machine gets; `interfaces` is one interface constraint of compose."""

    system_id: str
    interfaces: str = ""
    name: str = ""
    mac_address: str = ""
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None


@frozen(kw_only=True)
class ChangeInterfaceCall:
    """A NIC, by id or name, that gets another network, another MAC address, or both; empty: it stays."""

    system_id: str
    interface: str
    interfaces: str = ""
    mac_address: str = ""


@frozen(kw_only=True)
class RemoveInterfaceCall:
    """A NIC, by id or name, that a machine loses."""

    system_id: str
    interface: str


@frozen(kw_only=True)
class SetBootCall:
    """The order in which a machine tries `disk`, `network` and `iso`: at all its starts, or at the next one only."""

    system_id: str
    order: tuple[str, ...]
    once: bool = False


@frozen(kw_only=True)
class OperationCall:
    operation_id: int


@frozen(kw_only=True)
class AbandonCall:
    """`comment` says why."""

    operation_id: int
    comment: str


@frozen(kw_only=True)
class OperationSummary:
    id: int
    kind: str
    state: str
    system_id: str | None
    error_code: str | None = None
    error_message: str | None = None
    result: dict[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class ReleaseCall:
    """A machine that gets no owner; the options are those of the API. `comment` says why."""

    system_id: str
    comment: str = ""
    erase: bool = False
    secure_erase: bool = False
    force: bool = False
    release_adopted: bool = False
    idempotency_key: str | None = None


@frozen(kw_only=True)
class Released:
    """The operation that releases the machine; None: it had no owner and is as it was."""

    operation: OperationSummary | None


@frozen(kw_only=True)
class AdoptCall:
    """Guests of a host by name or id, or with `everything` all that are no machines. `host` is an id or a name."""

    host: str
    guests: tuple[str, ...] = ()
    everything: bool = False
    hostname: str | None = None
    owner: str | None = None


@frozen(kw_only=True)
class AdoptedGuest:
    """The result for one guest. Without an operation, it is a machine already, or `rejected` is the reason."""

    guest: str
    system_id: str | None = None
    hostname: str | None = None
    operation: OperationSummary | None = None
    rejected: str | None = None


@frozen(kw_only=True)
class AdoptedGuests:
    guests: tuple[AdoptedGuest, ...]


@frozen(kw_only=True)
class HostList:
    """A part of the hosts."""

    hosts: tuple[HostSummary, ...]


@frozen(kw_only=True)
class MachineList:
    """A part of the machines."""

    machines: tuple[MachineSummary, ...]


CLIENT_LIST_HOSTS = Command("client.list_hosts", Nothing, HostList, streams=True)
CLIENT_LIST_MACHINES = Command("client.list_machines", Nothing, MachineList, streams=True)
CLIENT_COMPOSE = Command("client.compose", ClientComposeCall, OperationSummary)
CLIENT_POWER = Command("client.power", MachinePowerCall, OperationSummary)
CLIENT_RESIZE = Command("client.resize", MachineResizeCall, OperationSummary)
CLIENT_ADD_DISK = Command("client.add_disk", AddDiskCall, OperationSummary)
CLIENT_GROW_DISK = Command("client.grow_disk", GrowDiskCall, OperationSummary)
CLIENT_REMOVE_DISK = Command("client.remove_disk", RemoveDiskCall, OperationSummary)
CLIENT_ADD_INTERFACE = Command("client.add_interface", AddInterfaceCall, OperationSummary)
CLIENT_CHANGE_INTERFACE = Command("client.change_interface", ChangeInterfaceCall, OperationSummary)
CLIENT_REMOVE_INTERFACE = Command("client.remove_interface", RemoveInterfaceCall, OperationSummary)
CLIENT_SET_BOOT = Command("client.set_boot", SetBootCall, OperationSummary)
CLIENT_CLONE = Command("client.clone", CloneCall, OperationSummary)
CLIENT_DEPLOY = Command("client.deploy", DeployCall, OperationSummary)
CLIENT_REBUILD = Command("client.rebuild", RebuildCall, OperationSummary)
CLIENT_EXPORT = Command("client.export", ExportCall, OperationSummary)
CLIENT_DOWNLOAD = Command("client.download", DownloadCall, DownloadedPart, streams=True)
CLIENT_EVENTS = Command("client.events", EventsCall, EventPart, streams=True, endless=True)
CLIENT_ACCEPT_OFF = Command("client.accept_off", MachineCall, MachineSummary)
CLIENT_DELETE = Command("client.delete", MachineCall, OperationSummary)
CLIENT_RELEASE = Command("client.release", ReleaseCall, Released)
CLIENT_ADOPT = Command("client.adopt", AdoptCall, AdoptedGuests)
CLIENT_OPERATION = Command("client.operation", OperationCall, OperationSummary)
CLIENT_ABANDON = Command("client.abandon", AbandonCall, OperationSummary)
# Responds when the operation has ended, at the deadline at the latest.
CLIENT_WAIT = Command("client.wait", OperationCall, OperationSummary)
CLIENT_RENEW = Command("client.renew", RenewCall, Renewed)
