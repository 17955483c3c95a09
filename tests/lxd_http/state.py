"""The objects of the server: instances, storage volumes, images and operations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import define, field

from tests.lxd_http.messages import API, DEFAULT_PROJECT, Refused
from tests.lxd_http.releases import LXD_5_0, Release

RUNNING, STOPPED, FROZEN = 103, 102, 110
STATUS = {RUNNING: "Running", STOPPED: "Stopped", FROZEN: "Frozen"}
VM = "virtual-machine"
POOL = "default"
SHARED = "security.shared"  # of a volume
NETWORK = "lxdbr0"
APPLY_QUOTA = "volatile.root.apply_quota"  # the root disk is to grow at the next start
NEVER_USED = "1970-01-01T00:00:00Z"
NEVER = "0001-01-01T00:00:00Z"

Devices = dict[str, dict[str, str]]


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@define
class Disk:
    """`content` is followed by zeros."""

    size_bytes: int
    content: bytes = b""


@define(kw_only=True)
class Instance:
    name: str
    project: str
    architecture: str
    description: str
    profiles: list[str]
    config: dict[str, str]
    devices: Devices
    root: Disk
    status_code: int = STOPPED
    slots: dict[str, int] = field(factory=dict)  # the PCI slots of the NICs that its QEMU has, by device
    ports: int = 0  # the slots that its QEMU has for NICs
    created_at: str = field(factory=now)
    last_used_at: str = NEVER_USED  # when it was started last
    member: str = ""  # in a cluster, another one than that of the server
    ephemeral: bool = False
    stateful: bool = False  # its memory is saved
    restored: bool = False  # it runs since its memory was restored
    snapshots: list[str] = field(factory=list)

    @property
    def url(self) -> str:
        return url_of("instances", self.name, self.project)


@define(kw_only=True)
class Volume:
    """A custom volume."""

    pool: str
    name: str
    project: str
    content_type: str
    config: dict[str, str]
    disk: Disk
    description: str = ""
    created_at: str = field(factory=now)
    member: str = ""  # in a cluster, another one than that of the server


@define(kw_only=True)
class Backup:
    """`archive` is the tar file."""

    archive: bytes
    made_at: str
    expires_at: str


@define(kw_only=True)
class Image:
    """`metadata` and `disk` are the two files of a split image of a VM."""

    fingerprint: str
    project: str
    architecture: str
    properties: dict[str, str]
    created_at: str
    metadata: bytes
    disk: bytes
    aliases: list[str] = field(factory=list)
    uploaded_at: str = field(factory=now)


@define(kw_only=True)
class Identity:
    """Has the permissions of its groups. `secret` is that of the token by which a client becomes it."""

    name: str
    groups: list[str]
    secret: str
    certificate_pem: str = ""


@define
class Lxd:
    """The server. `lock` is held for each request, so that each sees the objects as the one before left them."""

    release: Release = LXD_5_0
    member: str | None = None  # its name in a cluster
    other_members: set[str] = field(factory=set)  # of the same cluster
    own_fingerprint: str = ""  # of its certificate
    certificates: dict[str, dict[str, Any]] = field(factory=dict)  # the trust list, by fingerprint
    trust_tokens: set[str] = field(factory=set)  # secrets
    identities: dict[str, Identity] = field(factory=dict)  # by the fingerprint of the certificate
    pending_identities: dict[str, Identity] = field(factory=dict)  # by an id
    groups: dict[str, set[str]] = field(factory=dict)  # permissions, as `server admin`, `project default operator`
    placement_groups: dict[tuple[str, str], dict[str, Any]] = field(factory=dict)  # by project and name
    instances: dict[tuple[str, str], Instance] = field(factory=dict)  # by project and name
    volumes: dict[tuple[str, str, str], Volume] = field(factory=dict)  # by project, pool and name
    images: dict[tuple[str, str], Image] = field(factory=dict)  # by project and fingerprint
    operations: dict[str, dict[str, Any]] = field(factory=dict)
    projects: set[str] = field(factory=lambda: {DEFAULT_PROJECT})
    standby_projects: set[str] = field(factory=set)  # replicas of those of another cluster
    forbidden_projects: set[str] = field(factory=set)  # whose volumes the certificate sees, but may not use
    unpatched: int = 0  # so many next changes of a volume fail
    undeleted: int = 0  # so many next deletions of a volume fail
    hidden_users: set[str] = field(factory=set)  # names of volumes of instances that the certificate does not see
    pools: set[str] = field(factory=lambda: {POOL})
    unavailable_pools: set[str] = field(factory=set)  # that LXD could not mount when it started
    directories: set[str] = field(factory=set)  # names of volumes that are no files: LXD plugs none into a running VM
    clinging: set[str] = field(factory=set)  # names of running VMs that do not give a disk back
    busy: set[str] = field(factory=set)  # names of instances whose changes an operation of another client prevents
    slow_waits: int = 0  # so many times, the wait for an operation ends before it, as Incus 6.0 says it
    goes_on: bool = False  # the last one did
    refusals: list[str] = field(factory=list)  # the reasons for which the next changes of a state are refused
    profiles: dict[str, dict[str, Any]] = field(
        factory=lambda: {
            "default": {
                "config": {},
                "devices": {
                    "root": {"type": "disk", "path": "/", "pool": POOL},
                    "eth0": {"type": "nic", "network": NETWORK},
                },
            }
        }
    )
    backups: dict[tuple[str, ...], Backup] = field(factory=dict)  # by project, what it is of, and its own name
    made: int = 0  # backups so far
    lock: threading.RLock = field(factory=threading.RLock)
    listeners: list[Callable[[Mapping[str, Any]], None]] = field(factory=list)

    def instance(self, name: str, project: str) -> Instance:
        found = self.instances.get((project, name))
        if found is None:
            raise Refused(404, "Instance not found")
        return found

    def forget_backups(self, *of: str) -> None:
        """An instance or volume that is deleted takes its backups with it."""
        self.backups = {key: one for key, one in self.backups.items() if key[: len(of)] != of}

    @property
    def location(self) -> str:
        return self.member or "none"

    def other_member(self, target: str) -> str:
        """The member that a request names; empty if it is the server itself."""
        if target not in {"", self.member, *self.other_members}:
            raise Refused(404, "Cluster member not found")
        return target if target in self.other_members else ""

    def check_project(self, project: str) -> None:
        if project not in self.projects:
            raise Refused(404, f'Failed to load project "{project}": Project not found')

    def check_leader(self, project: str) -> None:
        """That it is refused is published; the status and the words are not."""
        if project in self.standby_projects:
            raise Refused(400, f'Project "{project}" is in standby mode')

    def check_pool(self, pool: str) -> None:
        if pool not in self.pools:
            raise Refused(404, "Storage pool not found")

    def having(self, volume: Volume) -> list[Instance]:
        """The instances that have the volume as a disk; LXD gives it to several."""
        return [
            one
            for one in self.instances.values()
            if one.project == volume.project
            and any(
                (device.get("pool"), device.get("source")) == (volume.pool, volume.name)
                for device in self.expanded_devices(one).values()
            )
        ]

    def content_type(self, device: Mapping[str, str]) -> str | None:
        """That of the volume that a device has; None without one."""
        wanted = device.get("pool"), device.get("source")
        return next((one.content_type for one in self.volumes.values() if (one.pool, one.name) == wanted), None)

    def expanded_devices(self, one: Instance) -> Devices:
        """Those of its profiles, and over them its own."""
        found: Devices = {}
        for profile in one.profiles:
            found |= self.profiles[profile]["devices"]
        return found | one.devices

    def expanded_config(self, one: Instance) -> dict[str, str]:
        found: dict[str, str] = {}
        for profile in one.profiles:
            found |= self.profiles[profile]["config"]
        return found | one.config

    def report(self, action: str, one: Instance, context: Mapping[str, str] | None = None) -> None:
        """Sends a lifecycle event to all who listen."""
        about = {"action": f"instance-{action}", "source": one.url}
        event = {
            "type": "lifecycle",
            "timestamp": now(),
            "location": self.location,
            "project": one.project,
            "metadata": {**about, "context": dict(context)} if context else about,
        }
        for listener in tuple(self.listeners):
            listener(event)


def url_of(kind: str, name: str, project: str) -> str:
    query = "" if project == DEFAULT_PROJECT else f"?project={project}"
    return f"{API}/{kind}/{name}{query}"
