"""What the administrator of the double does, as `tests/lab/servers/lxd_server.py` lets that of a real server do it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from rackd.drivers.lxd.inventory.image_copies import SHA256_PROPERTY
from rackd.drivers.lxd.inventory.ownership import MACHINE_KEY
from tests.lxd_http import images
from tests.lxd_http.messages import DEFAULT_PROJECT, Request
from tests.lxd_http.routes import answer
from tests.lxd_http.state import Disk, Lxd


@frozen
class Administrator:
    """Asks without HTTP, as real ones do over LXD's Unix socket."""

    lxd: Lxd
    member: None = None

    def ask(self, path: str, *, method: str = "GET", body: Mapping[str, Any] | None = None) -> Any:
        """Returns the metadata of the answer; of a background operation, when it has ended."""
        content = b"" if body is None else json.dumps(body).encode()
        found = json.loads(answer(self.lxd, Request.of(method, path, {}, content)).content)
        if found["type"] == "error":
            raise AssertionError(f"{method} {path}: {found['error']}")
        if found["type"] == "async":
            done = self.ask(f"{found['operation']}/wait")
            assert done["status_code"] == 200, f"{method} {path}: {done['err']}"
        return found["metadata"]

    def our_images(self) -> set[str]:
        """The fingerprints of the images that Innkeeper copied to the default project, or made there for an import."""
        listed = self.ask("/1.0/images?recursion=1")
        return {str(one["fingerprint"]) for one in listed if {SHA256_PROPERTY, MACHINE_KEY} & set(one["properties"])}

    def import_image(self, alias: str, disk: bytes, properties: Mapping[str, str]) -> None:
        """`disk` is a qcow2 file."""
        with self.lxd.lock:
            images.add(self.lxd, DEFAULT_PROJECT, images.metadata_file(properties), disk, alias=alias)

    def root_disk(self, instance: str) -> Disk:
        return self.lxd.instance(instance, DEFAULT_PROJECT).root

    def volume_disk(self, pool: str, volume: str) -> Disk:
        return self.lxd.volumes[DEFAULT_PROJECT, pool, volume].disk
