"""A primary of Debian's PostgreSQL with a streaming standby, both on ports of this computer."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from development.postgres import DATABASE, ROLE
from tests.postgresql.database import memory_folder
from tests.support.ports import free_port

PASSWORD = "lathe-ginger-40"  # noqa: S105
USER = "postgres"
DEADLINE_S = 60
SETTINGS = {"fsync": "off", "max_connections": "100", "autovacuum": "off", "wal_keep_size": "256MB"}


def programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    assert found, "requires Debian's PostgreSQL: apt-get install postgresql"
    return found[-1]


@define(kw_only=True)
class Server:
    """One PostgreSQL server: its data and its socket are in `folder`."""

    folder: Path
    port: int = field(factory=free_port)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder}
        text = " ".join(f"-c {name}={value}" for name, value in {**SETTINGS, **options}.items())
        # Of a killed one, whose process id is in use until something has reaped it.
        for left in (self.data / "postmaster.pid", self.folder / f".s.PGSQL.{self.port}.lock"):
            left.unlink(missing_ok=True)
        try:
            self.run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-t", DEADLINE_S, "-o", text, "start")
        except AssertionError as error:
            error.add_note((self.folder / "log").read_text()[-2000:])
            raise

    def run(self, program: str, *arguments: object) -> str:
        """Returns the program's output. To a file: the server inherits it, and would hold a pipe open."""
        become = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [*become, str(programs() / program), *map(str, arguments)], cwd="/", stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, timeout=DEADLINE_S + 10, check=False,
            )  # fmt: skip
            output.seek(0)
            text = output.read()
        assert done.returncode == 0, text
        return text.strip()

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Runs the statement as the superuser; returns what psql prints."""
        return self.run("psql", "-h", self.folder, "-p", self.port, "-d", database, "-XAtqc", statement)

    def set(self, name: str, value: str) -> None:
        """Changes a setting of the running server."""
        self.sql(f"alter system set {name} = '{value}'")
        self.sql("select pg_reload_conf()")

    def pids(self) -> list[int]:
        """The postmaster first."""
        first = self.postmaster
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    @property
    def postmaster(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """Ends every process of the server at once."""
        for pid in reversed(self._stand_still()):  # the postmaster last: without it the ids of ended ones are free
            os.kill(pid, signal.SIGKILL)

    def suspend(self) -> None:
        """Stops every process: connections stay open, and nothing answers. `resume` continues them."""
        for pid in self._stand_still():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in reversed(self.pids()):  # the postmaster last, which would reap children that end
            os.kill(pid, signal.SIGCONT)

    def _stand_still(self) -> list[int]:
        """Stops the postmaster; returns all processes. None is added or reaped any more: each of the ids is in use."""
        first = self.postmaster
        os.kill(first, signal.SIGSTOP)
        while Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            pass
        return self.pids()

    def stop(self) -> None:
        subprocess.run(
            ["runuser", "-u", USER, "--", str(programs() / "pg_ctl"), "-D", str(self.data), "-m", "immediate", "stop"],
            cwd="/", capture_output=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip


@define(kw_only=True)
class Replication:
    """`primary` is the first server, also after the standby was promoted."""

    primary: Server
    standby: Server

    @property
    def dsn(self) -> str:
        """The database, with both servers; the client is to find the one that accepts writes."""
        servers = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://{ROLE}:{PASSWORD}@{servers}/{DATABASE}?target_session_attrs=read-write"

    def start(self, *, synchronous: bool) -> None:
        self._start_primary()
        self._copy(self.primary, self.standby)
        self.standby.start()
        if synchronous:
            self.primary.set("synchronous_standby_names", "standby")
            self.primary.sql("create table if not exists synchronised ()")  # returns when the standby has it

    def rejoin(self) -> None:
        """Makes the first server, which has been killed, the standby of the second."""
        shutil.rmtree(self.primary.data)
        self._copy(self.standby, self.primary)
        self.primary.start()

    def promote(self) -> None:
        """Returns when the standby accepts writes."""
        self.standby.run("pg_ctl", "-D", self.standby.data, "-w", "-t", DEADLINE_S, "promote")

    def cut(self) -> None:
        """Ends the replication: the standby receives no further change."""
        self.standby.set("primary_conninfo", "")
        while self.primary.sql("select count(*) from pg_stat_replication") != "0":
            pass

    def stop(self) -> None:
        for server in (self.primary, self.standby):
            server.stop()

    def _start_primary(self) -> None:
        server = self.primary
        server.run("initdb", "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C",
                   "--no-sync", "-D", server.data)  # fmt: skip
        server.start()
        server.sql(f"create role \"{ROLE}\" login password '{PASSWORD}'")
        server.sql(f'create database {DATABASE} owner "{ROLE}"')

    @staticmethod
    def _copy(source: Server, target: Server) -> None:
        where = f"host={source.folder} port={source.port} application_name=standby"
        target.run(
            "pg_basebackup", "-d", where, "-D", target.data, "--checkpoint=fast", "--no-sync", "--write-recovery-conf"
        )
        (target.data / "postgresql.auto.conf").open("a").write(
            f"primary_conninfo = '{where} user={USER}'\nsynchronous_standby_names = ''\n"
        )


@contextmanager
def replication(*, synchronous: bool) -> Iterator[Replication]:
    """A running pair, with the role and the empty database of the installation guide; removed after the block."""
    with tempfile.TemporaryDirectory(prefix="innkeeper-fo-", dir=memory_folder(), ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("one", "two"):
            (folder / part).mkdir(mode=0o700)
            if os.geteuid() == 0:
                shutil.chown(folder / part, USER, USER)
        pair = Replication(primary=Server(folder=folder / "one"), standby=Server(folder=folder / "two"))
        try:
            pair.start(synchronous=synchronous)
            yield pair
        finally:
            pair.stop()
