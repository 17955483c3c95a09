"""Where a development run keeps its things and on which ports it listens: read from the environment, once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

HTTP_PORT = 5240
RPC_PORT = 5250


class CannotRun(Exception):
    """A sentence for the person at the terminal: what is in the way, and what would help."""


@frozen(kw_only=True)
class Places:
    """`database` is the address of somebody else's PostgreSQL; None means that the run brings its own."""

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
    def simulated_hosts(self) -> Path:
        return self.state / "simulated-hosts"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def pids(self) -> Path:
        return self.state / "pids"

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
        """Make the folders that are missing, readable by this user alone. Raises CannotRun when one cannot be made."""
        for folder in (self.state, self.logs, self.pids, self.simulated_hosts):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise CannotRun(f"INNKEEPER_STATE: cannot make the folder {folder}: {error.strerror}.") from error

    def daemon_environment(self, inherited: Mapping[str, str], *, database: str) -> dict[str, str]:
        """What regiond and rackd are started with: `inherited`, without what is the run's own, and their settings."""
        kept = {name: value for name, value in inherited.items() if name != "PYTHONPATH"}
        return {
            **kept,
            "INNKEEPER_STATE": str(self.state),
            "INNKEEPER_DATABASE": database,
            "INNKEEPER_HTTP_PORT": str(self.http_port),
            "INNKEEPER_RPC_PORT": str(self.rpc_port),
            "INNKEEPER_SIMULATED_HOSTS": str(self.simulated_hosts),
        }


def places(environment: Mapping[str, str], *, checkout: Path) -> Places:
    """The places that `environment` names, and the defaults for the rest. Raises CannotRun, naming the variable."""
    ports = {name: _port(environment, name, default) for name, default in _PORTS.items()}
    if len(set(ports.values())) != len(ports):
        raise CannotRun(f"{' and '.join(_PORTS)} are both {ports['INNKEEPER_HTTP_PORT']}: give one another number.")
    return Places(
        state=Path(environment.get("INNKEEPER_STATE") or checkout / "var").absolute(),
        http_port=ports["INNKEEPER_HTTP_PORT"],
        rpc_port=ports["INNKEEPER_RPC_PORT"],
        database=environment.get("INNKEEPER_DATABASE") or None,
    )


_PORTS = {"INNKEEPER_HTTP_PORT": HTTP_PORT, "INNKEEPER_RPC_PORT": RPC_PORT}


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise CannotRun(f"{name} is {text!r}; a port is a number from 1 to 65535.")
    return int(text)
