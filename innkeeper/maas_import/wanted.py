"""The tables and columns of MAAS that an import needs. Nothing else of a dump or database is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

Values = Mapping[str, str | None]
OPENFGA = "openfga"
DISCOVERED_ADDRESS = "6"  # a lease that was seen: no link
SETTINGS = ("maas_name", "uuid", "vault_enabled")  # others are secrets, or nothing for an import


def _all(_: Values) -> bool:
    return True


@frozen(kw_only=True)
class Wanted:
    """`columns` every supported schema has, if it has the table; `later` ones are of some releases.

    `optional`: not every supported schema has the table. `gone`: MAAS 4.0 has dropped it. `keep` chooses rows.
    """

    columns: tuple[str, ...]
    later: tuple[str, ...] = ()
    schema: str = "public"
    optional: bool = False
    gone: bool = False
    keep: Callable[[Values], bool] = _all


def _table(columns: str, later: str = "", *, optional: bool = False, gone: bool = False) -> Wanted:
    return Wanted(columns=tuple(columns.split()), later=tuple(later.split()), optional=optional, gone=gone)


def _chosen(columns: str, keep: Callable[[Values], bool], *, optional: bool = False) -> Wanted:
    return Wanted(columns=tuple(columns.split()), keep=keep, optional=optional)


def _of_bmc(row: Values) -> bool:
    return (row["path"] or "").startswith("bmc/")


# The columns of `maasserver_bmc` that 4.0 has dropped; every other supported schema has them.
BMC_OF_HOSTS = (
    "bmc_type", "name", "zone_id", "pool_id", "tags", "version", "architectures", "cpu_over_commit_ratio",
    "memory_over_commit_ratio", "default_storage_pool_id", "default_macvlan_mode",
)  # fmt: skip
TABLES: Mapping[str, Wanted] = {
    "alembic_version": _table("version_num", optional=True),
    "django_migrations": _chosen("app name", lambda row: row["app"] == "maasserver", optional=True),
    "auth_user": _table("id username email is_superuser is_active last_name password"),
    "maasserver_userprofile": _table("user_id is_local", "provider_id"),
    "maasserver_sshkey": _table("id user_id key"),
    "piston3_consumer": _table("id key name user_id"),
    "piston3_token": _table("id key secret token_type is_approved consumer_id user_id"),
    "maasserver_nodekey": _table("token_id"),
    "maasserver_usergroup": _table("id", "name", optional=True),
    "tuple": Wanted(
        columns=("object_type", "object_id", "relation", "_user"), schema=OPENFGA, optional=True,
        keep=lambda row: row["relation"] == "member" or str(row["_user"]).endswith("#member"),
    ),
    "maasserver_zone": _table("id name description"),
    "maasserver_resourcepool": _table("id name description"),
    "maasserver_tag": _table("id name definition comment kernel_opts"),
    "maasserver_space": _table("id name description"),
    "maasserver_fabric": _table("id name class_type description"),
    "maasserver_vlan": _table("id vid name mtu fabric_id space_id dhcp_on", "description"),
    "maasserver_subnet": _table(
        "id cidr name vlan_id gateway_ip dns_servers managed allow_dns allow_proxy active_discovery rdns_mode",
        "description",
    ),
    "maasserver_iprange": _table("id type start_ip end_ip subnet_id comment"),
    "maasserver_reservedip": _table("id ip mac_address subnet_id comment", optional=True),
    "maasserver_domain": _table("id name authoritative ttl"),
    "maasserver_globaldefault": _table("domain_id"),
    "maasserver_dnsresource": _table("id name domain_id address_ttl"),
    "maasserver_dnsresource_ip_addresses": _table("dnsresource_id staticipaddress_id"),
    "maasserver_dnsdata": _table("id dnsresource_id rrtype rrdata ttl"),
    "maasserver_staticipaddress": _chosen(
        "id ip alloc_type subnet_id user_id temp_expires_on", lambda row: row["alloc_type"] != DISCOVERED_ADDRESS
    ),
    "maasserver_interface": Wanted(
        columns=("id", "node_config_id", "name", "type", "mac_address", "vlan_id", "enabled", "tags"),
        later=("switch_id",), keep=lambda row: row["type"] != "unknown",
    ),
    "maasserver_interface_ip_addresses": _table("interface_id staticipaddress_id"),
    "maasserver_bmc": _table("id power_type power_parameters ip_address_id", " ".join(BMC_OF_HOSTS)),
    "maasserver_podhints": _table("id pod_id cluster_id", gone=True),
    "maasserver_podhints_nodes": _table("podhints_id node_id", gone=True),
    "maasserver_podstoragepool": _table("id pod_id name", gone=True),
    "maasserver_vmcluster": _table("id name project zone_id pool_id", gone=True),
    "maasserver_virtualmachine": _table(
        "id bmc_id identifier project unpinned_cores pinned_cores memory hugepages_backed machine_id", gone=True
    ),
    "maasserver_virtualmachinedisk": _table("id vm_id name size backing_pool_id block_device_id", gone=True),
    "maasserver_virtualmachineinterface": _table("vm_id mac_address attachment_type", gone=True),
    "maasserver_secret": _chosen("path value", _of_bmc),
    "maasserver_vaultsecret": _chosen("path deleted", lambda row: _of_bmc(row) and row["deleted"] != "t"),
    "maasserver_config": _chosen("name value", lambda row: row["name"] in SETTINGS),
    "maasserver_node": _table(
        "id system_id hostname node_type domain_id zone_id pool_id owner_id status power_state architecture cpu_count "
        "memory bmc_id instance_power_parameters dynamic osystem distro_series hardware_uuid locked description "
        "current_config_id"
    ),
    "maasserver_nodeconfig": _table("id node_id"),
    "maasserver_node_tags": _table("node_id tag_id"),
    "maasserver_ownerdata": _table("id node_id key value"),
    "maasserver_blockdevice": _table("id name size tags node_config_id"),
    "maasserver_physicalblockdevice": _table("blockdevice_ptr_id serial"),
}  # fmt: skip
