"""Empty lists of objects that only MAAS has, so that clients which read them continue."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Find, Resource
from regiond.api.declaration.serializer import OBJECT
from regiond.api.resources.machines.hardware.disks import find_disk
from regiond.api.resources.shared.lookups import find_machine_or_host
from regiond.api.serializers.machines import DiskOfMachine
from regiond.api.services import Services


async def _find_disk(services: Services, path: Mapping[str, str]) -> DiskOfMachine:
    """Returns the disk of a path, whose parameters have MAAS's names because libmaas passes them by name."""
    return await find_disk(services, {**path, "id": path["device_id"]})


def _empty(
    handler: str, path: str, what: str, *, find: Find | None = None, filters: frozenset[str] = frozenset()
) -> Resource:
    """Returns a resource with an empty list. `filters` are those that MAAS documents for it."""
    found = crud.list_of(
        OBJECT,
        crud.no_objects,
        title=f"List {what}",
        doc="Not part of Innkeeper: always empty.",
        accepted=filters,
        result="No objects.",
    )
    found = evolve(found, find=find)
    return Resource(handler=handler, path=path, doc=f"Innkeeper has no {what}.", always_empty=True, endpoints=(found,))


_NODE = "nodes/{system_id}/"
RESOURCES = (
    _empty("StaticRoutesHandler", "static-routes/", "static routes"),
    _empty(
        "DNSResourceRecordsHandler",
        "dnsresourcerecords/",
        "DNS records other than addresses",
        filters=frozenset({"all", "domain", "fqdn", "name", "rrtype"}),
    ),
    _empty("DHCPSnippetsHandler", "dhcp-snippets/", "DHCP snippets"),
    _empty("PackageRepositoriesHandler", "package-repositories/", "package repositories"),
    _empty("BootSourcesHandler", "boot-sources/", "boot sources"),
    _empty("BootSourceSelectionsHandler", "boot-sources/{boot_source_id}/selections/", "selections of a boot source"),
    _empty("DiscoveriesHandler", "discovery/", "discovered neighbours"),
    _empty(
        "NodeScriptsHandler",
        "scripts/",
        "scripts",
        filters=frozenset({"filters", "hardware_type", "include_script", "name", "tags", "type"}),
    ),
    _empty("CommissioningScriptsHandler", "commissioning-scripts/", "commissioning scripts"),
    _empty(
        "InstallationResultsHandler",
        "installation-results/",
        "results of scripts",
        filters=frozenset({"filters", "hardware_type", "include_output", "name", "result_type", "system_id", "type"}),
    ),
    _empty("NotificationsHandler", "notifications/", "notifications"),
    _empty("LicenseKeysHandler", "license-keys/", "license keys"),
    _empty("IPAddressesHandler", "ipaddresses/", "reserved addresses", filters=frozenset({"all", "ip", "owner"})),
    _empty("ReservedIPsHandler", "reservedips/", "addresses reserved for MAC addresses"),
    _empty("SSLKeysHandler", "account/prefs/sslkeys/", "SSL keys"),
    _empty(
        "NodeResultsHandler",
        f"{_NODE}results/",
        "results of scripts",
        find=find_machine_or_host,
        filters=frozenset({"filters", "hardware_type", "include_output", "type"}),
    ),
    _empty(
        "NodeDevicesHandler",
        f"{_NODE}devices/",
        "devices of a machine",
        find=find_machine_or_host,
        filters=frozenset(
            {"bus", "commissioning_driver", "hardware_type", "product_id", "product_name", "vendor_id", "vendor_name"}
        ),
    ),
    _empty("PartitionsHandler", f"{_NODE}blockdevices/{{device_id}}/partitions/", "partitions", find=_find_disk),
    _empty("RaidsHandler", f"{_NODE}raids/", "RAID arrays", find=find_machine_or_host),
    _empty("VolumeGroupsHandler", f"{_NODE}volume-groups/", "volume groups", find=find_machine_or_host),
    _empty("BcachesHandler", f"{_NODE}bcaches/", "bcaches", find=find_machine_or_host),
    _empty("BcacheCacheSetsHandler", f"{_NODE}bcache-cache-sets/", "cache sets of bcaches", find=find_machine_or_host),
    _empty("VmfsDatastoresHandler", f"{_NODE}vmfs-datastores/", "VMFS datastores", find=find_machine_or_host),
)
