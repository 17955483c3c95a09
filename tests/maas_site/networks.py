"""The networks, names and groups of the made-up MAAS."""

from __future__ import annotations

from ipaddress import ip_address

from tests.maas_site.certificates import NAME, UUID
from tests.maas_site.people import ADMIN, OPERATOR
from tests.maas_site.tables import JOINED, Row, Tables

BOOT_VLAN, APPS_VLAN, STORAGE_VLAN = 5001, 5002, 5003
BOOT, APPS, STORAGE, APPS_IPV6 = 1, 2, 3, 4  # subnets
CIDRS = {BOOT: "10.20.0.0/16", APPS: "10.30.0.0/16", STORAGE: "172.16.0.0/16", APPS_IPV6: "2001:db8:30::/64"}
POOLS = {0: "default", 1: "infra", 2: "tenants"}
ZONES = {1: "default", 2: "north", 3: "south"}
CONSOLE_TAG, VIRTUAL_TAG, DATABASE_TAG = 1, 2, 3
MAAS_DOMAIN, EXAMPLE_DOMAIN = 0, 1
RACK = 10
_TIMES = {"created": JOINED, "updated": JOINED}


def address(subnet: int, number: int) -> str:
    """The address at this place in the subnet."""
    return str(ip_address(CIDRS[subnet].partition("/")[0]) + number)


def networks() -> Tables:
    return {
        "maasserver_fabric": [
            {"id": 0, "name": None, "class_type": None, "description": "", **_TIMES},
            {"id": 1, "name": "storage", "class_type": "10g", "description": "Disks\nand backups", **_TIMES},
        ],
        "maasserver_space": [
            {"id": 1, "name": "apps", "description": "", **_TIMES},
            {"id": 2, "name": "storage", "description": "only inside", **_TIMES},
        ],
        "maasserver_vlan": [
            _vlan(BOOT_VLAN, 0, "untagged", fabric=0, dhcp_on=True),
            _vlan(APPS_VLAN, 10, "apps", fabric=0, space=1),
            _vlan(STORAGE_VLAN, 0, None, fabric=1, space=2, mtu=9000),
        ],
        "maasserver_subnet": [
            _subnet(BOOT, BOOT_VLAN, "boot", gateway_ip="10.20.0.1", dns_servers=["10.20.0.2", "10.20.0.3"]),
            _subnet(APPS, APPS_VLAN, "apps", gateway_ip="10.30.0.1", allow_proxy=False, rdns_mode=1),
            _subnet(STORAGE, STORAGE_VLAN, CIDRS[STORAGE], managed=False, allow_dns=False, rdns_mode=0),
            _subnet(APPS_IPV6, APPS_VLAN, "apps, IPv6", dns_servers=None),
        ],
        "maasserver_iprange": [
            _range(1, BOOT, "dynamic", 0xFF00, 0xFFC8),
            _range(2, APPS, "reserved", 1, 50, comment="gear with fixed addresses"),
            _range(3, STORAGE, "reserved", 0x1000, 0x10FF),
        ],
        "maasserver_staticroute": [
            {"id": 1, "source_id": APPS, "destination_id": STORAGE, "gateway_ip": "10.30.0.1", "metric": 0, **_TIMES}
        ],
        "maasserver_reservedip": [
            {"id": 1, "subnet_id": BOOT, "ip": "10.20.9.9", "mac_address": "52:54:00:99:99:99",
             "comment": "the printer", **_TIMES}
        ],
        "maasserver_domain": [
            {"id": MAAS_DOMAIN, "name": "maas", "authoritative": True, "ttl": None, **_TIMES},
            {"id": EXAMPLE_DOMAIN, "name": "example.com", "authoritative": True, "ttl": 30, **_TIMES},
        ],
        "maasserver_globaldefault": [{"id": 0, "domain_id": MAAS_DOMAIN, **_TIMES}],
        "maasserver_dnsresource": [
            {"id": 1, "name": "www", "domain_id": EXAMPLE_DOMAIN, "address_ttl": 60, **_TIMES},
            {"id": 2, "name": "info", "domain_id": EXAMPLE_DOMAIN, "address_ttl": None, **_TIMES},
        ],
        "maasserver_dnsresource_ip_addresses": [{"id": 1, "dnsresource_id": 1, "staticipaddress_id": 1}],
        "maasserver_dnsdata": [
            {"id": 1, "dnsresource_id": 2, "rrtype": "TXT", "rrdata": '"a \\"quoted\\" text"', "ttl": None, **_TIMES}
        ],
        "maasserver_staticipaddress": [_user_reserved(1, "10.30.0.80", APPS)],
        "maasserver_interface_ip_addresses": [],
        **_groups(),
    }  # fmt: skip


def _groups() -> Tables:
    return {
        "maasserver_zone": [
            {"id": number, "name": name, "description": "The cold side" if name == "north" else "", **_TIMES}
            for number, name in ZONES.items()
        ],
        "maasserver_defaultresource": [{"id": 1, "zone_id": 1, **_TIMES}],
        "maasserver_resourcepool": [
            {"id": number, "name": name, "description": f"Pool {name}", **_TIMES} for number, name in POOLS.items()
        ],
        "maasserver_tag": [
            _tag(CONSOLE_TAG, "pod-console-logging", kernel_opts="console=tty1 console=ttyS0"),
            _tag(VIRTUAL_TAG, "virtual", definition="//node[@id='system'][contains(text(), 'KVM')]"),
            _tag(DATABASE_TAG, "database", comment="PostgreSQL; no others"),
        ],
        "maasserver_config": [
            {"id": number, "name": name, "value": value}
            for number, (name, value) in enumerate(
                (("maas_name", NAME), ("uuid", UUID), ("default_distro_series", "noble"), ("completed_intro", True)), 1
            )
        ],
        "maasserver_controllerinfo": [{"node_id": RACK, "version": "3.7.3-17000-g.abcdef", **_TIMES}],
    }


def _vlan(
    number: int, vid: int, name: str | None, *, fabric: int, space: int | None = None, mtu: int = 1500,
    dhcp_on: bool = False,
) -> Row:  # fmt: skip
    return {
        "id": number, "vid": vid, "name": name, "mtu": mtu, "fabric_id": fabric, "space_id": space, "dhcp_on": dhcp_on,
        "relay_vlan_id": None, "primary_rack_id": RACK if dhcp_on else None, "secondary_rack_id": None,
        "external_dhcp": None, "description": "", **_TIMES,
    }  # fmt: skip


def _subnet(number: int, vlan: int, name: str, **others: object) -> Row:
    return {
        "id": number, "cidr": CIDRS[number], "name": name, "vlan_id": vlan, "gateway_ip": None, "dns_servers": [],
        "managed": True, "allow_dns": True, "allow_proxy": True, "active_discovery": False, "rdns_mode": 2,
        "description": "", "disabled_boot_architectures": [], **_TIMES, **others,
    }  # fmt: skip


def _range(number: int, subnet: int, type_: str, first: int, last: int, comment: str | None = None) -> Row:
    return {
        "id": number, "type": type_, "start_ip": address(subnet, first), "end_ip": address(subnet, last),
        "subnet_id": subnet, "user_id": ADMIN, "comment": comment, **_TIMES,
    }  # fmt: skip


def _tag(number: int, name: str, *, definition: str = "", comment: str = "", kernel_opts: str = "") -> Row:
    return {
        "id": number, "name": name, "definition": definition, "comment": comment, "kernel_opts": kernel_opts, **_TIMES
    }  # fmt: skip


def _user_reserved(number: int, ip: str, subnet: int) -> Row:
    return {
        "id": number, "ip": ip, "alloc_type": 4, "subnet_id": subnet, "user_id": OPERATOR, "lease_time": 0,
        "temp_expires_on": None, **_TIMES,
    }  # fmt: skip
