"""The stored profiles: name, URL, API key and API description of each region, in one file.

`$XDG_CONFIG_HOME/innkeeper/profiles.json` (default `~/.config/…`) contains keys, so its mode is 0600 and it is replaced
atomically.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from common.errors import BadSettings, InvalidRequest, NotFound
from common.private_files import make_private_folder, write_private
from common.serialization import from_dict, to_dict

RESERVED = ("login", "logout", "profiles", "refresh", "rack", "client", "region", "help")
_NAME = re.compile(r"[A-Za-z0-9_][\w.@-]*", re.ASCII)


@frozen(kw_only=True)
class Profile:
    """`url` is the API's base and ends in `/MAAS/api/2.0/`; `description` is the last response of `describe/`."""

    name: str
    url: str
    key: str = field(repr=False)
    description: dict[str, Any] = field(factory=dict, repr=False)


def check_name(name: str) -> None:
    """Raises InvalidRequest for a name that cannot be the first word of a command."""
    if name in RESERVED:
        raise InvalidRequest(f"A profile cannot be named '{name}': that is a command of innkeeper.")
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"Invalid profile name '{name}': use letters, digits, '.', '_', '@' and '-'.")


def default_path(environment: Mapping[str, str]) -> Path:
    folder = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", "~"), ".config")
    return Path(folder).expanduser() / "innkeeper" / "profiles.json"


class Profiles:
    """The file of profiles. A lock around each change prevents lost updates between processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> dict[str, Profile]:
        """All profiles by name; none if there is no file. Raises BadSettings for an unreadable or invalid file."""
        try:
            plain = json.loads(self.path.read_bytes())
            return {name: from_dict({**each, "name": name}, Profile) for name, each in plain["profiles"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BadSettings(f"Cannot read {self.path}: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, AttributeError, InvalidRequest) as error:
            raise BadSettings(f"{self.path} is damaged. Delete it and log in again.") from error

    def get(self, name: str) -> Profile:
        """Raises NotFound, with the command to log in."""
        known = self.all()
        if name not in known:
            existing = f"Profiles: {', '.join(sorted(known))}." if known else "No profile exists yet."
            raise NotFound(f"There is no profile '{name}'. {existing} Create it with: innkeeper login {name} URL KEY")
        return known[name]

    def chosen(self, name: str | None) -> Profile:
        """The named profile; without a name the only one, else `admin`. Raises NotFound."""
        known = self.all()
        if name is None and len(known) == 1:
            return next(iter(known.values()))
        if name is None and known and "admin" not in known:
            raise NotFound(f"Choose a profile with --profile: {', '.join(sorted(known))}.")
        return self.get(name or "admin")

    def put(self, profile: Profile) -> None:
        self._change(lambda known: {**known, profile.name: profile})

    def remove(self, name: str) -> None:
        """Raises NotFound."""
        self.get(name)
        self._change(lambda known: {key: each for key, each in known.items() if key != name})

    def _change(self, change: Callable[[dict[str, Profile]], dict[str, Profile]]) -> None:
        try:
            with self._locked():
                known = change(self.all())
                plain = {name: _without_name(to_dict(each)) for name, each in sorted(known.items())}
                write_private(self.path, json.dumps({"profiles": plain}, indent=1) + "\n")
        except OSError as error:
            raise BadSettings(f"Cannot write {self.path}: {error.strerror}.") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_private_folder(self.path.parent)
        with open(self.path.with_suffix(".lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _without_name(plain: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plain.items() if key != "name"}
