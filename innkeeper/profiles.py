"""The stored profiles: name, URL, API key and API description of each region, in one file.

`$XDG_CONFIG_HOME/innkeeper/profiles.json` (default `~/.config/…`) contains keys, so its mode is 0600 and it is replaced
atomically.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from common.errors import BadSettings, InvalidRequest, NotFound
from common.process.private_files import make_private_folder, write_private
from common.serialization import from_dict, to_dict
from common.trust.server_trust import BY_THE_COMPUTER, ServerTrust
from innkeeper.api_description import read_description

RESERVED = (
    "login",
    "logout",
    "list",
    "profiles",
    "refresh",
    "rack",
    "client",
    "region",
    "completion",
    "help",
    "__complete",
)
_NO_PROFILE = (
    "No region is known on this machine. Log in with the address that it printed at its start, such as: "
    "innkeeper login admin http://127.0.0.1:5240/MAAS"
)
_NAME = re.compile(r"[A-Za-z0-9_][\w.@-]*", re.ASCII)


@frozen(kw_only=True)
class Profile:
    """`url` is the API's base and ends in `/MAAS/api/2.0/`; `description` is the last response of `describe/`."""

    name: str
    url: str
    key: str = field(repr=False)
    description: dict[str, Any] = field(factory=dict, repr=False)
    trust: ServerTrust = BY_THE_COMPUTER


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

    def __init__(self, path: Path, *, local: Callable[[], Profile | None] = lambda: None) -> None:
        """`local` returns the profile of this machine's region, for commands while no profile is stored."""
        self.path = path
        self._local = local

    def all(self) -> dict[str, Profile]:
        """All profiles by name; none if there is no file. Raises BadSettings for an unreadable or invalid file."""
        try:
            plain = self._read()
            return {name: from_dict({**each, "name": name}, Profile) for name, each in plain["profiles"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BadSettings(f"Cannot read {self.path}: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, AttributeError, InvalidRequest) as error:
            raise BadSettings(f"{self.path} is damaged. Delete it and log in again.") from error

    def default(self) -> str | None:
        """The name of the profile of commands that name none: the chosen one, else the only one, else `admin`."""
        known = self.all()
        chosen = self._read().get("default") if known else None
        if chosen in known:
            return str(chosen)
        if len(known) == 1:
            return next(iter(known))
        return "admin" if "admin" in known else None

    def set_default(self, name: str) -> None:
        """Raises NotFound."""
        self.get(name)
        self._change(lambda known: known, default=name)

    def of_command(self, words: Sequence[str], option: str | None) -> tuple[Profile, Sequence[str]]:
        """Returns the profile of a command, and its words without the profile's name.

        A first word that names a profile is that profile, and `--profile` must then agree. Otherwise the command is
        for `--profile`, else for the default profile, else for this machine's region. Raises NotFound and
        InvalidRequest.
        """
        known = self.all()
        if words[0] in known:
            if option is not None and option != words[0]:
                raise InvalidRequest(f"The command names two profiles: '{words[0]}' and --profile '{option}'.")
            return known[words[0]], words[1:]
        name = option or self.default()
        if name is None and not known:
            if (local := self._local()) is not None:
                return local, words
            raise NotFound(_NO_PROFILE)
        if name is None and len(words) >= 2:
            raise NotFound(
                f"There is no profile '{words[0]}'. Profiles: {', '.join(sorted(known))}. To omit the profile, choose "
                "a default: innkeeper profiles default PROFILE"
            )
        if name is None:
            return self.get(words[0]), words[1:]
        profile = self.get(name)
        if _names_profile(words, profile):
            return self.get(words[0]), words[1:]  # raises NotFound, with the profiles
        return profile, words

    def has_action(self, words: Sequence[str]) -> bool:
        """Whether the words are an action of the default profile's region, such as `rack delete`."""
        name = self.default()
        if name is None or len(words) < 2 or not (description := self.get(name).description):
            return False
        resource = read_description(description).resources.get(words[0])
        return resource is not None and words[1] in resource.actions

    def get(self, name: str) -> Profile:
        """Raises NotFound, with the command to log in."""
        known = self.all()
        if name not in known:
            if not known:
                raise NotFound(f"There is no profile '{name}'. {_NO_PROFILE}")
            raise NotFound(
                f"There is no profile '{name}'. Profiles: {', '.join(sorted(known))}. "
                f"Create it with: innkeeper login {name} URL"
            )
        return known[name]

    def chosen(self, name: str | None) -> Profile:
        """The named profile; without a name the default, else that of this machine's region. Raises NotFound."""
        if name is not None:
            return self.get(name)
        known = self.all()
        default = self.default()
        if default is not None:
            return known[default]
        if known:
            raise NotFound(
                f"Choose a profile with --profile: {', '.join(sorted(known))}. Or choose a default: innkeeper profiles "
                "default PROFILE"
            )
        return self._local() or self.get("admin")

    def put(self, profile: Profile) -> None:
        self._change(lambda known: {**known, profile.name: profile})

    def update(self, profile: Profile) -> None:
        """Replaces the stored profile. Does nothing if it is not stored, as that of this machine's region."""
        if profile.name in self.all():
            self.put(profile)

    def remove(self, name: str) -> None:
        """Raises NotFound."""
        self.get(name)
        self._change(lambda known: {key: each for key, each in known.items() if key != name})

    def _read(self) -> dict[str, Any]:
        plain = json.loads(self.path.read_bytes())
        return {"default": plain.get("default"), "profiles": plain["profiles"]}

    def _change(
        self, change: Callable[[dict[str, Profile]], dict[str, Profile]], *, default: str | None = None
    ) -> None:
        try:
            with self._locked():
                before = self.all()
                known = change(before)
                chosen = default or (self._read()["default"] if before else None)
                plain = {name: _without_name(to_dict(each)) for name, each in sorted(known.items())}
                content = {"profiles": plain, **({"default": chosen} if chosen in known else {})}
                write_private(self.path, json.dumps(content, indent=1) + "\n")
        except OSError as error:
            raise BadSettings(f"Cannot write {self.path}: {error.strerror}.") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_private_folder(self.path.parent)
        with open(self.path.with_suffix(".lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _names_profile(words: Sequence[str], profile: Profile) -> bool:
    """Whether the first word stands where a profile would: it is no resource, and a resource follows."""
    resources = read_description(profile.description).resources if profile.description else {}
    return words[0] not in resources and len(words) > 1 and words[1] in resources


def _without_name(plain: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plain.items() if key != "name"}
