"""The disk of a Debian machine, made from the lab's image without its boot loader and without cloud-init.

Both would take most of the time of a start under software emulation. The kernel is outside of the disk, and what
cloud-init would write is in the file system before the first start.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from attrs import frozen

from tests.lab.support.guest_image import image_file

ROOT_OFFSET = 49 * 2**20  # of the partition in the image; `tests/lab/build-image`
DISK_BYTES = 12 * 2**30
HOST_NAME = "region"
DOMAIN = "example.net"
_DEBUGFS = "/sbin/debugfs"
_NETWORK = 'network: {version: 2, ethernets: {all: {match: {name: "en*"}, dhcp4: true}}}\n'
# A person answers yes, and keeps changed settings. The dates of the archive are not those of a test.
_APT = """APT::Get::Assume-Yes "true";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Dpkg::Options { "--force-confold"; };
"""


@frozen(kw_only=True)
class Disk:
    """Files in one folder: the root file system, and the kernel with its initial RAM disk."""

    root: Path
    kernel: Path
    initrd: Path


def make_disk(folder: Path, *, public_key: str) -> Disk:
    """Returns the disk of a machine on which nothing was done yet, and where root may log in with this key."""
    disk = Disk(root=folder / "root.raw", kernel=folder / "vmlinuz", initrd=folder / "initrd")
    source = f"driver=raw,offset={ROOT_OFFSET},file.driver=qcow2,file.file.filename={image_file()}"
    _run("qemu-img", "convert", "--image-opts", source, "-O", "raw", str(disk.root))
    boot = _run(_DEBUGFS, "-R", "ls -p /boot", str(disk.root)).split("/")
    for kind, path in (("vmlinuz-", disk.kernel), ("initrd.img-", disk.initrd)):
        (name,) = (word for word in boot if word.startswith(kind))
        _run(_DEBUGFS, "-R", f"dump /boot/{name} {path}", str(disk.root))
    _write_settings(disk.root, folder, public_key)
    _run("truncate", "--size", str(DISK_BYTES), str(disk.root))
    _run("/sbin/e2fsck", "-fp", str(disk.root), allowed=(0, 1))  # 1: something was corrected
    _run("/sbin/resize2fs", str(disk.root))
    return disk


def make_data_disk(file: Path, content: Path, *, label: str) -> None:
    """Writes a file system with the files of this folder, to be mounted read-only."""
    size = sum(path.stat().st_size for path in content.rglob("*")) * 5 // 4 + 16 * 2**20
    _run("/sbin/mke2fs", "-q", "-t", "ext4", "-L", label, "-d", str(content), str(file), str(size // 1024))


def _write_settings(root: Path, folder: Path, public_key: str) -> None:
    host_key = folder / "ssh_host_ed25519_key"
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_key))
    files = {
        "/root/.ssh/authorized_keys": (public_key + "\n", 0o600),
        "/etc/ssh/ssh_host_ed25519_key": (host_key.read_text(), 0o600),
        "/etc/netplan/50-machine.yaml": (_NETWORK, 0o600),
        "/etc/apt/apt.conf.d/90answers": (_APT, 0o644),
        "/etc/hostname": (f"{HOST_NAME}\n", 0o644),
        "/etc/hosts": (f"127.0.0.1 localhost\n127.0.1.1 {HOST_NAME}.{DOMAIN} {HOST_NAME}\n", 0o644),
    }
    commands = ["rm /etc/hostname", "rm /etc/hosts"]
    for number, (target, (content, mode)) in enumerate(files.items()):
        source = folder / f"written-{number}"
        source.write_text(content)
        source.chmod(mode)
        commands.append(f"write {source} {target}")
    script = folder / "commands"
    script.write_text("\n".join(commands))
    _run(_DEBUGFS, "-w", "-f", str(script), str(root))
    for target, (content, _) in files.items():  # debugfs has status 0 whatever happened
        assert _run(_DEBUGFS, "-R", f"cat {target}", str(root)) == content, target


def _run(*command: str, allowed: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode in allowed, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
