"""The lines that the read of one object shows first, by resource, and the lists below them."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from innkeeper.output.cells import title
from innkeeper.output.columns import COUNT, Column, column
from innkeeper.output.keys import columns


@frozen
class Section:
    """A list inside the object: its key and heading, and at most how many of its last rows.

    With `only_with`, shown only if the object has a value of that key.
    """

    key: str
    heading: str = field()
    last: int | None = field(default=None, kw_only=True)
    only_with: str = field(default="", kw_only=True)

    @heading.default
    def _in_words(self) -> str:
        return title(self.key)


@frozen(kw_only=True)
class Shape:
    """`needs`: the keys that an object of the resource has. Other responses of its actions are shown in full."""

    needs: tuple[str, ...]
    lines: tuple[Column, ...]
    sections: tuple[Section, ...] = ()


def _shape(needs: str, *lines: str | Column, sections: tuple[Section, ...] = ()) -> Shape:
    return Shape(needs=tuple(needs.split()), lines=columns(*lines), sections=sections)


_CAPACITY = (
    "used.cores=cores_used used.memory=memory_used used.local_storage=storage_used "
    "capacity.cores.free capacity.memory_mib.free capacity.storage_bytes.free"
)
_POOLS = Section("storage_pools")

# Of `place` and of the dry run of a compose.
PLACEMENT = _shape(
    "chosen fitting rejected",
    "chosen refused pinned_cores huge_pages notes",
    sections=tuple(map(Section, ("placements", "disks", "nics", "fitting", "rejected", "summarized", "tried"))),
)
# Of `usage`. What is not listed, such as the history, is in JSON.
USAGE = _shape(
    "sampled_at cpu_percent memory_used",
    "cpu_percent cores memory_used disk_full_percent disk_read disk_written network_received network_sent "
    "sums_of_guests=sums_of_VMs sampled_at reason",
)
OBJECTS: Mapping[str, Shape] = {
    "boot-resources": _shape(
        "id name sets",
        "id name title architecture state error format filetype sha256 received virtual_size vm_host.name alias",
        "created updated expires",
        sections=(Section("copies"),),
    ),
    "vm-hosts": _shape(
        "id name type",
        "id name type state maintenance error address project cluster_name zone pool tags",
        _CAPACITY,
        "cpu_over_commit_ratio memory_over_commit_ratio reserved_cores reserved_memory autostart version refreshed_at",
        sections=(_POOLS, Section("problems")),
    ),
    "vm-clusters": _shape(
        "id name vmhost_count", "id name project version vmhost_count vm_count", _CAPACITY, sections=(_POOLS,)
    ),
    "machines": _shape(
        "system_id hostname status_name",
        "system_id hostname guest_name pod status_name error_description power_state power_state_since",
        "host_unreachable_since wanted_power.state wanted_power.since wanted_power.set_by wanted_power.user",
        "locked owner ip_addresses cpu_count memory storage architecture zone pool tag_names description",
        sections=(Section("blockdevice_set", "disks"), Section("interface_set", "interfaces")),
    ),
    "virtual-machines": _shape(
        "id identifier",
        "id identifier host_name project power_state cpu_count memory pinned_cores system_id hostname",
    ),
    "operations": _shape(
        "id kind state",
        "id kind state step wait_reason error host_name hostname=machine system_id chosen username parent_id",
        column("attempt", usual=1),
        "cancel_requested undone created_at started_at finished_at rejections last_rejected_at result.deleted",
        "result.kept",
        sections=(
            Section("fitting", only_with="error"),
            Section("rejected", only_with="error"),
            Section("tried"),
            Section("log", last=10),
        ),
    ),
    "racks": _shape(
        "id name connected",
        "id name state age_s release hosts_reached",
        column("hosts_unreached", unit=COUNT, usual=0),
        "seen_at joined_at certificate_expires_at=certificate_expires removed_at stolen_at all_zones zones",
        sections=(
            Section("hosts", only_with="hosts_unreached"),
            Section("rotations", "rotations of its credentials"),
            Section("by_hand", "to be replaced by a person"),
        ),
    ),
    "subnets": _shape("id cidr", "id cidr name vlan space gateway_ip dns_servers", column("managed"), "description"),
    "vlans": _shape("id vid fabric", "id fabric vid name space mtu dhcp description"),
    "interfaces": _shape(
        "id name mac_address",
        "id name type mac_address vlan links effective_mtu=effective_mtu attachable enabled parents children tags",
    ),
    "block-devices": _shape("id name size", "id name size pending_size storage_pool_name tags id_path serial"),
    "kept-disks": _shape(
        "id hostname kept_at",
        "id hostname=machine label size vm_host=host storage_pool_name volume owner pool kept_at",
        column("is_listed", "found"),
        "tags",
    ),
    "discrepancies": _shape(
        "id kind remedy",
        "id kind name host_name system_id since found expected",
        column("data_at_risk"),
        "repair_policy remedy repaired_at repaired",
    ),
}
