"""What the server says of itself and does not change: facts, resources, a storage pool, networks, projects."""

from __future__ import annotations

from typing import Any

from tests.lxd_http.messages import API, Answer, Refused, Request, etag_of, sync
from tests.lxd_http.state import NETWORK, Lxd
from tests.lxd_http.trust import is_trusted

GIB = 1024**3
CORES, HUGE_PAGE_BYTES, HUGE_PAGES = 4, 2 * 1024**2, 512
POOL_BYTES, POOL_USED_BYTES = 8 * GIB, 1 * GIB
GATEWAY = "10.9.0.1"
BRIDGE, PORT = "br0", "enp3s0"
INTERFACES = frozenset({NETWORK, BRIDGE, PORT, "lo"})


def about(lxd: Lxd, request: Request) -> Answer:
    """`/1.0`, the only answer to a client without a trusted certificate."""
    trusted = is_trusted(lxd, request)
    public = {
        "api_extensions": list(lxd.release.extensions)
        if trusted or lxd.release.lists_extensions_before_trust
        else None,
        "api_status": "stable",
        "api_version": "1.0",
        "public": False,
    }
    auth = {"auth": "trusted" if trusted else "untrusted", "auth_methods": ["tls"]}
    if not trusted:
        return sync({**public, **auth})
    environment = {
        "architectures": ["x86_64", "i686"], "certificate_fingerprint": "5e" * 32, "driver": "lxc | qemu",
        "driver_version": f"{lxd.release.version} | 7.2.22", "kernel_architecture": "x86_64",
        "project": request.project, "server": lxd.release.product, "server_clustered": lxd.member is not None,
        "server_name": lxd.member or "double",
        "server_version": lxd.release.version, "storage": "dir",
    }  # fmt: skip
    return sync({"config": {}, **public, **auth, "environment": environment})


def resources(lxd: Lxd, request: Request) -> Answer:
    cores = [
        {"core": number, "die": 0, "threads": [{"id": number, "numa_node": 0, "thread": 0, "online": True}]}
        for number in range(CORES)
    ]
    port = {"id": PORT, "address": "3c:fd:fe:00:00:01", "port": 0, "link_detected": True, "link_speed": 10000}
    card = {
        "pci_address": "0000:3b:00.0", "vendor": "Intel", "vendor_id": "8086", "product": "X710", "product_id": "1572",
        "numa_node": 0, "ports": [port], "sriov": {"current_vfs": 0, "maximum_vfs": 8, "vfs": None},
    }  # fmt: skip
    huge = HUGE_PAGES * HUGE_PAGE_BYTES
    node = {"numa_node": 0, "hugepages_used": 0, "hugepages_total": huge, "used": GIB, "total": 16 * GIB}
    socket = {"name": "AMD EPYC", "vendor": "AuthenticAMD", "socket": 0, "cores": cores}
    return sync(
        {
            "cpu": {"architecture": "x86_64", "sockets": [socket], "total": CORES},
            "memory": {
                "nodes": [node], "hugepages_total": huge, "hugepages_used": 0, "hugepages_size": HUGE_PAGE_BYTES,
                "used": GIB, "total": 16 * GIB,
            },
            "gpu": {"cards": [], "total": 0},
            "network": {"cards": [card], "total": 1},
        }
    )  # fmt: skip


def pools(lxd: Lxd, request: Request) -> Answer:
    names = sorted(lxd.pools)
    return sync(
        [_pool(lxd, name) for name in names] if request.recursion else [f"{API}/storage-pools/{n}" for n in names]
    )


def pool(lxd: Lxd, request: Request, name: str) -> Answer:
    lxd.check_pool(name)
    return sync(_pool(lxd, name), etag=etag_of(name))


def _pool(lxd: Lxd, name: str) -> dict[str, Any]:
    status = "Unavailable" if name in lxd.unavailable_pools else "Created"
    return {
        "config": {"source": f"/var/lib/lxd/storage-pools/{name}"}, "description": "", "name": name, "driver": "dir",
        "used_by": [], "status": status, "locations": ["none"],
    }  # fmt: skip


def pool_resources(lxd: Lxd, request: Request, name: str) -> Answer:
    """Volumes are sparse files without content: what is used does not grow with them."""
    lxd.check_pool(name)
    return sync({"space": {"used": POOL_USED_BYTES, "total": POOL_BYTES}, "inodes": {"used": 1, "total": 1000}})


def networks(lxd: Lxd, request: Request) -> Answer:
    lxd.check_project(request.project)
    return sync([_managed(), _interface("lo", "loopback"), _interface(BRIDGE, "bridge"), _interface(PORT, "physical")])


def network(lxd: Lxd, request: Request, name: str) -> Answer:
    _check_managed(name, "Network not found")
    return sync(_managed(), etag=etag_of(name))


def network_state(lxd: Lxd, request: Request, name: str) -> Answer:
    if name not in INTERFACES:
        raise Refused(404, f'Network interface "{name}" not found')
    own = {"family": "inet", "address": GATEWAY, "netmask": "24", "scope": "global"}
    bridge = {"id": "8000.00163e000001", "stp": False, "upper_devices": []}
    return sync(
        {
            "addresses": [own] if name == NETWORK else [], "hwaddr": "00:16:3e:00:00:01", "mtu": 1500, "state": "up",
            "type": "broadcast", "bond": None, "bridge": None if name == PORT else bridge, "vlan": None, "ovn": None,
        }
    )  # fmt: skip


def leases(lxd: Lxd, request: Request, name: str) -> Answer:
    """The gateway, and the static leases of instances; no guest has asked for another one."""
    _check_managed(name, "Failed loading network: Network not found")
    gateway = {"hostname": f"{name}.gw", "hwaddr": "", "address": GATEWAY, "type": "gateway", "location": ""}
    static = [
        {
            "hostname": one.name, "hwaddr": device.get("hwaddr") or one.config[f"volatile.{key}.hwaddr"],
            "address": device["ipv4.address"], "type": "static", "location": "none",
        }
        for one in lxd.instances.values()
        for key, device in lxd.expanded_devices(one).items()
        if device.get("network") == name and "ipv4.address" in device
    ]  # fmt: skip
    return sync([gateway, *static])


def _check_managed(name: str, message: str) -> None:
    if name != NETWORK:
        raise Refused(404, message)


def _managed() -> dict[str, Any]:
    config = {"ipv4.address": f"{GATEWAY}/24", "ipv6.address": "none"}
    return {**_interface(NETWORK, "bridge"), "config": config, "managed": True, "status": "Created"}


def _interface(name: str, kind: str) -> dict[str, Any]:
    return {
        "config": {}, "description": "", "name": name, "type": kind, "used_by": [], "managed": False, "status": "",
        "locations": None,
    }  # fmt: skip


def projects(lxd: Lxd, request: Request) -> Answer:
    return sync([_project(lxd, name) for name in sorted(lxd.projects - lxd.forbidden_projects)])


def project(lxd: Lxd, request: Request, name: str) -> Answer:
    if name not in lxd.projects:
        raise Refused(404, "Project not found")
    return sync(_project(lxd, name), etag=etag_of(name))


def _project(lxd: Lxd, name: str) -> dict[str, Any]:
    features = dict.fromkeys(("images", "networks", "profiles", "storage.volumes"), "true")
    config = {f"features.{key}": text for key, text in features.items()}
    found = {"config": config, "description": "", "name": name, "used_by": []}
    mode = "standby" if name in lxd.standby_projects else ""
    return {**found, "replica_mode": mode} if lxd.release.has_replicas else found


def profiles(lxd: Lxd, request: Request) -> Answer:
    lxd.check_project(request.project)
    return sync([{"name": name, "description": "", "used_by": [], **one} for name, one in lxd.profiles.items()])


def profile(lxd: Lxd, request: Request, name: str) -> Answer:
    lxd.check_project(request.project)
    if name not in lxd.profiles:
        raise Refused(404, "Fetch profile: Profile not found")
    return sync({"name": name, "description": "", "used_by": [], **lxd.profiles[name]}, etag=etag_of(name))
