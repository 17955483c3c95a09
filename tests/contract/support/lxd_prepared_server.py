"""An LXD server with instances that LXD does not let a client change in every way."""

from __future__ import annotations

import threading
from typing import Any

from attrs import frozen

from common.addresses.lxd import parse
from common.values import HostAccess
from rackd.drivers.lxd.connection import tls
from rackd.drivers.lxd.connection.client import Client, path
from rackd.drivers.lxd.connection.response_body import LargeBodies
from rackd.drivers.lxd.factory import CERTIFICATE, KEY

Json = dict[str, Any]
ROOT = {"type": "disk", "path": "/", "pool": "default", "size": "16MiB"}


@frozen(kw_only=True)
class PreparedServer:
    """Has these instances, all named with the prefix: `off` with the volume `used`; `on`, which runs, with `live`;
    `odd`, `orphan` and `twice`, which cannot start. The volume `files` has a file system.
    """

    client: Client
    prefix: str
    network: str
    address: str  # of the network's subnet
    image: str  # the fingerprint of one whose disk has 2 MiB

    def named(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def objects(self) -> list[Any]:
        """Those of this test, without what LXD changes by itself."""
        volumes = self.client.get(path("storage-pools", "default", "volumes", "custom"), recursion="1")
        instances = self.client.get("instances", recursion="1")
        kept = ("name", "status", "devices", "description")
        return [
            [{key: one.get(key) for key in kept}, {k: v for k, v in one["config"].items() if not k.startswith("vol")}]
            for one in instances + volumes
            if one["name"].startswith(self.prefix)
        ]

    def prepare(self) -> None:
        leased = self.nic(**{"ipv4.address": self.address})
        self.make_volume("used")
        self.make("off", disk1=self.disk("used"), eth0=leased)
        self.make("odd", eth0=leased)
        self.make("orphan", eth0={"type": "nic", "nictype": "bridged", "parent": "no-such-dev"})
        self.make("twice", eth0=self.nic(name="eth0"), eth1=self.nic(name="eth1"))
        self.make_volume("live")
        self.make_volume("files", content_type="filesystem")
        self.make("on", disk1=self.disk("live"))
        self.switch("on", "start")

    def make(self, name: str, *, body: Json | None = None, project: str = "", **devices: Json) -> None:
        whole = {
            "name": self.named(name), "type": "virtual-machine", "source": {"type": "none"}, "profiles": [],
            "config": {"limits.cpu": "1", "limits.memory": "128MiB", "security.secureboot": "false"},
            "devices": {"root": ROOT, **devices}, **(body or {}),
        }  # fmt: skip
        self.client.post("instances", whole, project=project)

    def make_volume(
        self, name: str, *, pool: str = "default", size: str = "16MiB", project: str = "", content_type: str = "block"
    ) -> None:
        body = {"name": self.named(name), "content_type": content_type, "config": {"size": size}}
        self.client.post(path("storage-pools", pool, "volumes", "custom"), body, project=project)

    def resize_volume(self, name: str, size: str, *, pool: str = "default") -> None:
        where = path("storage-pools", pool, "volumes", "custom", self.named(name))
        self.client.patch(where, {"config": {"size": size}})

    def delete_volume(self, name: str, *, pool: str = "default") -> None:
        self.client.delete(path("storage-pools", pool, "volumes", "custom", self.named(name)))

    def switch(self, name: str, action: str, *, force: bool = False) -> None:
        body = {"action": action, "timeout": 1, "force": force}
        self.client.put(path("instances", self.named(name), "state"), body)

    def change(self, name: str, **change: Json) -> None:
        self.client.patch(path("instances", self.named(name)), change)

    def replace(self, name: str, *, etag: str = "", **body: Json) -> None:
        self.client.put(
            path("instances", self.named(name)), {"config": {}, "devices": {"root": ROOT}, **body}, etag=etag
        )

    def rename(self, name: str, new_name: str) -> None:
        self.client.post(path("instances", self.named(name)), {"name": self.named(new_name)})

    def delete(self, name: str) -> None:
        self.client.delete(path("instances", self.named(name)))

    def disk(self, volume: str, *, pool: str = "default", **fields: str) -> Json:
        return {"type": "disk", "pool": pool, "source": self.named(volume), **fields}

    def nic(self, **fields: str) -> Json:
        return {"type": "nic", "network": self.network, **fields}


def client_of(access: HostAccess) -> Client:
    pinned, own = access.pinned, access.credentials
    assert pinned is not None
    context = tls.context(pinned_pem=pinned, certificate_pem=own[CERTIFICATE], key_pem=own[KEY])
    large_body = LargeBodies().lock_of(pinned)
    return Client(parse(access.address), context, pinned, closing=threading.Event(), large_body=large_body)
