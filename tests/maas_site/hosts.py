"""The VM hosts of the made-up MAAS, the machines that are hosts, and BMCs that are none."""

from __future__ import annotations

from collections.abc import Sequence

from tests.maas_site.certificates import pair_of
from tests.maas_site.networks import BOOT, BOOT_VLAN, MAAS_DOMAIN, RACK, address
from tests.maas_site.tables import JOINED, Row, Tables, system_id

NORTH, SOUTH, LIBVIRT = 1, 2, 6
MEMBERS = (3, 4, 5)
METAL_BMC, VIRSH_BMC, SOUTH_METAL_BMC = 7, 8, 9  # ordinary power controllers
CLUSTER = 1
FIRST_MORE_HOST = 1001  # hosts of a site that was made larger
MEMBER_NAMES = {3: "rack-a", 4: "rack-b", 5: "rack-c"}
NAMES = {NORTH: "kvm-north", SOUTH: "kvm-south", **MEMBER_NAMES, LIBVIRT: "libvirt-1"}
PROJECTS = {NORTH: "maas", SOUTH: "maas", 3: "apps", 4: "apps", 5: "apps", LIBVIRT: ""}
ADDRESSES = {
    NORTH: "10.20.0.11:8443",
    SOUTH: "https://10.20.0.12:8443",
    3: "10.20.0.21",
    4: "10.20.0.22:8443",
    5: "10.20.0.23:8443",
    LIBVIRT: "qemu+ssh://ubuntu@10.20.0.31/system",
}
IPS = {NORTH: 11, SOUTH: 12, 3: 21, 4: 22, 5: 23, LIBVIRT: 31}  # the last part of the address
POOL_NAMES = ("default", "fast")
HOST_NODE = {number: number for number in NAMES}  # the machine that is the host
TRUST_PASSWORD, LIBVIRT_PASSWORD = "trust of the south", "p\\w\tof libvirt"
_TIMES = {"created": JOINED, "updated": JOINED}
FIRST_HOST_ADDRESS, FIRST_HOST_INTERFACE = 100, 100


def storage_pool(host: int, name: str) -> int:
    """The id of a storage pool of the host."""
    return host * 10 + POOL_NAMES.index(name)


def hosts() -> Tables:
    return {
        "maasserver_bmc": [
            _lxd(NORTH, zone=2, tags=["ssd", "pod-console-logging"], cpu_ratio=4.0, memory_ratio=1.5, macvlan="bridge"),
            _lxd(SOUTH, zone=3, pool=1),
            *(_lxd(one, zone=3, pool=2, tags=None, member=MEMBER_NAMES[one] if one > 3 else "") for one in MEMBERS),
            _libvirt(),
            _plain(METAL_BMC, "ipmi", {"power_address": "10.20.0.200", "power_user": "root"}),
            _plain(VIRSH_BMC, "virsh", {"power_address": "qemu+ssh://root@10.20.0.77/system"}),
            _plain(SOUTH_METAL_BMC, "redfish", {"power_address": "10.20.0.201", "power_user": "root", "node_id": "1"}),
        ],
        "maasserver_podhints": [_hints(one, CLUSTER if one in MEMBERS else None) for one in NAMES],
        # The hosts of LXD only: libvirt's machine is found by its address.
        "maasserver_podhints_nodes": [
            {"id": one, "podhints_id": one * 2, "node_id": HOST_NODE[one]} for one in NAMES if one != LIBVIRT
        ],
        "maasserver_podstoragepool": [row for one in NAMES for row in _storage_pools(one)],
        "maasserver_vmcluster": [
            {"id": CLUSTER, "name": "apps-cluster", "project": "apps", "zone_id": 3, "pool_id": 2, **_TIMES}
        ],
        "maasserver_bmcroutablerackcontrollerrelationship": [
            {"id": one, "bmc_id": one, "rack_controller_id": RACK, "routable": True, **_TIMES} for one in NAMES
        ],
        "maasserver_staticipaddress": [
            host_address(FIRST_HOST_ADDRESS + one, address(BOOT, ip)) for one, ip in IPS.items()
        ],
        **_host_machines(),
        "maasserver_secret": _secrets(),
        "maasserver_vaultsecret": [],
    }


def more_hosts(copy: int) -> Tables:
    """One more LXD host, for a larger site; `copy` counts from 1."""
    number = FIRST_MORE_HOST + copy - 1
    name = f"kvm-{copy:04}"
    row = _lxd(NORTH, zone=2) | {"id": number, "name": name, "ip_address_id": None}
    row["default_storage_pool_id"] = storage_pool(number, "default")
    row["power_parameters"] = row["power_parameters"] | {"power_address": f"{name}.example.com:8443"}
    return {
        "maasserver_bmc": [row],
        "maasserver_podhints": [_hints(number, None)],
        "maasserver_podstoragepool": _storage_pools(number),
        "maasserver_secret": [_secret(number, f"bmc/{number}/power-parameters", {"key": _key("kvm-north")})],
    }


def node(number: int, hostname: str, *, node_type: int = 0, **others: object) -> Row:
    """A row of `maasserver_node`; what is not given is as on a machine that is Ready."""
    return {
        "id": number, "system_id": system_id(number), "hostname": hostname, "node_type": node_type,
        "domain_id": MAAS_DOMAIN, "zone_id": 1, "pool_id": 0 if node_type == 0 else None, "owner_id": None,
        "status": 4, "previous_status": 1, "power_state": "off", "power_state_updated": JOINED,
        "power_state_queried": JOINED, "architecture": "amd64/generic", "cpu_count": 2, "memory": 4096,
        "cpu_speed": 2400, "bmc_id": None, "instance_power_parameters": {}, "parent_id": None, "dynamic": False,
        "netboot": True, "osystem": "", "distro_series": "", "hwe_kernel": None, "ephemeral_deploy": False,
        "bios_boot_method": None, "hardware_uuid": None, "locked": False, "error_description": "", "description": "",
        "install_kvm": False, "register_vmhost": False, "enable_hw_sync": False, "current_config_id": number,
        "hostname_suffix": None, "agent_name": "", "is_dpu": False, "enable_kernel_crash_dump": False, **_TIMES,
        **others,
    }  # fmt: skip


def host_address(number: int, ip: str | None, *, alloc_type: int = 1, subnet: int | None = BOOT) -> Row:
    """A row of `maasserver_staticipaddress` without a user."""
    return {
        "id": number, "ip": ip, "alloc_type": alloc_type, "subnet_id": subnet, "user_id": None, "lease_time": 0,
        "temp_expires_on": None, **_TIMES,
    }  # fmt: skip


def interface(number: int, config: int, name: str, mac: str, vlan: int | None, **others: object) -> Row:
    """A row of `maasserver_interface`, of a physical one unless it says otherwise."""
    return {
        "id": number, "node_config_id": config, "name": name, "type": "physical", "mac_address": mac, "vlan_id": vlan,
        "enabled": True, "params": {}, "tags": [], "acquired": False, "sriov_max_vf": 0, "numa_node_id": None,
        "link_speed": 0, "interface_speed": 0, "link_connected": True, "vendor": None, "product": None,
        "firmware_version": None, "mdns_discovery_state": False, "neighbour_discovery_state": False, **_TIMES,
        **others,
    }  # fmt: skip


def _host_machines() -> Tables:
    deployed: Row = {"status": 6, "power_state": "on", "osystem": "ubuntu", "distro_series": "noble", "netboot": False}
    nodes = [
        node(NORTH, NAMES[NORTH], dynamic=True, **deployed),
        node(SOUTH, "south-metal", bmc_id=SOUTH_METAL_BMC, owner_id=3, install_kvm=True, **deployed),
        *(node(one, NAMES[one], dynamic=True, **deployed) for one in MEMBERS),
        node(LIBVIRT, "libvirt-metal", bmc_id=METAL_BMC, owner_id=3, **deployed),
        node(RACK, "rack-1", node_type=4, dynamic=False),
        node(11, "printer", node_type=1),
        node(12, "metal", bmc_id=METAL_BMC, cpu_count=64, memory=262144),
        node(13, "by-hand", bmc_id=VIRSH_BMC, instance_power_parameters={"power_id": "by-hand"}),
    ]
    return {
        "maasserver_node": nodes,
        "maasserver_nodeconfig": [
            {"id": one["id"], "node_id": one["id"], "name": "discovered", **_TIMES} for one in nodes
        ],
        "maasserver_interface": [
            interface(FIRST_HOST_INTERFACE + one, one, "eno1", f"0c:c4:7a:00:00:{one:02x}", BOOT_VLAN)
            for one in (*NAMES, RACK, 11, 12, 13)
        ],
        "maasserver_interface_ip_addresses": [
            {"id": one, "interface_id": FIRST_HOST_INTERFACE + one, "staticipaddress_id": FIRST_HOST_ADDRESS + one}
            for one in NAMES
        ],
        "maasserver_numanode": [
            {"id": one, "node_id": one, "index": 0, "cores": list(range(16)), "memory": 131072, **_TIMES}
            for one in NAMES
        ],
    }


def _lxd(
    number: int, *, zone: int, pool: int = 0, tags: Sequence[str] | None = (), cpu_ratio: float = 1.0,
    memory_ratio: float = 1.0, macvlan: str | None = None, member: str = "",
) -> Row:  # fmt: skip
    parameters = {
        "power_address": ADDRESSES[number], "project": PROJECTS[number],
        "certificate": pair_of(_pair_name(number)).certificate_pem.decode(),
    } | ({"instance_name": member} if member else {})  # fmt: skip
    return _bmc(number, "lxd", parameters) | {
        "bmc_type": 1, "name": NAMES[number], "zone_id": zone, "pool_id": pool,
        "tags": tags if tags is None else list(tags), "version": "5.21.4", "cores": 32, "cpu_speed": 2400,
        "memory": 131072, "local_storage": 4_000_000_000_000, "cpu_over_commit_ratio": cpu_ratio,
        "memory_over_commit_ratio": memory_ratio, "default_storage_pool_id": storage_pool(number, "default"),
        "default_macvlan_mode": macvlan, "created_with_trust_password": False,
        "created_with_maas_generated_cert": True, "created_with_cert_expiration_days": 3649,
    }  # fmt: skip


def _libvirt() -> Row:
    return _lxd(NORTH, zone=1) | {
        "id": LIBVIRT, "name": NAMES[LIBVIRT], "power_type": "virsh", "version": "", "architectures": ["amd64/generic"],
        "power_parameters": {"power_address": ADDRESSES[LIBVIRT]}, "ip_address_id": FIRST_HOST_ADDRESS + LIBVIRT,
        "default_storage_pool_id": storage_pool(LIBVIRT, "fast"), "created_with_trust_password": None,
        "created_with_maas_generated_cert": None, "created_with_cert_expiration_days": None,
    }  # fmt: skip


def _plain(number: int, power_type: str, parameters: dict[str, str]) -> Row:
    return _bmc(number, power_type, parameters) | {"ip_address_id": None}


def _bmc(number: int, power_type: str, parameters: dict[str, str]) -> Row:
    return {
        "id": number, "bmc_type": 0, "power_type": power_type, "power_parameters": parameters, "name": "",
        "version": "", "architectures": ["amd64/generic", "i386/generic"], "capabilities": ["composable"], "tags": [],
        "zone_id": 1, "pool_id": None, "cores": 0, "cpu_speed": 0, "memory": 0, "local_storage": 0,
        "cpu_over_commit_ratio": 1.0, "memory_over_commit_ratio": 1.0, "default_storage_pool_id": None,
        "default_macvlan_mode": None, "ip_address_id": FIRST_HOST_ADDRESS + number,
        "created_by_commissioning": False, "created_with_trust_password": None,
        "created_with_maas_generated_cert": None, "created_with_cert_expiration_days": None, **_TIMES,
    }  # fmt: skip


def _hints(host: int, cluster: int | None) -> Row:
    return {
        "id": host * 2, "pod_id": host, "cluster_id": cluster, "cores": 8, "memory": 65536, "cpu_speed": 2400,
        "local_storage": 1_000_000_000_000, **_TIMES,
    }  # fmt: skip


def _storage_pools(host: int) -> list[Row]:
    is_lxd = host != LIBVIRT
    return [
        {
            "id": storage_pool(host, name), "pod_id": host, "name": name,
            "pool_id": name if is_lxd else f"6f1c0f3e-0000-4000-8000-{storage_pool(host, name):012}",
            "pool_type": "zfs" if is_lxd else "dir", "path": "Unknown" if is_lxd else f"/var/lib/libvirt/{name}",
            "storage": 2_000_000_000_000, **_TIMES,
        }
        for name in POOL_NAMES
    ]  # fmt: skip


def _secrets() -> list[Row]:
    values: list[tuple[str, object]] = [
        ("global/rpc-shared", {"secret": "not for an importer"}),
        (f"node/{SOUTH}/deploy-metadata", {"virsh-password": "nor this"}),
        (f"bmc/{METAL_BMC}/power-parameters", {"power_pass": "nor that"}),
        (f"bmc/{LIBVIRT}/power-parameters", {"power_pass": LIBVIRT_PASSWORD}),
        (f"bmc/{SOUTH}/power-parameters", {"key": _key(NAMES[SOUTH]), "password": TRUST_PASSWORD}),
        *((f"bmc/{one}/power-parameters", {"key": _key(_pair_name(one))}) for one in (NORTH, *MEMBERS)),
    ]
    return [_secret(number, path, value) for number, (path, value) in enumerate(values, start=1)]


def _secret(number: int, path: str, value: object) -> Row:
    return {"id": number, "path": path, "value": value, **_TIMES}


def _pair_name(host: int) -> str:
    """All members of a cluster trust the same pair."""
    return "cluster" if host in MEMBERS else NAMES[host]


def _key(name: str) -> str:
    return pair_of(name).key_pem.decode()
