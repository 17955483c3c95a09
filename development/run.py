"""`./dev run`: a whole Innkeeper on this machine, in the foreground, with a first VM on its own libvirt."""

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

from common import daemon
from common.errors import InnkeeperError
from development import first_process, first_vm, local_libvirt, processes
from development.database import OwnDatabase
from development.places import CannotRun, Places, places
from development.report import Outcome, farewell, report
from development.supervisor import GRACE_S, Program, Supervisor
from innkeeper.http import Api, api_url

CHECKOUT = Path(__file__).resolve().parent.parent
PROGRAMS = Path(sys.prefix) / "bin"
START_S = 90.0


def main() -> None:
    first_process.hand_over()
    os.umask(0o077)
    # The end of the terminal is a request to stop like the others.
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    daemon.install_reactor()
    try:
        where = places(os.environ, checkout=CHECKOUT)
        where.make()
        with only_run(where.lock_file):
            status = daemon.run(_whole(where))
            for late in (signal.SIGINT, signal.SIGTERM):  # all is stopped: the status should say so
                signal.signal(late, signal.SIG_IGN)
    except CannotRun as error:
        raise SystemExit(f"./dev run: {error}") from None
    sys.exit(status)


async def _whole(where: Places) -> None:
    async with AsyncExitStack() as started:
        started.callback(lambda: tell("Stopped."))
        try:
            outcome = await _start(where, started)
        except CannotRun as error:
            raise InnkeeperError(f"./dev run: {error}") from error
        print(report(outcome), flush=True)
        try:
            await asyncio.Event().wait()  # until a signal cancels this task
        finally:
            tell(farewell(outcome))


async def _start(where: Places, started: AsyncExitStack) -> Outcome:
    left = await processes.end_leftovers(where.pids, grace_s=GRACE_S)
    if left:
        tell(f"Ended what an earlier run had left behind: {', '.join(left)}.")
    ports_are_free(where)
    supervisor = Supervisor(tell)
    database = where.database or await _own_database(where, started)
    started.push_async_callback(supervisor.stop)
    libvirt = await local_libvirt.ensure(where, supervisor, started, tell)
    environment = where.daemon_environment(os.environ, database=database)
    api = await _region(where, supervisor, environment)
    await _rack(where, supervisor, environment, api)
    vm = await first_vm.ensure(api, libvirt.address, tell)
    kind = await local_libvirt.domain_type(libvirt.address, vm.machine["hostname"]) if vm.machine else None
    return Outcome(places=where, libvirt=libvirt, vm=vm, domain_type=kind, programs=PROGRAMS)


async def _own_database(where: Places, started: AsyncExitStack) -> str:
    tell("Starting PostgreSQL.")
    database = OwnDatabase(where.database_folder, tell)
    started.push_async_callback(database.stop)
    return await database.start()


async def _region(where: Places, supervisor: Supervisor, environment: dict[str, str]) -> Api:
    tell("Starting the region.")
    supervisor.start(_program("regiond", where, environment))
    url = api_url(where.api_url)
    anonymous = Api(url, None)

    async def answers() -> bool:
        try:
            await anonymous.get("version/", deadline_s=5)
        except InnkeeperError:
            return False
        return where.key_file.exists()

    await supervisor.ready("regiond", answers, deadline_s=START_S)
    return Api(url, where.key_file.read_text(encoding="ascii").strip())


async def _rack(where: Places, supervisor: Supervisor, environment: dict[str, str], api: Api) -> None:
    if not where.rack_identity.exists():
        tell("Joining a rack to the region.")
        await _join(await first_vm.join_token(api), environment)
    tell("Starting the rack.")
    supervisor.start(_program("rackd", where, environment))
    await supervisor.ready("rackd", lambda: first_vm.rack_is_connected(api), deadline_s=START_S)


async def _join(token: str, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(PROGRAMS / "rackd", "join", "-"),  # the token on standard input: an argument is there for all to see
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(START_S):
            said, _ = await process.communicate(token.encode() + b"\n")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise CannotRun(f"rackd join ended with status {process.returncode}: {said.decode(errors='replace').strip()}")


def _program(name: str, where: Places, environment: dict[str, str]) -> Program:
    return Program(
        name=name,
        argv=(str(PROGRAMS / name), "run"),
        log_path=where.logs / f"{name}.log",
        pid_path=where.pids / f"{name}.pid",
        environment=environment,
    )


@contextmanager
def only_run(lock_file: Path) -> Iterator[None]:
    """Hold the state for this process; the kernel lets go of it however we end. Raises CannotRun when it is held."""
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


def ports_are_free(where: Places) -> None:
    """Raise CannotRun when somebody listens on a port of ours."""
    for name, port in (("INNKEEPER_HTTP_PORT", where.http_port), ("INNKEEPER_RPC_PORT", where.rpc_port)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CannotRun(f"port {port} is not free ({error.strerror}); set {name} to another one.") from error


def tell(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    main()
