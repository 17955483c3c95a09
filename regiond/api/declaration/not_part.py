"""The parts of MAAS that a controller of VM hosts does not need: why, and what to use instead.

Lists of such objects are empty (`resources/empty_lists.py`). A request that would change something is an error that
says why, which is better than a success without effect.
"""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.declaration.endpoint import Resource

_CHANGES = frozenset({"DELETE", "POST", "PUT"})
_DISKS = (
    "the disks of a machine are chosen when it is composed (storage=LABEL:SIZE), and its image and user data of the "
    "deployment make partitions and file systems in the guest"
)
_ARRAYS = "the storage pool of the VM host is redundant or not; in the guest, user data of the deployment makes arrays"
_GUEST_NETWORK = (
    "user data of the deployment makes bonds, bridges and VLAN interfaces in the guest; NICs are chosen when it is "
    "composed (interfaces=LABEL:...)"
)
_NEW_MACHINE = "compose a machine (vm-hosts/ID/?op=compose or machines/?op=allocate), or adopt a virtual machine"
_TESTS = "a virtual machine has no hardware to test"
_RESCUE = "open the console of the machine (op=console), or deploy it again"
_SCRIPTS = "nothing runs on machines but their own system: use user data of the deployment"
_IMAGES = "images are added with boot-resources/, from a file or from a simplestreams server"
_CONFIGURATION = "the settings of the region are in its configuration file"
_DAEMONS = "a rack joins with a token (racks/?op=token and `rackd join`), and racks/ID/ changes and removes it"
_RACK_POWER = "a rack is a daemon on a computer that Innkeeper neither powers nor tests"
_DISCOVERY = "VM hosts report their networks when they are refreshed; nothing listens for neighbours"
_NODES = "use machines/ID/, vm-hosts/ID/ or racks/ID/ to change a node"

# For each handler, the ops that its resource does not have, and the methods of changes without an op.
OF_HANDLERS: Mapping[str, Mapping[str, str]] = {
    "MachinesHandler": {
        "POST": _NEW_MACHINE,
        "accept": _NEW_MACHINE,
        "accept_all": _NEW_MACHINE,
        "add_chassis": _NEW_MACHINE,
        "clone": "compose another machine with the same fields",
    },
    "MachineHandler": {
        "exit_rescue_mode": _RESCUE,
        "get_curtin_config": "images are written to the disk as they are",
        "mount_special": _DISKS,
        "override_failed_testing": _TESTS,
        "rescue_mode": _RESCUE,
        "restore_default_configuration": "release the machine: it restores what was composed",
        "restore_networking_configuration": "release the machine: it restores what was composed",
        "restore_storage_configuration": "release the machine: it restores what was composed",
        "set_storage_layout": _DISKS,
        "test": _TESTS,
        "unmount_special": _DISKS,
    },
    "NodesHandler": {"POST": _NODES},
    "NodeHandler": {"DELETE": _NODES, "PUT": _NODES, "power_off": _NODES, "power_on": _NODES, "test": _TESTS},
    "InterfacesHandler": {
        "create_bond": _GUEST_NETWORK,
        "create_bridge": _GUEST_NETWORK,
        "create_vlan": _GUEST_NETWORK,
    },
    "BlockDeviceHandler": {
        "format": _DISKS,
        "mount": _DISKS,
        "unformat": _DISKS,
        "unmount": _DISKS,
    },
    # Terraform releases the addresses of a DNS resource that it has deleted, and accepts what "does not exist".
    "IPAddressesHandler": {"release": "an address that is reserved by itself does not exist; ranges are in ipranges/"},
    "BootResourcesHandler": {"stop_import": "delete the image (boot-resources/ID/), which ends its download"},
    "DeviceHandler": {"set_workload_annotations": "annotate the machine that it is on (machines/ID/)"},
    "DiscoveriesHandler": dict.fromkeys(("by_unknown_ip", "by_unknown_ip_and_mac", "by_unknown_mac"), _DISCOVERY),
    "DomainsHandler": {"set_serial": "the serial of a zone file (domains/ID/?op=zone_file) is the time of its request"},
    "RackControllersHandler": {
        "POST": _DAEMONS,
        "describe_power_types": "the type of a VM host is lxd or virsh",
        "import_boot_images": _IMAGES,
        "is_registered": "machines/ and devices/ find MAC addresses (mac_address=...)",
        "power_parameters": _RACK_POWER,
        "set_zone": _DAEMONS,
    },
    "RackControllerHandler": {
        "DELETE": _DAEMONS,
        "PUT": _DAEMONS,
        "abort": _RACK_POWER,
        "details": "racks/ID/ has what is known of a rack",
        "import_boot_images": _IMAGES,
        "override_failed_testing": _RACK_POWER,
        "power_off": _RACK_POWER,
        "power_on": _RACK_POWER,
        "power_parameters": _RACK_POWER,
        "query_power_state": _RACK_POWER,
        "test": _RACK_POWER,
    },
    "RegionControllerHandler": {"DELETE": _CONFIGURATION, "PUT": _CONFIGURATION},
}

# Of handlers that have an empty list and nothing else: a reason for every change.
OF_EMPTY_LISTS: Mapping[str, str] = {
    "StaticRoutesHandler": "user data of the deployment sets routes in the guest",
    "DNSResourceRecordsHandler": "dnsresources/ has names with addresses; keep other records in your own DNS server",
    "DHCPSnippetsHandler": "Innkeeper runs no DHCP server: configure the one of your network",
    "PackageRepositoriesHandler": "user data of the deployment, or the image, says where packages come from",
    "BootSourcesHandler": _IMAGES,
    "BootSourceSelectionsHandler": _IMAGES,
    "DiscoveriesHandler": _DISCOVERY,
    "NodeScriptsHandler": _SCRIPTS,
    "CommissioningScriptsHandler": _SCRIPTS,
    "NodeResultsHandler": _SCRIPTS,
    "InstallationResultsHandler": _SCRIPTS,
    "NotificationsHandler": "read events/ and discrepancies/",
    "LicenseKeysHandler": "an image, or the user data of the deployment, has the license key",
    "IPAddressesHandler": "reserve addresses with ipranges/ (type=reserved)",
    "ReservedIPsHandler": "link a NIC with mode=STATIC: the DHCP server of the VM host reserves its address",
    "SSLKeysHandler": "user data of the deployment installs certificates in the guest",
    "NodeDevicesHandler": "a virtual machine has no devices but its disks and NICs",
    "PartitionsHandler": _DISKS,
    "RaidsHandler": _ARRAYS,
    "VolumeGroupsHandler": _DISKS,
    "BcachesHandler": _DISKS,
    "BcacheCacheSetsHandler": _DISKS,
    "VmfsDatastoresHandler": _DISKS,
}


def reason_against(resource: Resource, method: str, op: str | None) -> str | None:
    """Why the resource lacks a method and op that MAAS has; None if MAAS lacks them too."""
    instead = OF_HANDLERS.get(resource.handler, {}).get(op or method)
    if instead is None and method in _CHANGES:
        instead = OF_EMPTY_LISTS.get(resource.handler)
    return None if instead is None else f"not part of Innkeeper: {instead}."
