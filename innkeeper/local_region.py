"""The region of this machine: local commands use its own credential when no profile is stored.

The region writes `local.json` with its address and an administrator's key into its state folder at each start, mode
0600: only root and the user that runs the region can read it.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from common.errors import BadSettings, NotAllowed
from common.trust.server_trust import ServerTrust
from innkeeper.profiles import Profile

LOCAL_FILE = "local.json"
CONFIG_FILE = Path("/etc/innkeeper/regiond.toml")
STATE_FOLDER = Path("/var/lib/innkeeper-regiond")
NAME = "local-region"


def local_profile(environment: Mapping[str, str], *, programs: Path | None = None) -> Profile | None:
    """Returns a profile for the region of this machine; None if there is none.

    Raises NotAllowed if only another user may read its credential, and BadSettings if that is damaged.
    `programs`: the virtual environment of this command (default: the running one).
    """
    for folder in state_folders(environment, programs or Path(sys.prefix)):
        path = folder / LOCAL_FILE
        try:
            plain = json.loads(path.read_bytes())
            trust = ServerTrust(fingerprint=plain.get("fingerprint", ""))
            return Profile(name=NAME, url=plain["url"], key=plain["key"], trust=trust)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError:
            raise NotAllowed(_only_its_user(path)) from None
        except OSError as error:
            raise BadSettings(f"Cannot read {path}: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise BadSettings(f"{path} is damaged. Restart the region, which writes it again.") from error
    return None


def state_folders(environment: Mapping[str, str], programs: Path) -> Iterator[Path]:
    """The folders in which a region of this machine may have its state, the most specific first."""
    if environment.get("INNKEEPER_STATE"):
        yield Path(environment["INNKEEPER_STATE"])
        return
    if (programs.parent / "dev").is_file():
        yield programs.parent / "var"  # of ./dev run in the checkout of this command
    file = Path(environment.get("INNKEEPER_CONFIG") or CONFIG_FILE)
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    yield Path(str(settings.get("state") or STATE_FOLDER))


def _only_its_user(path: Path) -> str:
    readers = "root"
    for place in (path, path.parent):
        try:
            owner = place.stat().st_uid
        except OSError:
            continue
        if owner:
            try:
                readers = f"root and {pwd.getpwuid(owner).pw_name}"
            except KeyError:
                readers = f"root and the user {owner}"
        break
    me = os.geteuid()
    return (
        f"Cannot read {path} as user {me}: only {readers} can. Run the command with sudo, or log in first: "
        "innkeeper login PROFILE URL"
    )
