"""Trees of files as simplestreams servers publish them: Ubuntu's and LXD's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def item(kind: str, path: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"ftype": kind, "path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data), **more}


def index(path: str, **more: Any) -> bytes:
    entries = {"images": {"datatype": "image-downloads", "path": path, "format": "products:1.0"}, **more}
    return json.dumps({"format": "index:1.0", "index": entries}).encode()


def products(found: Mapping[str, Any]) -> bytes:
    return json.dumps({"format": "products:1.0", "datatype": "image-downloads", "products": found}).encode()


def ubuntu(disk: bytes, *, older: bytes = b"old") -> dict[str, bytes]:
    """As cloud-images.ubuntu.com/releases: two versions of 24.04, whose files are below the server's folder."""
    folder = "server/releases/noble"
    versions = {
        name: {
            "label": "release",
            "items": {
                "disk1.img": item("disk1.img", f"{folder}/release-{name}/disk.img", data),
                "lxd.tar.xz": item("lxd.tar.xz", f"{folder}/release-{name}/lxd.tar.xz", b"metadata"),
                "root.tar.xz": item("root.tar.xz", f"{folder}/release-{name}/root.tar.xz", b"root"),
            },
        }
        for name, data in (("20240423", older), ("20240608", disk))
    }
    product = {
        "arch": "amd64", "os": "ubuntu", "release": "noble", "release_title": "24.04 LTS", "version": "24.04",
        "aliases": "24.04,n,noble,default", "versions": versions,
    }  # fmt: skip
    listed = products(
        {
            "com.ubuntu.cloud:server:24.04:amd64": product,
            "com.ubuntu.cloud:server:24.04:arm64": {**product, "arch": "arm64"},
            "com.ubuntu.cloud:server:8.04:amd64": {**product, "release": "hardy", "aliases": "hardy", "versions": {}},
        }
    )
    path = "streams/v1/com.ubuntu.cloud:released:download.json"
    return {
        "/releases/streams/v1/index.json": index(path, aws={"datatype": "image-ids", "path": "streams/v1/aws.json"}),
        f"/releases/{path}": listed,
        f"/releases/{folder}/release-20240608/disk.img": disk,
        f"/releases/{folder}/release-20240423/disk.img": older,
    }


def lxd(disk: bytes) -> dict[str, bytes]:
    """As LXD's image servers: a container image and a VM's disk, with and without cloud-init."""

    def product(variant: str, data: bytes, aliases: str) -> dict[str, Any]:
        folder = f"images/debian/bookworm/amd64/{variant}"
        items = {
            "lxd.tar.xz": item(
                "lxd.tar.xz", f"{folder}/lxd.tar.xz", b"metadata",
                **{"combined_disk-kvm-img_sha256": hashlib.sha256(b"metadata" + data).hexdigest()},
            ),
            "root.squashfs": item("squashfs", f"{folder}/rootfs.squashfs", b"root"),
            "disk.qcow2": item("disk-kvm.img", f"{folder}/disk.qcow2", data),
        }  # fmt: skip
        return {
            "arch": "amd64", "os": "Debian", "release": "bookworm", "release_title": "12", "variant": variant,
            "aliases": aliases, "versions": {"20261121_05:24": {"items": items}},
        }  # fmt: skip

    listed = {
        "debian:bookworm:amd64:default": product("default", b"no cloud-init", "debian/bookworm,debian/12,debian"),
        "debian:bookworm:amd64:cloud": product("cloud", disk, "debian/bookworm/cloud,debian/12/cloud"),
    }
    return {
        "/streams/v1/index.json": index("streams/v1/images.json"),
        "/streams/v1/images.json": products(listed),
        "/images/debian/bookworm/amd64/cloud/disk.qcow2": disk,
        "/images/debian/bookworm/amd64/default/disk.qcow2": b"no cloud-init",
    }
