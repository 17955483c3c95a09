"""Starts pytest for an area, in namespaces of its own where this user is root, and reads its results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.servers.incus_server import why_no_incus
from tests.lab.servers.lxd_server import LAB, why_no_lxd
from tests.postgresql.database import memory_folder
from tests.tiers.areas import Area, Need
from tests.tiers.results import Results, read

CHECKOUT = Path(__file__).resolve().parents[2]
_IN_NAMESPACE = str(Path(__file__).parent / "in_namespace")


def say(text: str) -> None:
    print(f"dev: {text}", flush=True)


def will_be_skipped(area: Area) -> Iterator[str]:
    """What the tests of the area lack on this machine, and why."""
    if Need.LXD in area.needs and (why := why_no_lxd()) is not None:
        yield f"tests on LXD will be skipped: {why}"
    if Need.INCUS in area.needs and (why := why_no_incus("6")) is not None:
        yield f"tests on Incus will be skipped: {why}"
    if Need.LIBVIRT in area.needs and os.geteuid() != 0:
        yield "tests on libvirt will be skipped: they need root, which starts a libvirtd of their own"


@contextmanager
def results_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="innkeeper-results-") as folder:
        yield Path(folder) / "results.jsonl"


def run(
    area: Area,
    results: Path,
    *,
    tests: Iterable[str] = (),
    options: Iterable[str] = (),
    environment: dict[str, str] | None = None,
    alone: bool = False,
    quiet: bool = False,
) -> tuple[int, Results]:
    """Returns pytest's exit status, and the results in the file, of earlier runs too.

    `tests`: only these, instead of the whole area. `alone`: in one process.
    """
    command = [sys.executable, "-P", "-m", "pytest", "-p", "tests.tiers.plugin", "--results", str(results), "-q"]
    if area.workers and not alone:
        command += ["-n", str(area.workers), "--dist", "worksteal"]
        if os.geteuid() == 0 and Need.LIBVIRT not in area.needs:  # which has one libvirtd for all
            command += ["--own-networks"]
    command += [*options, *(list(tests) or ("--area", area.name, *area.options, *area.paths))]
    if Need.IMAGES in area.needs and os.geteuid() == 0:
        for image in ([], ["", "hypervisors"]):  # built once, in a minute and three
            call([str(LAB), "image", *image], environment={**os.environ})
    if os.geteuid() == 0:
        libvirt = ["--libvirt"] if Need.LIBVIRT in area.needs else []
        command = [_IN_NAMESPACE, *libvirt, *command]
    on_disk = area.needs & {Need.LIBVIRT, Need.DISKS}  # disks of guests are large
    folder = None if on_disk else memory_folder()
    more = {"TESTS_FOLDER": folder} if folder else {}
    status = call(command, environment={**os.environ, **more, **(environment or {})}, quiet=quiet)
    return status, read(results)


def some(words: Iterable[str]) -> int:
    """Runs pytest with these arguments, where a libvirtd and an sshd of its own run."""
    command = [sys.executable, "-P", "-m", "pytest", "-p", "tests.tiers.plugin", *words]
    return call([_IN_NAMESPACE, "--libvirt", *command] if os.geteuid() == 0 else command, environment={**os.environ})


def call(command: list[str], *, environment: dict[str, str], quiet: bool = False) -> int:
    """Returns the command's status. Ends it, with all that it started, if this process is interrupted."""
    output = subprocess.DEVNULL if quiet else None
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=output, stderr=output) as running:
        try:
            return running.wait()
        except BaseException:
            running.send_signal(signal.SIGTERM)
            raise


def commit() -> str:
    """The short name of the checkout's commit, with `+` if files differ from it; `unknown` without git."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"
