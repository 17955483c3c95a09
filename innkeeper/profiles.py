"""The regions that this user is logged in to: name, address, API key and the description of the API, in one file.

`$XDG_CONFIG_HOME/innkeeper/profiles.json` (default `~/.config/…`) holds keys, so it is mode 0600 and replaced whole.
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
from common.wire import from_plain, to_plain

RESERVED = ("login", "logout", "profiles", "refresh", "rack", "client", "region", "help")
_NAME = re.compile(r"[A-Za-z0-9_][\w.@-]*", re.ASCII)


@frozen(kw_only=True)
class Profile:
    """`url` is the API's base and ends in `/MAAS/api/2.0/`; `description` is what its `describe/` answered last."""

    name: str
    url: str
    key: str = field(repr=False)
    description: dict[str, Any] = field(factory=dict, repr=False)


def check_name(name: str) -> None:
    """Raises InvalidRequest for a name that could not be typed as the first word of a command."""
    if name in RESERVED:
        raise InvalidRequest(f"A profile cannot be called '{name}': that is a command of innkeeper.")
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"'{name}' is no profile name: use letters, digits, '.', '_', '@' and '-'.")


def default_path(environment: Mapping[str, str]) -> Path:
    folder = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", "~"), ".config")
    return Path(folder).expanduser() / "innkeeper" / "profiles.json"


class Profiles:
    """The file. Every change reads, changes and replaces it under a lock, so that no other process's login is lost."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> dict[str, Profile]:
        """By name. No file means none; raises BadSettings for a file that cannot be read or understood."""
        try:
            plain = json.loads(self.path.read_bytes())
            return {name: from_plain({**each, "name": name}, Profile) for name, each in plain["profiles"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BadSettings(f"{self.path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, AttributeError, InvalidRequest) as error:
            raise BadSettings(f"{self.path} is damaged; remove it and log in again.") from error

    def get(self, name: str) -> Profile:
        """Raises NotFound that says how to log in."""
        known = self.all()
        if name not in known:
            have = f"Profiles: {', '.join(sorted(known))}." if known else "No profile is logged in yet."
            raise NotFound(f"There is no profile '{name}'. {have} Make one with: innkeeper login {name} URL KEY")
        return known[name]

    def chosen(self, name: str | None) -> Profile:
        """The named one; without a name the only one, or else `admin`. Raises NotFound."""
        known = self.all()
        if name is None and len(known) == 1:
            return next(iter(known.values()))
        if name is None and known and "admin" not in known:
            raise NotFound(f"Say which profile with --profile; there are: {', '.join(sorted(known))}.")
        return self.get(name or "admin")

    def put(self, profile: Profile) -> None:
        self._change(lambda known: {**known, profile.name: profile})

    def remove(self, name: str) -> None:
        """Raises NotFound when it is not there."""
        self.get(name)
        self._change(lambda known: {key: each for key, each in known.items() if key != name})

    def _change(self, change: Callable[[dict[str, Profile]], dict[str, Profile]]) -> None:
        try:
            with self._locked():
                known = change(self.all())
                plain = {name: _without_name(to_plain(each)) for name, each in sorted(known.items())}
                write_private(self.path, json.dumps({"profiles": plain}, indent=1) + "\n")
        except OSError as error:
            raise BadSettings(f"{self.path} cannot be written: {error.strerror}.") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_private_folder(self.path.parent)
        with open(self.path.with_suffix(".lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _without_name(plain: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plain.items() if key != "name"}
