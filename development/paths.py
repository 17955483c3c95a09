"""Reads the paths and ports of `./dev run` from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

HTTP_PORT = 5240
RPC_PORT = 5250


class CannotRun(Exception):
    """The run cannot start. The message is for the person at the terminal: the cause and what helps."""


@frozen(kw_only=True)
class RunPaths:
    """`database` is the DSN of an existing PostgreSQL server; None: the run starts its own."""

    state: Path
    http_port: int = HTTP_PORT
    rpc_port: int = RPC_PORT
    database: str | None = None

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/MAAS"

    @property
    def key_file(self) -> Path:
        return self.state / "admin.apikey"

    @property
    def password_file(self) -> Path:
        return self.state / "admin.password"

    @property
    def simulated_hosts(self) -> Path:
        return self.state / "simulated-hosts"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pids(self) -> Path:
        return self.state / "pids"

    @property
    def surviving_pids(self) -> Path:
        """PID files of daemons that outlive a killed run, since others use them too."""
        return self.state / "surviving-pids"

    @property
    def lock_file(self) -> Path:
        return self.state / "dev-run.lock"

    @property
    def database_folder(self) -> Path:
        return self.state / "postgresql"

    @property
    def rack_identity(self) -> Path:
        return self.state / "rackd" / "identity.json"

    def make(self) -> None:
        """Creates missing folders with mode 0700. Raises CannotRun. Idempotent."""
        for folder in (self.state, self.logs, self.pids, self.surviving_pids, self.simulated_hosts):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise CannotRun(f"INNKEEPER_STATE: cannot create the folder {folder}: {error.strerror}.") from error

    def daemon_environment(self, inherited: Mapping[str, str], *, database: str) -> dict[str, str]:
        """Returns the environment of regiond and rackd: `inherited` without PYTHONPATH, plus their settings."""
        remaining = {name: value for name, value in inherited.items() if name != "PYTHONPATH"}
        return {
            "INNKEEPER_METRICS_HOST": "",  # unless the caller wants metrics: several runs would need a port each
            **remaining,
            "INNKEEPER_STATE": str(self.state),
            "INNKEEPER_DATABASE": database,
            "INNKEEPER_HTTP_PORT": str(self.http_port),
            "INNKEEPER_RPC_PORT": str(self.rpc_port),
            "INNKEEPER_SIMULATED_HOSTS": str(self.simulated_hosts),
        }

    @staticmethod
    def rack_environment(environment: Mapping[str, str]) -> dict[str, str]:
        """Returns the environment of rackd, made of that of both daemons: its metrics have a port of their own."""
        port = environment.get(_METRICS_PORT, "")
        own = str(int(port) + RACK_METRICS_OFFSET) if port.isdecimal() and int(port) else port
        return {**environment, _METRICS_PORT: own} if port else dict(environment)


def read_paths(environment: Mapping[str, str], *, checkout: Path) -> RunPaths:
    """Returns the paths and ports that `environment` names, with defaults. Raises CannotRun, naming the variable."""
    ports = {name: _port(environment, name, default) for name, default in _PORTS.items()}
    if len(set(ports.values())) != len(ports):
        raise CannotRun(f"{' and '.join(_PORTS)} are both {ports['INNKEEPER_HTTP_PORT']}; they must differ.")
    return RunPaths(
        state=Path(environment.get("INNKEEPER_STATE") or checkout / "var").absolute(),
        http_port=ports["INNKEEPER_HTTP_PORT"],
        rpc_port=ports["INNKEEPER_RPC_PORT"],
        database=environment.get("INNKEEPER_DATABASE") or None,
    )


_METRICS_PORT = "INNKEEPER_METRICS_PORT"
RACK_METRICS_OFFSET = 10  # as between the default ports
_PORTS = {"INNKEEPER_HTTP_PORT": HTTP_PORT, "INNKEEPER_RPC_PORT": RPC_PORT}


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise CannotRun(f"{name} is {text!r}; it must be a number from 1 to 65535.")
    return int(text)
