"""VMs on real hypervisors as MAAS makes them, and the inventory that a dump of that MAAS gives of them."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from common.maas.inventory import Disk, Host, Inventory, Machine, Named, Nic, Origin, SourceKind, User
from common.trust.certificates import utc_now
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair

MAAS_UUID = "a1d3f7c2-5e60-4d0f-9f1f-0d2c8c1b7e55"
READY, DEPLOYED, ALLOCATED = 4, 6, 10
MEMORY_MIB, ROOT_BYTES, DATA_BYTES = 128, 16 * 1024**2, 8 * 1024**2
OWNER = "ops"


@cache
def maas_pair(host_name: str) -> KeyPair:
    """The pair that MAAS makes for a VM host: its issuer is the installation, not its subject."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    now = utc_now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{host_name}@maas")]))
        .issuer_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "MAAS"),
                    x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, MAAS_UUID),
                ]
            )
        )
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=3250))
        .sign(key, hashes.SHA512())
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return KeyPair(
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(), key_pem=plain.decode()
    )


@frozen(kw_only=True)
class MaasProject:
    """A project of an LXD server that a VM host of MAAS tracks. `host_id` is the host's id there."""

    server: LxdServer
    name: str
    host_id: str = "7"

    def make(self, instance: str, *, data_disk: bool = False, running: bool = False) -> str:
        """Creates a VM as MAAS composes it; returns the MAC address of its NIC."""
        devices: dict[str, Any] = {
            "root": {"type": "disk", "path": "/", "pool": "default", "size": str(ROOT_BYTES), "boot.priority": "0"},
            "eth0": {"type": "nic", "name": "eth0", "nictype": "bridged", "parent": self._bridge(),
                     "boot.priority": "1"},
        }  # fmt: skip
        if data_disk:
            volume = f"maas-{uuid4()}"
            body = {"name": volume, "content_type": "block", "config": {"size": str(DATA_BYTES)}}
            self._ask("/1.0/storage-pools/default/volumes/custom", method="POST", body=body)
            devices["disk1"] = {"type": "disk", "path": "", "pool": "default", "source": volume}
        config = {
            "limits.cpu": "1", "limits.memory": str(MEMORY_MIB * 1024**2), "limits.memory.hugepages": "false",
            "security.secureboot": "false",
        }  # fmt: skip
        made = {
            "name": instance, "type": "virtual-machine", "architecture": "x86_64", "source": {"type": "none"},
            "profiles": [], "config": config, "devices": devices,
        }  # fmt: skip
        target = f"&target={self.server.member}" if self.server.member else ""
        self.server.ask(f"/1.0/instances?project={self.name}{target}", method="POST", body=made)
        if running:
            self._ask(f"/1.0/instances/{instance}/state", method="PUT", body={"action": "start", "timeout": -1})
        return str(self._ask(f"/1.0/instances/{instance}")["config"]["volatile.eth0.hwaddr"])

    def _bridge(self) -> str:
        """A bridge that every member has; the lab's clusters have none that their product manages."""
        found = [one for one in self.server.ask("/1.0/networks?recursion=1") if one["type"] == "bridge"]
        return str(min(found, key=lambda one: not one["managed"])["name"])

    def untouched(self, instance: str) -> dict[str, str]:
        """What an import may not change: all of the instance but our marker, and its process with its start.

        Without what Incus writes while a VM runs: its clock, and that its config was changed.
        """
        found = self._ask(f"/1.0/instances/{instance}")
        pid = int(self._ask(f"/1.0/instances/{instance}/state")["pid"])
        kept = {
            f"{part} {key}": str(value)
            for part in ("config", "expanded_config", "devices", "expanded_devices")
            for key, value in found.pop(part).items()
            if not key.startswith(("user.innkeeper.", "volatile.vm."))
        }
        plain = {key: str(value) for key, value in found.items()}
        return {**plain, **kept, "pid": str(pid), "started": started(pid) if pid > 0 else ""}

    def is_marked(self, instance: str) -> bool:
        return any(key.startswith("user.innkeeper.") for key in self._ask(f"/1.0/instances/{instance}")["config"])

    def names(self) -> set[str]:
        return {str(one["name"]) for one in self._ask("/1.0/instances", recursion=True)}

    def volumes(self) -> set[str]:
        """The custom volumes of the project."""
        found = self._ask("/1.0/storage-pools/default/volumes/custom", recursion=True)
        return {str(one["name"]) for one in found if one["project"] == self.name}

    def host(self, pair: KeyPair, **more: Any) -> Host:
        values: dict[str, Any] = {
            "id": self.host_id, "name": f"kvm-{self.host_id}", "power_type": "lxd", "project": self.name,
            "power_address": self.server.address, "certificate": pair.certificate_pem, "key": pair.key_pem,
            "zone": "east", "pool": "web", "default_storage_pool": "default", **more,
        }  # fmt: skip
        return Host(**values)

    def machine(self, system_id: str, instance: str, status: int, mac: str, **more: Any) -> Machine:
        return maas_machine(
            system_id, instance, status, mac, host_id=self.host_id, project=self.name, attachment="bridge", **more
        )

    def _ask(self, path: str, *, method: str = "GET", body: Any = None, recursion: bool = False) -> Any:
        more = "&recursion=1" if recursion else ""
        return self.server.ask(f"{path}?project={self.name}{more}", method=method, body=body)


def started(pid: int) -> str:
    """When the process began, in the kernel's ticks since its own start."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def maas_machine(system_id: str, instance: str, status: int, mac: str, *, attachment: str, **more: Any) -> Machine:
    values: dict[str, Any] = {
        "system_id": system_id, "hostname": instance, "instance": instance, "status": status, "zone": "east",
        "pool": "web", "tags": ("virtual",), "architecture": "amd64/generic", "cores": 1, "memory_mib": MEMORY_MIB,
        "owner": OWNER if status in {DEPLOYED, ALLOCATED} else "",
        "nics": (Nic(name="eth0", mac_address=mac, attachment=attachment),),
        "disks": (Disk(name="sda", size_bytes=ROOT_BYTES, storage_pool="default"),), **more,
    }  # fmt: skip
    return Machine(**values)


def maas_inventory(hosts: tuple[Host, ...], machines: tuple[Machine, ...]) -> Inventory:
    return Inventory(
        origin=Origin(kind=SourceKind.DUMP, label="maas.dump", version="3.7", uuid=MAAS_UUID, name="maas"),
        zones=(Named(id="1", name="default"), Named(id="2", name="east")),
        pools=(Named(id="0", name="default"), Named(id="1", name="web")),
        tags=(Named(id="1", name="virtual"),),
        users=(User(id="2", username=OWNER, email="ops@example.com"),),
        hosts=hosts,
        machines=machines,
    )
