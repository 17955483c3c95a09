"""A unit: the settings of its files, and what is recorded of it while it runs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

UNITS = (Path("/etc/systemd/system"), Path("/run/systemd/generator"), Path("/lib/systemd/system"))
STATES = Path("/run/systemctl")  # UNIT.json, and UNIT.notify while it runs
LOGS = Path("/var/log/systemctl")
OF_SYSTEMD = ("systemd-", "udev.")  # they need systemd, or change the hardware of the machine that runs the test


class Unit:
    """One unit: its settings, each with all its values, and the state that is recorded of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        instance = re.search(r"@(.*)\.", name)
        self.instance = instance[1] if instance else ""
        self.settings = self._read()

    def _read(self) -> dict[str, list[str]] | None:
        template = re.sub(r"@.*\.", "@.", self.name)
        files = [folder / name for name in (self.name, template) for folder in UNITS if (folder / name).is_file()]
        if not files:
            return None
        settings: dict[str, list[str]] = {}
        for file in (files[0], *sorted(Path(f"/etc/systemd/system/{self.name}.d").glob("*.conf"))):
            for key, value in pairs(file.read_text()):
                if value:
                    settings.setdefault(key, []).append(value.replace("%i", self.instance).replace("%n", self.name))
                else:
                    settings.pop(key, None)
        return settings

    def all(self, key: str) -> list[str]:
        return (self.settings or {}).get(key, [])

    def one(self, key: str, default: str = "") -> str:
        return (self.all(key) or [default])[-1]

    def words(self, key: str) -> list[str]:
        return [word for value in self.all(key) for word in shlex.split(value)]

    @property
    def service(self) -> Unit:
        """The service of a socket; a service itself."""
        return Unit(self.one("Service", self.name.replace(".socket", ".service")))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unit) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def seconds(self, key: str) -> float:
        return float(self.one(key)) if self.one(key).isdigit() and self.one(key) != "0" else 90.0

    def needed(self) -> Iterator[Unit]:
        """The services and sockets that start with it, as far as they are installed."""
        wants = [link.name for folder in UNITS for link in (folder / f"{self.name}.wants").glob("*")]
        for name in (*self.words("Requires"), *self.words("Wants"), *wants):
            if name.endswith((".service", ".socket")) and not name.startswith(OF_SYSTEMD):
                other = Unit(name)
                if other.settings is not None:
                    yield other

    @property
    def record(self) -> Path:
        return STATES / f"{self.name}.json"

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The main process that runs, 0 for a service that is active without one, or None."""
        if self.name.endswith(".target"):
            return 0
        if not self.record.exists():
            return None
        pid = int(json.loads(self.record.read_text())["pid"])
        return pid if pid == 0 or Path(f"/proc/{pid}").exists() else None

    def note(self, pid: int) -> None:
        self.record.write_text(json.dumps({"pid": pid}))


def pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if re.match(r"\w+\s*=", line):
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()
