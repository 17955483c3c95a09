"""A new Debian machine for a test: a chroot with namespaces of its own, in which services start without systemd.

`tests/lab/fresh-machine` makes it; `tests/pages/systemd` is its systemctl. It has a network of its own, like a
machine; only what installs packages uses this machine's. Nothing of it is left when it has stopped.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from attrs import frozen

from tests.support.waiting import eventually, settle

FRESH_MACHINE = Path(__file__).resolve().parents[1] / "lab/fresh-machine"
SYSTEMD = Path(__file__).parent / "systemd"
CHECKOUT = Path(__file__).resolve().parents[2]
HOME = "/root/project"
# What a Debian has that a person installed from its medium, and a chroot lacks.
PACKAGES = "systemd,systemd-sysv,dbus,procps,iproute2,openssl"
OF_PACKAGE_CLIENTS = re.compile(r"PIP_|(HTTPS?|NO)_PROXY$|SSL_CERT_|REQUESTS_CA_BUNDLE$", re.IGNORECASE)
RELEASE = "http://deb.debian.org/debian/dists/bookworm/InRelease"
MAKE_S = 900.0  # a minute on an idle machine
# What a person answers, and the stand-in of systemctl in place of Debian's. Without control groups, libvirt leaves
# none on the machine that runs the test.
PREPARATION = """
echo 'APT::Get::Assume-Yes "true";' > /etc/apt/apt.conf.d/90answers
for program in systemctl journalctl; do
  dpkg-divert --quiet --local --rename --divert /usr/bin/$program.systemd --add /usr/bin/$program
  printf '#!/bin/sh\\nPYTHONPATH=/usr/local/lib/stand-in exec /usr/bin/python3 -P -m tests.pages.systemd %s "$@"\\n' \\
    $program > /usr/bin/$program
  chmod 755 /usr/bin/$program
done
umount --recursive --lazy /sys/fs/cgroup
mkdir -p /run/systemd/system
systemd-machine-id-setup
ip link set lo up
ip address add 192.0.2.12 dev lo
echo '127.0.0.1 region.example.net region2.example.net' >> /etc/hosts
echo '192.0.2.12 db.example.net' >> /etc/hosts
echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/test
"""


@frozen(kw_only=True)
class Ended:
    """A command that has ended. `status` is None if it did not in time."""

    status: int | None
    printed: str
    errors: str


def why_no_fresh_machine() -> str | None:
    """Returns the reason why none can be made here, None if one can; asks no registry."""
    if os.geteuid() != 0:
        return "requires root, which makes a chroot"
    missing = [name for name in ("mmdebstrap", "nsenter", "unshare") if shutil.which(name) is None]
    return f"requires {', '.join(missing)}: tests/lab/lab install" if missing else None


def why_no_packages() -> str | None:
    """Returns why Debian's or Python's packages cannot be installed here, None if they can; downloads one file each."""
    with tempfile.TemporaryDirectory() as folder:
        for what, command in (
            ("Debian's archive", ["/usr/lib/apt/apt-helper", "download-file", RELEASE, f"{folder}/release"]),
            (
                "a package index",
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "attrs"],
            ),
        ):
            done = ended([*in_outer_network(), *command], Path(folder), deadline_s=120.0)
            if done.status != 0:
                return f"requires {what}: {(done.errors.strip().splitlines() or ['it does not answer'])[-1]}"
    return None


class FreshMachine:
    def __init__(self, folder: Path, suite: str = "bookworm") -> None:
        self._suite = suite
        self._folder = folder / "machine"
        self._outputs = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._entering: list[str] = []

    def start(self) -> None:
        """Makes the machine, with this checkout in /root/project."""
        made = ended(
            [
                *in_outer_network(),
                "env",
                f"SUITE={self._suite}",
                str(FRESH_MACHINE),
                "make",
                str(self._folder),
                PACKAGES,
            ],
            self._outputs,
            deadline_s=MAKE_S,
        )
        assert made.status == 0, made.errors
        subprocess.run([FRESH_MACHINE, "clone", self._folder, CHECKOUT], check=True, timeout=60)
        changes = subprocess.run(["git", "diff", "HEAD", "--binary"], cwd=CHECKOUT, check=True, capture_output=True)
        if changes.stdout:
            project = f"{self._folder}{HOME}"
            subprocess.run(["git", "apply", "--allow-empty"], cwd=project, input=changes.stdout, check=True, timeout=60)
        shutil.copytree(SYSTEMD, self._folder / "usr/local/lib/stand-in/tests/pages/systemd")
        # Process 1 adopts the daemons; as it ignores SIGCHLD, the kernel removes those that have ended.
        first = ["env", "--ignore-signal=CHLD", "sleep", "infinity"]
        for_packages = {name: value for name, value in os.environ.items() if OF_PACKAGE_CLIENTS.match(name)}
        self._process = subprocess.Popen(
            ["unshare", "--net", FRESH_MACHINE, "run", self._folder, *first],
            env={**for_packages, "HOME": "/root", "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        )
        process = Path("/proc", str(settle(eventually(self._first_process, deadline_s=30.0))))
        environment = (process / "environ").read_bytes().decode().rstrip("\0").split("\0")
        self._entering = [
            "--mount", "--pid", f"--root={process}/root", f"--wd={process}/root{HOME}",
            "env", "--ignore-environment", *environment,
        ]  # fmt: skip
        self._target = f"--target={process.name}"
        done = self.run(PREPARATION)
        assert done.status == 0, done.errors

    def _first_process(self) -> int | None:
        """Its number here, as soon as the machine has started."""
        assert self._process is not None
        assert self._process.poll() is None
        number = self._process.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        started = [child for child in children if Path(f"/proc/{child}/comm").read_text() == "sleep\n"]
        return int(started[0]) if started else None

    def run(self, script: str, *, given: str = "", network: bool = False, deadline_s: float = 60.0) -> Ended:
        """Runs a script of bash as root in the checkout, with `given` as its standard input.

        `network`: in the network of the machine that runs the test.
        """
        net = f"--net={_outer_network()}" if network else "--net"
        command = ["nsenter", self._target, net, *self._entering, "bash", "-euo", "pipefail", "-c", script]
        return ended(command, self._outputs, given=given, deadline_s=deadline_s)

    def write(self, name: str, content: bytes) -> None:
        """Writes a file into the checkout's folder, for root only."""
        path = Path(f"{self._folder}{HOME}/{name}")
        path.write_bytes(content)
        path.chmod(0o600)

    def configure(self, file: str, settings: str) -> None:
        """Writes these lines of TOML into a file, in place of those with the same keys."""
        path = Path(f"{self._folder}{file}")
        path.write_text(with_settings(path.read_text(), settings))  # the owner and the mode remain

    def stop(self) -> None:
        """Ends its processes and deletes it. Idempotent."""
        if self._process is not None:
            for child in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)  # with process 1, all others end, and the mounts with the last
            self._process.wait(30)
            self._process = None
        subprocess.run(["rm", "-rf", "--one-file-system", self._folder], check=True, timeout=300)


def with_settings(content: str, settings: str) -> str:
    """Returns a file of TOML with these lines in place of those with the same keys."""
    lines = content.splitlines()
    for setting in filter(None, settings.splitlines()):
        key = setting.partition("=")[0].strip()
        lines = [line for line in lines if line.lstrip("#").partition("=")[0].strip() != key]
        lines.append(setting)
    return "\n".join(lines) + "\n"


def ended(command: list[str], folder: Path, *, given: str = "", deadline_s: float) -> Ended:
    """Runs a command. Its output goes to files, since daemons that it starts may keep them open."""
    with tempfile.TemporaryFile(dir=folder) as printed, tempfile.TemporaryFile(dir=folder) as errors:
        try:
            done = subprocess.run(
                command, input=given.encode(), stdout=printed, stderr=errors,
                check=False, timeout=deadline_s, start_new_session=True,  # nothing asks on our terminal
            )  # fmt: skip
            status: int | None = done.returncode
        except subprocess.TimeoutExpired:
            status = None
        for output in (printed, errors):
            output.seek(0)
        return Ended(status=status, printed=printed.read().decode(), errors=errors.read().decode())


def _outer_network() -> str:
    """The network of the machine that runs the tests, which their namespace does not have."""
    return os.environ.get("OUTER_NETWORK") or "/proc/self/ns/net"


def in_outer_network() -> list[str]:
    return ["nsenter", f"--net={_outer_network()}"]
