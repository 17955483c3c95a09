"""Gives each process of a deployment a clock of its own, which tests set: Debian's libfaketime with a file."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import define

from development import postgres
from tests.deployment.processes import Processes
from tests.deployment.runner import POSTGRES

_LIBRARIES = tuple(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def why_no_faketime() -> str | None:
    return None if _LIBRARIES else "requires libfaketime: apt install libfaketime"


@define(kw_only=True)
class ClockedProcesses(Processes):
    """The monotonic clock of each process is the machine's: only the date and time jump, as when a clock is set."""

    def clock(self, name: str) -> Path:
        return self.folder / f"{name}.clock"

    def set_clock(self, name: str, *, ahead_s: int) -> None:
        new = self.clock(name).with_suffix(".new")
        new.write_text(f"{ahead_s:+d}\n")
        new.chmod(0o644)
        new.rename(self.clock(name))

    @contextmanager
    def clock_ahead(self, name: str, seconds: int) -> Iterator[None]:
        self.set_clock(name, ahead_s=seconds)
        try:
            yield
        finally:
            self.set_clock(name, ahead_s=0)

    def start_postgres(self) -> None:
        """Starts the server twice: without a clock of its own to create the database, then with one."""
        self.dsn = postgres.start(self.server_folder)
        options = (self.server_folder / "data" / "postmaster.opts").read_text()
        postgres.stop(self.server_folder)
        for above in self.folder.parents:  # the server runs as another user
            above.chmod(above.stat().st_mode | 0o001)
        self.folder.chmod(0o755)
        owner = pwd.getpwnam(postgres.USER)
        with (self.server_folder / "log").open("ab") as log:
            server = subprocess.Popen(
                ["sh", "-c", f"exec {options}"], cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**self._clocked(POSTGRES), "PATH": os.environ["PATH"], "LC_ALL": "C"}, start_new_session=True,
                user=owner.pw_uid, group=owner.pw_gid, extra_groups=[],
            )  # fmt: skip
        while postgres.running_pid(self.server_folder) is None:
            assert server.poll() is None, (self.server_folder / "log").read_text()[-2000:]
            os.sched_yield()
        postgres.start(self.server_folder)  # waits for it

    def _spawn(self, name: str, argv: tuple[str, ...], environment: Mapping[str, str]) -> None:
        super()._spawn(name, argv, {**environment, **self._clocked(name)})

    def _clocked(self, name: str) -> dict[str, str]:
        self.set_clock(name, ahead_s=0)
        return {
            "LD_PRELOAD": str(_LIBRARIES[0]), "FAKETIME_TIMESTAMP_FILE": str(self.clock(name)),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
