"""Runs a complete Innkeeper in the foreground, with a first VM on this machine's libvirt: `./dev run`."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from common.errors import InnkeeperError
from common.process import daemon
from development import admin_password, first_vm, local_libvirt, pid1, processes, program_link
from development.database import OwnDatabase
from development.local_libvirt import LocalLibvirt
from development.own_command import run_with_input
from development.paths import CannotRun, RunPaths, read_paths
from development.report import Outcome, farewell, report
from development.supervisor import GRACE_S, Program, Supervisor
from innkeeper.http import Api, api_url

CHECKOUT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.prefix) / "bin"
START_S = 90.0


def main() -> None:
    pid1.fork_if_pid1()
    os.umask(0o077)
    # Closing the terminal stops the run like Ctrl-C.
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    daemon.install_reactor()
    try:
        paths = read_paths(os.environ, checkout=CHECKOUT)
        paths.make()
        with only_run(paths.lock_file):
            status = daemon.run(_run(paths))
            for late in (signal.SIGINT, signal.SIGTERM):  # all is stopped: the exit status must not change
                signal.signal(late, signal.SIG_IGN)
    except CannotRun as error:
        raise SystemExit(f"./dev run: {error}") from None
    sys.exit(status)


async def _run(paths: RunPaths) -> None:
    async with AsyncExitStack() as started:
        started.callback(lambda: say("Stopped."))
        try:
            outcome = await _start(paths, started)
        except CannotRun as error:
            raise InnkeeperError(f"./dev run: {error}") from error
        print(report(outcome), flush=True)
        try:
            await asyncio.Event().wait()  # until a signal cancels this task
        finally:
            say(farewell(outcome))


async def _start(paths: RunPaths, started: AsyncExitStack) -> Outcome:
    leftovers = await processes.end_leftovers(paths.pids, grace_s=GRACE_S)
    if leftovers:
        say(f"Ended processes that an earlier run left behind: {', '.join(leftovers)}.")
    ports_are_free(paths)
    supervisor = Supervisor(say)
    database = paths.database or await _own_database(paths, started)
    libvirt = await local_libvirt.ensure(paths, started, say)  # stopped after the rack, its client
    started.push_async_callback(supervisor.stop)
    environment = paths.daemon_environment(os.environ, database=database) | reports_of_guests(libvirt)
    url = await _region(paths, supervisor, environment)
    new_password = await admin_password.ensure(paths, PROGRAMS / "regiond", environment)
    api = Api(url, paths.key_file.read_text(encoding="ascii").strip())
    await _rack(paths, supervisor, paths.rack_environment(environment), api)
    vm = await first_vm.ensure(api, libvirt.address, say)
    kind = await local_libvirt.domain_type(libvirt.address, vm.guest_name) if vm.guest_name else None
    foreign = [guest["identifier"] for guest in vm.guests if guest["system_id"] is None]
    others = await local_libvirt.marked(libvirt.address, foreign)
    folder = program_link.folder_of(os.environ, is_root=os.geteuid() == 0)
    command = program_link.ensure(PROGRAMS / "innkeeper", folder, os.environ)
    return Outcome(
        paths=paths,
        libvirt=libvirt,
        vm=vm,
        domain_type=kind,
        programs=PROGRAMS,
        others=others,
        command=command,
        new_password=new_password,
    )


async def _own_database(paths: RunPaths, started: AsyncExitStack) -> str:
    say("Starting PostgreSQL.")
    database = OwnDatabase(paths.database_folder, say)
    started.push_async_callback(database.stop)
    return await database.start()


async def _region(paths: RunPaths, supervisor: Supervisor, environment: dict[str, str]) -> str:
    """Returns the URL of its API."""
    say("Starting the region.")
    supervisor.start(_program("regiond", paths, environment))
    url = api_url(paths.api_url)
    anonymous = Api(url, None)

    await supervisor.ready("regiond", lambda: first_vm.region_answers(anonymous), deadline_s=START_S)
    return url


async def _rack(paths: RunPaths, supervisor: Supervisor, environment: dict[str, str], api: Api) -> None:
    if not paths.rack_identity.exists():
        say("Enrolling a rack.")
        token = await first_vm.join_token(api, say)
        await run_with_input(PROGRAMS / "rackd", ("join", "-"), token, environment, deadline_s=START_S)
    say("Starting the rack.")
    supervisor.start(_program("rackd", paths, environment))
    await supervisor.ready("rackd", lambda: first_vm.rack_is_connected(api), deadline_s=START_S)


def _program(name: str, paths: RunPaths, environment: dict[str, str]) -> Program:
    return Program(
        name=name,
        argv=(str(PROGRAMS / name), "run"),
        log_path=paths.logs / f"{name}.log",
        pid_path=paths.pids / f"{name}.pid",
        environment=environment,
    )


@contextmanager
def only_run(lock_file: Path) -> Iterator[None]:
    """Locks the state folder for this process; the kernel releases the lock. Raises CannotRun if it is locked."""
    with lock_file.open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotRun(
                f"another ./dev run (process {lock.read().strip()}) uses {lock_file.parent}. "
                "Stop it, or give this one its own INNKEEPER_STATE, INNKEEPER_HTTP_PORT and INNKEEPER_RPC_PORT."
            ) from None
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        yield


def reports_of_guests(libvirt: LocalLibvirt) -> dict[str, str]:
    """Returns settings with which deployed VMs report to the rack: they reach no other address of this machine."""
    address = libvirt.guest_side_address
    if address is None:
        return {}
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = probe.getsockname()[1]
    return {
        "INNKEEPER_REPORT_HOST": address,
        "INNKEEPER_REPORT_PORT": str(port),
        "INNKEEPER_GUEST_URL": f"http://{address}:{port}",
    }


def ports_are_free(paths: RunPaths) -> None:
    """Raises CannotRun if a port is in use."""
    for name, port in (("INNKEEPER_HTTP_PORT", paths.http_port), ("INNKEEPER_RPC_PORT", paths.rpc_port)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CannotRun(f"port {port} is not free ({error.strerror}); set {name} to another port.") from error


def say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    main()
