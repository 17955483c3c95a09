"""A Debian machine with a real systemd: a guest of QEMU under software emulation, in which root logs in by SSH.

Its network is QEMU's own: it reaches the archive of Debian through the machine that runs the test, and is reached by
one forwarded port. Nothing of it is left when it has stopped.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from uuid import uuid4

from tests.lab.servers.qemu_monitor import ask_qemu
from tests.pages.fresh_machine import Ended, ended, in_outer_network, with_settings
from tests.support.waiting import eventually
from tests.systemd.disk import make_data_disk, make_disk

MEMORY_MIB = 3072
# systemd's daemons crash with `max`, probably by vector instructions that QEMU 7.2 emulates wrongly.
PROCESSOR = "Westmere"
BOOT_S = 1800.0  # 35 s of CPU, and as much time on an idle machine
_KERNEL_OPTIONS = "root=LABEL=cloudimg-rootfs ro no_timer_check mitigations=off cloud-init=disabled console=ttyS0 quiet"
_LABEL = "packages"
PACKAGES = "/mnt/packages"  # where the packages are on the machine
_SSH = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=300")
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def why_no_guest() -> str | None:
    """Returns the reason why none can be started here, None if one can."""
    if os.geteuid() != 0:
        return "requires root, which builds the image"
    programs = ("qemu-system-x86_64", "qemu-img", "ssh", "/sbin/debugfs", "/sbin/resize2fs", "mmdebstrap")
    missing = [name for name in programs if shutil.which(name) is None]
    return f"requires {', '.join(missing)}: tests/lab/lab install" if missing else None


class DebianGuest:
    def __init__(self, folder: Path, packages: Path) -> None:
        """`packages` is a folder that the machine has at PACKAGES."""
        self._folder = folder
        self._packages = packages
        self._sockets = Path(tempfile.mkdtemp(prefix="ik-guest-"))  # their paths have to be short
        self._monitor = self._sockets / "monitor"
        self._console = folder / "console"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    async def start(self) -> None:
        """Starts a machine on which nothing was done yet, and waits until it lets root in."""
        self._launch()
        await eventually(self._monitor.exists)
        ports = re.search(r"HOST_FORWARD\S*\s+\d+\s+127\.0\.0\.1\s+(\d+)", ask_qemu(self._monitor, "info usernet"))
        assert ports is not None
        self._port = int(ports[1])
        await self._answering()
        self._mount()

    def _launch(self) -> None:
        self._folder.mkdir(parents=True)
        key = self._folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        disk = make_disk(self._folder, public_key=key.with_suffix(".pub").read_text().strip())
        packages = self._folder / "packages.raw"
        make_data_disk(packages, self._packages, label=_LABEL)
        self._process = subprocess.Popen(
            [
                *in_outer_network(), "qemu-system-x86_64", "-name", "innkeeper-systemd", "-nodefaults",
                "-machine", "q35,usb=off", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", PROCESSOR,
                "-smp", "2", "-m", str(MEMORY_MIB), "-display", "none", "-device", "virtio-rng-pci",
                "-uuid", str(uuid4()),  # without one, libvirt makes up another whenever it starts
                "-kernel", str(disk.kernel), "-initrd", str(disk.initrd), "-append", _KERNEL_OPTIONS,
                "-drive", f"if=none,id=root,format=raw,file={disk.root},cache=unsafe,discard=unmap",
                "-device", "virtio-blk-pci,drive=root",
                "-drive", f"if=none,id=packages,format=raw,file={packages},readonly=on",
                "-device", "virtio-blk-pci,drive=packages",
                "-netdev", "user,id=net,hostfwd=tcp:127.0.0.1:0-:22",
                "-device", "virtio-net-pci,netdev=net,romfile=",
                "-serial", f"file:{self._console}", "-qmp", f"unix:{self._monitor},server=on,wait=off",
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def _mount(self) -> None:
        done = self.run(f"mkdir -p {PACKAGES} && mount -o ro LABEL={_LABEL} {PACKAGES}", deadline_s=300.0)
        assert done.status == 0, done.errors

    async def _answering(self, *, other_than: str = "") -> None:
        def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, "QEMU has ended"
            done = self.run(_BOOT_ID, deadline_s=320.0)
            return done.status == 0 and done.printed != other_than

        try:
            await eventually(answers, deadline_s=BOOT_S, every_s=2.0)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.console[-4000:]}") from error

    async def reboot(self) -> None:
        """Returns when the machine lets root in again."""
        before = self.run(_BOOT_ID).printed
        self.run("systemctl reboot")  # which may end the connection before it answers
        self._disconnect()
        await self._answering(other_than=before)
        self._mount()

    def run(self, script: str, *, given: str = "", deadline_s: float = 900.0) -> Ended:
        """Runs a script of bash as root in its home, with `given` as its standard input."""
        options = [*_SSH, f"ControlPath={self._sockets}/control", "ControlMaster=auto", "ControlPersist=yes"]
        command = [
            *in_outer_network(), "ssh", "-i", str(self._folder / "key"), "-p", str(self._port),
            *(word for option in options for word in ("-o", option)),
            "root@127.0.0.1", f"bash --norc -euo pipefail -c {shlex.quote(script)}",
        ]  # fmt: skip
        return ended(command, self._folder, given=given, deadline_s=deadline_s)

    def configure(self, file: str, settings: str) -> None:
        """Writes these lines of TOML into a file, in place of those with the same keys."""
        before = self.run(f"cat {file}")
        assert before.status == 0, before.errors
        written = self.run(f"cat > {file}", given=with_settings(before.printed, settings))
        assert written.status == 0, written.errors

    def _disconnect(self) -> None:
        control = self._sockets / "control"
        if control.exists():
            subprocess.run(
                ["ssh", "-o", f"ControlPath={control}", "-O", "exit", "root@127.0.0.1"],
                check=False, capture_output=True, timeout=60,
            )  # fmt: skip
            control.unlink(missing_ok=True)

    @property
    def console(self) -> str:
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def cpu_s(self) -> float:
        """CPU seconds that the emulation has taken: unlike the time, no other load of the machine changes them."""
        if self._process is None:
            return 0.0
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def lose(self) -> None:
        """Ends the machine at once, as a power failure does, and deletes its disk. Idempotent."""
        self._disconnect()
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(60)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(self._sockets, ignore_errors=True)
