"""A process that composes domains and holds their consoles open.

Start it with `python -m tests.lab.libvirt.console_holder URI POOL PREFIX NUMBER`; the names of the domains begin with
PREFIX. It writes a line when the consoles are open, closes all of them at once after a line on its input, and writes
another line when they are closed.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import structlog

from common.values import PowerAction
from rackd.drivers.contract import ConsoleStream
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.driver import LibvirtDriver
from tests.contract.support.guest_samples import new_marker, small_guest
from tests.lab.conftest import INSTALLATION


def opened(driver: LibvirtDriver, name: str, pool_id: str) -> ConsoleStream:
    spec = small_guest(name, new_marker(INSTALLATION), (pool_id,))
    driver.compose(spec)
    driver.power(spec.ref, PowerAction.ON, grace_s=0.1)
    return driver.open_console(spec.ref)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(uri: str, pool_id: str, prefix: str, number: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    driver = LibvirtDriver(lambda: Client.open(uri), INSTALLATION)
    consoles = [opened(driver, f"{prefix}{index}", pool_id) for index in range(int(number))]
    say("open")
    sys.stdin.readline()
    with ThreadPoolExecutor(len(consoles)) as threads:
        list(threads.map(lambda console: console.close(), consoles))
    say("closed")


if __name__ == "__main__":
    main(*sys.argv[1:])
