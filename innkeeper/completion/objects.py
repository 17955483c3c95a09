"""Lists objects of the region for completion: quickly or not at all, from a cache of 30 seconds.

A failure is cached too, for a shorter time, so that a region that does not answer delays one key press, not each.
The cache is in `$XDG_CACHE_HOME/innkeeper` (default `~/.cache/…`), mode 0600. It does not load Twisted, which takes
longer than most answers.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from common.errors import NotTrusted
from common.process.private_files import make_private_folder, write_private
from innkeeper.completion.candidates import Candidate, ObjectQuery
from innkeeper.profiles import Profile

FRESH_S = 30.0
RETRY_S = 5.0
FORGOTTEN_S = (
    7 * 86400.0
)  # a file that was written earlier is deleted: each key that a login makes has files of its own
_NAMES = ("hostname", "name", "cidr", "username", "title")
_MAX_BYTES = 32 * 1024 * 1024


def objects_of(
    profile: Profile, query: ObjectQuery, environment: Mapping[str, str], *, deadline_s: float
) -> list[Candidate]:
    """Returns names and ids of the objects; those of an expired cache, or none, if the region does not answer."""
    path = cache_folder(environment) / f"{_digest(profile, query.path)}.json"
    cached = _read(path)
    if cached is None or not 0 <= cached["until"] - time.time() <= FRESH_S:
        fresh = _fetched(profile, query.path, deadline_s)
        known = cached["names"] if cached else []
        names, seconds = (known, RETRY_S) if fresh is None else (names_of(fresh), FRESH_S)
        cached = {"until": time.time() + seconds, "names": names}
        _write(path, cached)
    return candidates_of(cached["names"], query)


def cache_folder(environment: Mapping[str, str]) -> Path:
    folder = environment.get("XDG_CACHE_HOME") or os.path.join(environment.get("HOME", "~"), ".cache")
    return Path(folder).expanduser() / "innkeeper"


def names_of(listed: Any) -> list[dict[str, str]]:
    """The keys of each object by which a command can name it."""
    wanted = ("id", "system_id", "vid", "token_key", *_NAMES)
    objects = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [{key: str(one[key]) for key in wanted if isinstance(one.get(key), str | int)} for one in objects]


def candidates_of(names: list[dict[str, str]], query: ObjectQuery) -> list[Candidate]:
    """The name of each object, if it has one that commands take, then the ids, each with the other beside it."""
    found = [(one.get(query.key, ""), next((one[name] for name in _NAMES if one.get(name)), "")) for one in names]
    by_name = [
        Candidate(word=query.prefix + name, about=id_ if id_ != name else "")
        for id_, name in found
        if name and query.by_name
    ]
    by_id = [
        Candidate(word=query.prefix + id_, about=name)
        for id_, name in found
        if id_ and (id_ != name or not query.by_name)
    ]
    return [*by_name, *by_id]


def _fetched(profile: Profile, path: str, deadline_s: float) -> Any:
    """Returns the list; None if it does not arrive in time. A thread can hang in a lookup of a name; it is left."""
    answers: list[Any] = []

    def fetch() -> None:
        try:
            answers.append(_get(profile, path, deadline_s))
        except (OSError, ValueError, http.client.HTTPException, NotTrusted):
            return

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(deadline_s)
    return answers[0] if answers else None


def _get(profile: Profile, path: str, deadline_s: float) -> Any:
    """Raises OSError, ValueError or HTTPException."""
    parts = urlsplit(profile.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=deadline_s)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.netloc, timeout=deadline_s, context=profile.trust.context())
    try:
        connection.connect()
        if isinstance(connection, http.client.HTTPSConnection):
            profile.trust.check(connection.sock.getpeercert(binary_form=True))
        connection.request("GET", parts.path + path, headers={"Authorization": _signature(profile.key)})
        response = connection.getresponse()
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        return json.loads(response.read(_MAX_BYTES))
    finally:
        connection.close()


def _signature(key: str) -> str:
    consumer, token, secret = key.split(":")
    parameters = {
        "oauth_version": "1.0",
        "oauth_signature_method": "PLAINTEXT",
        "oauth_consumer_key": consumer,
        "oauth_token": token,
        "oauth_signature": f"&{secret}",
        "oauth_nonce": secrets.token_hex(16),
        "oauth_timestamp": str(int(time.time())),
    }
    return "OAuth " + ", ".join(f'{name}="{quote(value, safe="")}"' for name, value in parameters.items())


def _digest(profile: Profile, path: str) -> str:
    """Another region, key or list is another file."""
    return sha256("\0".join((profile.url, profile.key, path)).encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        plain = json.loads(path.read_bytes())
        return {"until": float(plain["until"]), "names": names_of(plain["names"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Completion works without a cache."""
    try:
        make_private_folder(path.parent)
        write_private(path, json.dumps(content))
        for one in path.parent.glob("*.json"):
            if one.stat().st_mtime < time.time() - FORGOTTEN_S:
                one.unlink(missing_ok=True)
    except OSError:
        return
