"""The columns of lists, by resource or key, with their rank where a terminal is too narrow.

A list without an entry, such as `zones`, has its first keys as columns.
"""

from __future__ import annotations

from collections.abc import Mapping

from innkeeper.output.columns import COUNT, ESSENTIAL, GIB_OF_BYTES, GIB_OF_MIB, WHOLE_GB, Column, column
from innkeeper.output.keys import columns

_CAPACITY = "capacity.cores.free:2 capacity.memory_mib.free:2 capacity.storage_bytes.free:3"
_USED = "used.cores:2 used.memory:2 used.local_storage:3"
_DISKS = columns(
    "id:2 name:0 size:0 pending_size:0 storage_pool_name:0 tags:2 id_path:4", column("foreign", usual=False)
)
_GUESTS = columns("name:0 kind:0 system_id status_name:2 owner:3 power_state:2 cpu_count:3 memory:3 locked:4")
_INTERFACES = "id:4 name:0 type:4 mac_address vlan:3 links"

LISTS: Mapping[str, tuple[Column, ...]] = {
    "vm-hosts": columns(
        "id:0 name:0 type:5 state:0 maintenance",
        _USED,
        _CAPACITY,
        "cpu_over_commit_ratio memory_over_commit_ratio",
        column("address", short_without="https://"),
        column("project", usual="default"),
        "cluster_name",
        column("pool", usual="default", rank=5),
        column("zone", usual="default", rank=4),
        "tags:6 error",
    ),
    "capacities": columns("of:0 hosts:4 servers:3 unreachable", _CAPACITY),
    "vm-clusters": columns("id:0 name:0 project:4 version:5 vmhost_count vm_count", _USED, _CAPACITY),
    "machines": columns(
        "system_id:0 hostname:0 pod.name ip_addresses=ip_addresses:2 power_state host_unreachable_since:2 status_name",
        "owner:3",
        column("stock", usual=False, rank=4),
        "cpu_count:3 memory:3 pool:5 zone:5 guest_name:5 locked:4 tag_names:6 error_description",
    ),
    "machines detached": columns(
        "system_id:0 hostname:0 host owner:3 cpu_count:3 memory:3 pool:5 zone:5 detached_at:2 lost:2"
    ),
    "machines forgotten": columns("system_id:0 hostname:0 host guest virtual_machine:2 forgotten_at:2 username:3"),
    "vm-host guests": _GUESTS,
    "guests": _GUESTS,
    "vm-host adopt": columns("guest system_id hostname operation rejected"),
    "virtual-machines": columns(
        "id:0 identifier:0 host_name project:4 power_state:2 cpu_count:3 memory:3 system_id hostname:2"
    ),
    "operations": columns(
        "id:0 kind:0 state:0 step:3 host_name hostname=machine system_id:5 username:4 created_at:2 error"
    ),
    "events": columns("id:4 at:0 level:3 kind:2 host_name:2 hostname=machine:2 username:4 description"),
    "audit": columns(
        "id:3 at:0 username:0 action:0 object object_name:3 result status:4 operation:4 address:2 credential:5",
        "request_id:6",
    ),
    "discrepancies": columns("id:0 kind:0 host_name name repair_policy:3 data_at_risk:2 found expected remedy"),
    "attention": columns("severity:2 kind:0 name:0 since:2 text:0 remedy:2 host_name:4 pool:5 zone:5"),
    "repaired": columns("repaired_at:0 kind host_name name repaired"),
    "racks": columns(
        "name:0 state:0 age_s:2 release:3 hosts_reached hosts_unreached zones:3 certificate_expires_at:5 id:4"
    ),
    "regions": columns("hostname:0 state:0 age_s:2 silent_s:2 release:3 schema:4 rpc_address:3 racks:2 operations:2"),
    "unreached": columns("host:0 reason since host_id:3"),
    "rotations": columns("host:0 state:0 operation reason"),  # of a removed rack
    "by_hand": columns("host:0 credential:0 sent_at:2 remedy"),  # of a removed rack
    "hosts": columns("host:0 reaches:0 since host_id:3 reason"),  # of a rack
    "rpc-clients": columns("name:0 username issued_at:2 certificate_expires_at api_key_name:3"),
    "boot-resources": columns(
        "id:0 name:0 architecture:2 state:0 format:3 vm_host.name:3 received virtual_size:3 title:4 error"
    ),
    "users": columns("username=username:0 email:2 is_superuser is_active:2"),
    # Of its API keys.
    "account": columns("name:0 token_key:0 last_used_at expires_at by_login:3 signature_method:4 created_at:2"),
    "sshkeys": columns("id:0 fingerprint:0 key:2"),
    "saved-filters": columns("id:0 list:0 name:0 query"),
    "table-columns": columns("list:0 columns:0"),
    "dnsresources": columns("id fqdn:0 ip_addresses"),
    "files": columns("filename:0", column("size"), "updated"),
    "domains": columns("id name:0 is_default"),
    "interfaces": columns(_INTERFACES, "tags:4 enabled:3 attachable:2"),
    "block-devices": _DISKS,
    "kept-disks": columns(
        "id:0 hostname=machine:0 label:2 size:0 vm_host=host:0 storage_pool_name owner:2 pool:5 kept_at:2",
        column("is_listed", "found", usual=True),
        "tags:4 volume:4",
    ),
    "vm-host projects": columns(
        "name:0 guests",
        column("used.cores", unit=COUNT, rank=2),
        column("used.memory", unit=GIB_OF_MIB, rank=2),
        column("used.local_storage", "storage", unit=WHOLE_GB, rank=2),
        "description",
    ),
    "fabrics": columns("id:0 name:0 class_type:3 vlans:2 description"),
    "vlans": columns("id fabric:0 vid:0 name space:2 mtu:4 dhcp:3 description"),
    "subnets": columns(
        "id:0 cidr:0",
        column("name", same_as="cidr", rank=2),
        "vlan space:3 gateway_ip:2 dns_servers:4 managed:4 description",
    ),
    # Of its address listings.
    "subnet": columns("start:0 end:0 num_addresses ip:0 alloc_type_name:2 hostname=machine host_name purpose"),
    "spaces": columns("id:0 name:0 subnets vlans:2 description"),
    "ipranges": columns("id:0 type start_ip:0 end_ip:0 subnet.cidr discovered:3 comment:2"),
    # Lists inside an object.
    "blockdevice_set": _DISKS,
    "physicalblockdevice_set": _DISKS,
    "interface_set": columns(_INTERFACES, "effective_mtu:5"),
    "links": columns("mode ip_address subnet"),
    "networks": columns("name type attachable active dhcp cidrs"),
    "network_devices": columns("ports product driver pci_address numa_node virtual_functions"),
    "gpus": columns("product vendor driver pci_address numa_node virtual_functions"),
    "disks": columns("label volume size storage_pool tags"),
    "copies": columns(
        "vm_host.name=host:0 pool=storage_pool",
        column("size", unit=GIB_OF_BYTES),
        column("state", usual="complete"),
    ),
    "storage_pools": columns(
        "name:0 type:2 total:2 capacity.free", column("status", usual="available"), "default:3 path:4"
    ),
    "nics": columns("label:2 name interface:0 kind:3 vid=vlan_tag:2"),
    "problems": columns("subject:0 message"),
    "log": columns("at:0 attempt:3 step message details.error"),
    "placements": columns("host:0 host_id:2"),
    "summarized": columns(column("hosts", rank=ESSENTIAL), "reason"),
    "fitting": columns("host:0 score", _CAPACITY, "host_id:2 unmet"),
    "affinity_groups": columns("name policy hard violated_by"),
    "rejected": columns("host:0", _CAPACITY, "reasons host_id:2"),
    "tried": columns("host:0 error host_id:2"),
}
