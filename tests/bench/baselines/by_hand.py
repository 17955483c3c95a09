"""Deploys guests as an administrator does: with virsh, and with lxc launch. The copy of the image is there already."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree as ET

from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.lxd_server import LxdServer

_DEADLINE_S = 300.0


class VirshDeployments:
    """Makes guests like `model`, a deployed guest of Innkeeper: the same devices, and volumes of their own.

    It reads the model once, when it is created.
    """

    def __init__(self, host: LabHost, uri: str, model: str, folder: Path) -> None:
        self._host, self._uri, self._folder = host, uri, folder
        self._pool = host.pool.name()
        self._image = next(
            one for one in sorted(host.volumes()) if one.startswith("ik-image-") and not one.endswith("-complete")
        )
        self._model = ET.fromstring(host.domain(model).XMLDesc())  # noqa: S314  libvirt's own answer
        disk, seed = self._disks(self._model)
        self._disk_bytes = host.pool.storageVolLookupByName(Path(_source(disk)).name).info()[1]
        self._seed = Path(_source(seed)).read_bytes()

    def deploy(self, number: int) -> float:
        """Returns the seconds: root disk from the image, seed, definition, start."""
        name = f"{self._host.prefix}hand{number}"
        tree = self._definition(name)
        disk_file, seed_file, domain_file = (self._folder / f"{name}.{kind}" for kind in ("disk", "iso", "xml"))
        size = self._disk_bytes
        disk_file.write_text(
            f"<volume><name>{name}.img</name><capacity unit='bytes'>{size}</capacity>"
            "<allocation unit='bytes'>0</allocation><target><format type='raw'/></target></volume>"
        )
        seed_file.write_bytes(self._seed)
        domain_file.write_text(ET.tostring(tree, encoding="unicode"))
        began = time.perf_counter()
        self._virsh(
            "vol-create-from", "--pool", self._pool, "--file", str(disk_file), "--vol", self._image, "--inputpool",
            self._pool,
        )  # fmt: skip
        self._virsh("vol-resize", "--pool", self._pool, f"{name}.img", f"{size}B")
        self._virsh("vol-create-as", self._pool, f"{name}.iso", f"{seed_file.stat().st_size}B", "--format", "raw")
        self._virsh("vol-upload", "--pool", self._pool, f"{name}.iso", str(seed_file))
        self._virsh("define", str(domain_file))
        self._virsh("start", name)
        took_s = time.perf_counter() - began
        self._virsh("destroy", name)
        self._virsh("undefine", name, "--nvram")
        for volume in (f"{name}.img", f"{name}.iso"):
            self._virsh("vol-delete", "--pool", self._pool, volume)
        return took_s

    def _definition(self, name: str) -> ET.Element:
        tree = ET.fromstring(ET.tostring(self._model))  # noqa: S314  a copy of libvirt's own answer
        tree.attrib.pop("id", None)
        for path, text in (("name", name), ("uuid", str(uuid4()))):
            found = tree.find(path)
            assert found is not None
            found.text = text
        for parent in (tree, *tree.iterfind("devices/*"), *tree.iterfind("os")):
            for kind in ("metadata", "log", "mac", "alias", "seclabel", "firmware"):
                for one in parent.findall(kind):
                    parent.remove(one)
        for nvram in tree.iterfind("os/nvram"):
            nvram.text = None  # libvirt makes a file for this guest
        for disk, kind in zip(self._disks(tree), ("img", "iso"), strict=True):
            source = disk.find("source")
            assert source is not None
            source.attrib.pop("index", None)
            source.set("file", str(self._host.pool_folder / f"{name}.{kind}"))
        return tree

    @staticmethod
    def _disks(tree: ET.Element) -> tuple[ET.Element, ET.Element]:
        """The root disk and the seed."""
        by_kind = {one.get("device"): one for one in tree.iterfind("devices/disk")}
        return by_kind["disk"], by_kind["cdrom"]

    def _virsh(self, *arguments: str) -> None:
        command = ["virsh", "--quiet", "--connect", self._uri, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_DEADLINE_S)
        assert done.returncode == 0, f"virsh {' '.join(arguments)}: {done.stderr}"


def _source(disk: ET.Element) -> str:
    source = disk.find("source")
    assert source is not None
    return str(source.get("file"))


def lxc_launch(server: LxdServer, fingerprint: str, name: str, *, disk_gb: int, memory_mib: int) -> float:
    """Returns the seconds of `lxc launch` with the image; deletes the instance afterwards."""
    began = time.perf_counter()
    server.lxc(
        "launch", fingerprint, name, "--vm", "--config", "limits.cpu=1", "--config", f"limits.memory={memory_mib}MiB",
        "--config", "security.secureboot=false", "--device", f"root,size={disk_gb}GB",
    )  # fmt: skip
    took_s = time.perf_counter() - began
    server.lxc("delete", "--force", name)
    return took_s
