"""An LXD server over HTTPS that answers with whatever a test puts there."""

from __future__ import annotations

import json
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from attrs import define, field

from common.values import DriverType, HostAccess
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.factory import CERTIFICATE, KEY, LxdDriverFactory
from tests.lab.support.key_pair import KeyPair, make_key_pair
from tests.unit.rackd.lxd.test_lxd_facts import ANSWERS, RESOURCES, SERVER
from tests.unit.rackd.lxd.test_lxd_guests import MARKER_CONFIG, instance
from tests.unit.rackd.lxd.test_lxd_networks import LISTED

INSTALLATION = UUID(int=1)
GIB = 1024**3


@cache
def key_pair() -> KeyPair:
    return make_key_pair("ik-answers")


def documented() -> dict[str, Any]:
    """The `metadata` of each answer below /1.0/, in the form that LXD documents."""
    server = {**SERVER, "environment": {**SERVER["environment"], "server_clustered": True, "server_name": "m1"}}
    devices = {
        "root": {"type": "disk", "path": "/", "pool": "main", "size": "8GiB"},
        "disk1": {"type": "disk", "pool": "main", "source": "data"},
        "eth0": {"type": "nic", "network": "lan", "hwaddr": "00:16:3e:00:00:01", "boot.priority": "1"},
        "eth1": {"type": "nic", "nictype": "macvlan", "parent": "eth0"},
    }
    card = {
        "pci_address": "0000:3b:00.0", "vendor": "x", "product": "y", "numa_node": 0,
        "ports": [{"id": "eth0", "address": "00:16:3e:00:00:02", "link_detected": True, "link_speed": 10000}],
        "sriov": {"maximum_vfs": 8, "current_vfs": 1, "vfs": [{"ports": [{"id": "eth0v0"}]}]},
    }  # fmt: skip
    return {
        "": server,
        "cluster/members": [{"server_name": "m1", "url": "https://10.0.0.1:8443", "status": "Online"}],
        "projects": [{"name": "default", "description": "", "config": {"features.storage.volumes": "true"}}],
        "projects/default": {"name": "default", "config": {}},
        "instances": [
            instance(location="m1", config=MARKER_CONFIG, devices=devices),
            instance(name="vm2", location="m2", config={"limits.cpu": "0-1", "limits.memory.hugepages": "true"}),
        ],
        "instances/vm1": {**instance(location="m1", config=MARKER_CONFIG, devices=devices), "devices": devices},
        "storage-pools": ANSWERS.pools,
        **{f"storage-pools/{pool['name']}": pool for pool in ANSWERS.pools},
        **{f"storage-pools/{name}/resources": space for name, space in ANSWERS.pool_space.items()},
        "storage-pools/main/volumes": [
            {"name": "data", "type": "custom", "content_type": "block", "config": {"size": "1GiB"}, "used_by": []}
        ],
        **{
            f"storage-pools/main/volumes/custom/{name}": {
                "name": name, "type": "custom", "content_type": "block", "config": {"size": "1GiB"}, "used_by": users,
                "location": "m1",
            }
            for name, users in (("data", ["/1.0/instances/vm1"]), ("spare", []))
        },
        "storage-pools/bare/volumes": [],
        "resources": {**RESOURCES, "network": {"cards": [card]}, "gpu": {"cards": [{"pci_address": "0000:3c:00.0"}]}},
        "networks": LISTED,
        **{f"networks/{one['name']}/state": _state(one) for one in LISTED},
        "profiles": [{"name": "default", "description": "Default"}],
        "certificates": [],
        "images": [
            {
                "fingerprint": "0a" * 32, "type": "virtual-machine", "size": 1024,
                "properties": {"innkeeper.sha256": "5e" * 32, "innkeeper.disk_bytes": "4096"},
            },
            {
                "fingerprint": "0b" * 32, "type": "virtual-machine", "size": 1024, "architecture": "x86_64",
                "aliases": [{"name": "noble"}], "properties": {"os": "Ubuntu", "release": "noble"},
            },
        ],
    }  # fmt: skip


def _state(network: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "state": "up",
        "hwaddr": "00:16:3e:00:00:03",
        "addresses": [{"family": "inet", "address": "10.1.0.1", "netmask": "24", "scope": "global"}],
        "bond": {"lower_devices": ["eth2"]},
        "bridge": {"upper_devices": ["eth3", "eth0.7"]},
        "vlan": {"vid": 7, "lower_device": "eth0"} if network["type"] == "vlan" else None,
    }


@define
class AnsweringLxd:
    """`answers` has the bodies' `metadata` by path; `bodies` has whole bodies, which come before them."""

    port: int = 0
    answers: dict[str, Any] = field(factory=dict)
    bodies: dict[str, bytes] = field(factory=dict)
    silent: set[str] = field(factory=set)  # requests with their query that are not answered before the end
    refused: dict[tuple[str, str], tuple[int, str]] = field(factory=dict)  # status and error by method and path
    late: set[str] = field(factory=set)  # paths that do not exist at the first request
    dropped: set[str] = field(factory=set)  # paths whose requests end with the connection, without an answer
    asked: list[str] = field(factory=list)  # requests with their query
    ended: threading.Event = field(factory=threading.Event)

    def body(self, where: str, *, recursive: bool) -> tuple[int, bytes]:
        """Without recursion, a list of named objects has their URLs."""
        if where in self.late:
            self.late.remove(where)
            return self.error(404, "Not Found")
        if where in self.bodies:
            return 200, self.bodies[where]
        if where in self.answers:
            found = self.answers[where]
            if (
                not recursive
                and isinstance(found, list)
                and all(isinstance(one, dict) and "name" in one for one in found)
            ):
                found = [f"/1.0/{where}/{one['name']}" for one in found]
            return 200, json.dumps({"type": "sync", "status_code": 200, "metadata": found}).encode()
        return self.error(404, "Not Found")

    @staticmethod
    def error(status: int, text: str) -> tuple[int, bytes]:
        return status, json.dumps({"type": "error", "error": text, "error_code": status}).encode()

    def driver(self) -> LxdDriver:
        """A driver of its own, with a connection of its own."""
        pair = key_pair()
        return LxdDriverFactory().open(
            HostAccess(
                host_id=1,
                driver=DriverType.LXD,
                address=f"https://127.0.0.1:{self.port}",
                installation_id=INSTALLATION,
                pinned=pair.certificate_pem,
                credentials={CERTIFICATE: pair.certificate_pem, KEY: pair.key_pem},
            )
        )


@contextmanager
def answering_lxd() -> Iterator[AnsweringLxd]:
    lxd = AnsweringLxd()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for the acknowledgement of its head

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            where = unquote(urlsplit(self.path).path).removeprefix("/1.0").strip("/")
            lxd.asked.append(self.path)
            if self.path in lxd.silent:
                lxd.ended.wait()
            if where in lxd.dropped:
                self.close_connection = True
                return
            refused = lxd.refused.get((self.command, where))
            status, body = lxd.error(*refused) if refused else lxd.body(where, recursive="recursion=" in self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = _context().wrap_socket(server.socket, server_side=True)
    lxd.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield lxd
    finally:
        lxd.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(key_pair().certificate_pem + key_pair().key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context
