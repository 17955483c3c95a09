"""The requests to compose, allocate, deploy, change, adopt and release machines, as operations store them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import asdict, field, frozen

from common.guests.compose_request import ComposeRequest
from common.values import DriverType
from regiond.exports.model import ExportedDisk
from regiond.machines.values.clones import Copied
from regiond.operations.model import LEFT_OUT

MIN_MEMORY_MIB = 1024  # MAAS's lower limit
LARGEST = 2**31 - 1  # the largest `integer` of PostgreSQL


@frozen(kw_only=True)
class HostConstraints:
    """The hosts that may take a machine, as ids or names in a request. Empty means any.

    Several values of a field are alternatives, but a host must have all of `tags` and no value of a `not_` field.
    `types` are the API's host types. `cpu_speed_mhz` is a minimum where the speed is known.
    """

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    not_types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    not_in_zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    not_in_pools: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    not_architectures: tuple[str, ...] = ()
    cpu_speed_mhz: int | None = None


NO_HOST_CONSTRAINTS = HostConstraints()


@frozen(kw_only=True)
class ImportedMachine:
    """The file that a new machine is made of. `disks` are those of the file, in the order of the machine's disks.

    `mac_addresses` are those of the machine's NICs, in their order; empty: new ones. With `whole_disks` the host takes
    the content of a disk only as a whole.
    """

    export_id: int
    name: str
    disks: tuple[ExportedDisk, ...]
    mac_addresses: tuple[str, ...] = ()
    whole_disks: bool = False


@frozen(kw_only=True)
class ImportRequest:
    """A request to import a file as a machine of a host. Empty or None: what the file says, or the host's default.

    `storage_pool` is the name of a storage pool for all disks, `interfaces` a constraint text as that of compose.
    """

    host_id: int
    export_id: int
    hostname: str | None = None
    storage_pool: str = ""
    interfaces: str = ""
    pool: str | None = None
    keep_mac_addresses: bool = False
    power_on: bool = False


@frozen(kw_only=True)
class ComposeIntent:
    """A compose as its operation stores it, so that it can be rescheduled on another host.

    `agent_name`: the machine is allocated to the caller once it exists, for this agent; None: it is not allocated. The
    machine's zone is the zone of the request, if that names one, or of its host. Only hosts in the resource pools
    `pool_ids` may take it; None: any. `imported`: its disks get the content of a file.
    """

    request: ComposeRequest
    hosts: HostConstraints = NO_HOST_CONSTRAINTS
    agent_name: str | None = None
    comment: str = ""
    pool_ids: tuple[int, ...] | None = None
    imported: ImportedMachine | None = None


@frozen(kw_only=True)
class StoredCompose:
    """The request of a compose, in the operation's row.

    `intent` is None if the request named the host, so that no other host may be used. The new machine begins with the
    disks of `copied`, for which the request `asked` before that machine's size and host were added. It is registered in
    the MAAS server `register_in_maas`. `import_` is the file with the content of its disks.
    """

    power_on: bool = False
    intent: ComposeIntent | None = field(default=None, metadata=LEFT_OUT)
    copied: Copied | None = field(default=None, metadata=LEFT_OUT)
    asked: ComposeRequest | None = field(default=None, metadata=LEFT_OUT)
    register_in_maas: str | None = field(default=None, metadata=LEFT_OUT)
    import_: ImportedMachine | None = field(default=None, metadata=LEFT_OUT)


@frozen(kw_only=True)
class Requested:
    """The request of a compose that was rejected or of an allocation, in the operation's row, as `requested_fields`."""

    requested: Mapping[str, Any]


@frozen(kw_only=True)
class DeployRequest:
    """A request for a deployment. `distro_series` is `noble`, `ubuntu/noble` or `custom/x`; empty: the default.

    `encoded_user_data` is base64, as the API receives it. `agent_name` is stored if the deployment allocates the
    machine. With `vm_host` the machine becomes a VM host of that driver. `rebuild`: the machine has a system, which the
    deployment replaces; it shuts down first unless `force`, and an empty `distro_series` is its present image.
    """

    osystem: str = ""
    distro_series: str = ""
    encoded_user_data: str = field(default="", repr=False)
    agent_name: str = ""
    comment: str = ""
    vm_host: DriverType | None = None
    rebuild: bool = False
    force: bool = False

    @property
    def image_name(self) -> str:
        if self.osystem and self.distro_series and "/" not in self.distro_series:
            return f"{self.osystem}/{self.distro_series}"
        return self.distro_series


_LATER_FIELDS = frozenset({
    "affinity", "anti_affinity", "cpu_speed_mhz", "fabric_classes", "link_speed", "not_fabric_classes",
    "not_vlans", "owner", "register_in_maas", "stock", "storage_pool", "template", "vlans",
})  # fmt: skip


def requested_fields(request: ComposeRequest | AllocateRequest) -> dict[str, Any]:
    """Returns the fields with which the operation of a rejected or allocating request records it.

    Later fields are included only if they are given, so that a request repeated after an upgrade equals its record by
    an older release.
    """
    return {name: value for name, value in asdict(request).items() if value or name not in _LATER_FIELDS}


@frozen(kw_only=True)
class AllocateRequest:
    """Constraints for a machine that exists or is composed. Names are as in the request.

    Several values of a field are alternatives, but the machine must have all of `tags`, a NIC in each of `subnets`,
    `fabrics`, `fabric_classes` and `vlans`, and no value of a `not_` field. `storage` and `interfaces` are
    constraint texts. `cores`, `memory_mib`, `link_speed` (Mbit/s, of one NIC) and `cpu_speed_mhz` (where it is known)
    are minimums. With `system_id` or `name`, no machine is composed.
    """

    system_id: str | None = None
    name: str | None = None
    architectures: tuple[str, ...] = ()
    not_architectures: tuple[str, ...] = ()
    cores: int | None = None
    memory_mib: int | None = None
    tags: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    not_in_zones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    not_in_pools: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    not_pods: tuple[str, ...] = ()
    pod_types: tuple[str, ...] = ()
    not_pod_types: tuple[str, ...] = ()
    storage: str = ""
    interfaces: str = ""
    subnets: tuple[str, ...] = ()
    not_subnets: tuple[str, ...] = ()
    fabrics: tuple[str, ...] = ()
    not_fabrics: tuple[str, ...] = ()
    fabric_classes: tuple[str, ...] = ()
    not_fabric_classes: tuple[str, ...] = ()
    vlans: tuple[str, ...] = ()
    not_vlans: tuple[str, ...] = ()
    link_speed: tuple[str, ...] = ()
    cpu_speed_mhz: int | None = None
    agent_name: str = ""
    comment: str = ""
    affinity: tuple[str, ...] = ()
    anti_affinity: tuple[str, ...] = ()


@frozen(kw_only=True)
class MachineChange:
    """A change of a machine. None leaves a field unchanged. `zone` is a name, `pool` an id or a name.

    `affinity` and `anti_affinity` replace the machine's groups of that policy.
    """

    hostname: str | None = None
    zone: str | None = None
    pool: str | None = None
    description: str | None = None
    affinity: tuple[str, ...] | None = None
    anti_affinity: tuple[str, ...] | None = None
    autostart: str | None = None  # a value of Autostart, or `default`


@frozen(kw_only=True)
class AdoptRequest:
    """Guests of a host by name, row id or the hypervisor's id; `everything`: all foreign guests.

    `hostname` is allowed for a single guest; by default a machine gets the name of its guest. `owner` is the name of a
    user, by default the caller's.
    """

    guests: tuple[str, ...] = ()
    everything: bool = False
    hostname: str | None = None
    owner: str | None = None


@frozen(kw_only=True)
class ReleaseOptions:
    """The options of a release.

    `erase` empties all disks that Innkeeper created; `overwrite` also overwrites their content. With `force` a deployed
    guest is not shut down first. Without `adopted`, a machine that is as it was found is not released.
    """

    erase: bool = False
    overwrite: bool = False
    force: bool = False
    adopted: bool = False


RELEASE_ADOPTED = "release_adopted"  # the API's name of `adopted`
DEFAULT_RELEASE = ReleaseOptions()
