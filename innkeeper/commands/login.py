"""`innkeeper login`: stores a region's address and an API key, given or made by user name and password."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import termios
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from common.errors import InvalidRequest, NotAuthenticated, NotFound
from innkeeper.api_description import API_PATH, read_description
from innkeeper.arguments import Options, Usage
from innkeeper.commands.api_commands import fetched
from innkeeper.http import Api, api_url
from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profile, Profiles, check_name
from innkeeper.request_body import Body
from innkeeper.server_trust import read_trust

USAGE = """\
usage: innkeeper login PROFILE URL [- | @FILE | KEY | --username NAME] [--ca-file FILE | --fingerprint SHA256]
- reads the API key from standard input, @FILE from a file; other users of this computer can see a KEY that is typed
here. With --username the password is read from the terminal or from standard input. With neither, a terminal is asked
for a user name; otherwise standard input has the key."""
_TIMEOUT_S = 30.0
_MAX_KEY_LINES = 20
_KEY = re.compile(r"(?<![\w:])[A-Za-z0-9]+:[A-Za-z0-9]+:[A-Za-z0-9]+(?![\w:])", re.ASCII)
_PARTS = ("consumer_key", "token_key", "token_secret")


@frozen(kw_only=True)
class LoginRequest:
    """The profile to store. Its key is empty if `username` and `password` make one."""

    profile: Profile
    username: str = ""
    password: str = field(default="", repr=False)


def read_request(words: Sequence[str], options: Options, terminal: Terminal) -> LoginRequest:
    """Returns what to log in with, checked without the region.

    May prompt, so it runs before the event loop starts: there, Ctrl-C would not end the prompt. Raises Usage and
    InvalidRequest.
    """
    username = options.username
    if len(words) not in (2, 3) or (username is not None and len(words) == 3):
        raise Usage(USAGE)
    name, url = words[0], api_url(words[1])
    check_name(name)
    profile = Profile(
        name=name, url=url, key="",
        trust=read_trust(url=url, ca_file=options.ca_file, fingerprint=options.fingerprint),
    )  # fmt: skip
    if username is None and len(words) == 2 and terminal.stdin.isatty():
        username = _prompted_name(terminal)
    if username:
        password = _password(terminal)
        return LoginRequest(profile=profile, username=username, password=password)
    if username is not None and not terminal.stdin.isatty():
        raise InvalidRequest(f"The user name is empty.\n{USAGE}")
    key = _key_from(words[2] if len(words) == 3 else "-", terminal)
    return LoginRequest(profile=evolve(profile, key=key))


async def log_in(wanted: LoginRequest, profiles: Profiles, terminal: Terminal) -> None:
    """Stores the profile after the region has accepted its key or password. Replaces one of the same name."""
    profile = wanted.profile if wanted.profile.key else await _with_new_key(wanted)
    name, url = profile.name, profile.url
    api = Api.of(profile)
    try:
        who = (await api.get("users/", op="whoami", deadline_s=_TIMEOUT_S)).json()
    except NotAuthenticated as error:
        raise NotAuthenticated(f"{url} rejected this API key: {error.message}") from error
    except NotFound as error:
        raise NotFound(no_region(url)) from error
    found = await fetched(api, profile)
    if name in read_description(found.description).resources:
        raise InvalidRequest(f"A profile cannot be named '{name}': that is a resource of the region.")
    profiles.put(found)
    username = who.get("username") if isinstance(who, dict) else None
    terminal.note(f"Logged in to {url} as {username or 'an unnamed user'}, profile '{name}'.")
    prefix = "innkeeper" if profiles.default() == name else f"innkeeper {name}"
    terminal.note(f"Try: {prefix} vm-hosts read    All commands: innkeeper {name} --help")


def no_region(url: str) -> str:
    """The message for an address at which a server answers, but no region."""
    parts = urlsplit(url)
    server, prefix = f"{parts.scheme}://{parts.netloc}", parts.path.removesuffix(API_PATH)
    text = f"{server} has no region at {parts.path} (status 404)."
    return f"{text} Without '{prefix}' the address is {server}/MAAS" if prefix else text


async def _with_new_key(wanted: LoginRequest) -> Profile:
    """Returns the profile with the key that the region makes. Raises NotAuthenticated for a wrong name or password."""
    profile = wanted.profile
    api = Api(profile.url.removesuffix("api/2.0/"), None, trust=profile.trust)
    form = [
        ("username", wanted.username),
        ("password", wanted.password),
        ("consumer", f"{os.environ.get('USER') or 'innkeeper'}@{socket.gethostname()}"[:255]),
    ]
    try:
        plain = (await api.send("POST", "accounts/authenticate/", body=Body(fields=form), deadline_s=_TIMEOUT_S)).json()
    except NotFound as error:
        raise NotFound(no_region(profile.url)) from error
    key = parse_key(":".join(str(plain.get(part, "")) for part in ("consumer_key", "token_key", "token_secret")))
    if key is None:
        raise InvalidRequest(f"{profile.url} answered the login without an API key.")
    return evolve(profile, key=key)


def _prompted_name(terminal: Terminal) -> str:
    terminal.err.write("User name (empty to paste an API key): ")
    terminal.err.flush()
    return terminal.stdin.readline().strip()


def _password(terminal: Terminal) -> str:
    """Raises InvalidRequest if it is empty."""
    password = _hidden("Password: ") if terminal.stdin.isatty() else terminal.stdin.readline().rstrip("\r\n")
    if not password:
        raise InvalidRequest("The password is empty.")
    return password


def _key_from(word: str, terminal: Terminal) -> str:
    """The API key as typed, or read from `@FILE` or from standard input without echo. Raises InvalidRequest."""
    if word.startswith("@"):
        try:
            text = Path(word[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"Cannot read the API key from {word[1:]}: {error}.") from error
    elif word == "-":
        text = _read_key(terminal)
    else:
        text = word
    if not text.strip():
        raise InvalidRequest(f"The API key is empty.\n{USAGE}")
    key = parse_key(text)
    if key is None:
        raise InvalidRequest("An API key has three parts, separated by colons: consumer:token:secret.")
    return key


def _read_key(terminal: Terminal) -> str:
    """One line; more if a pasted key has several, as JSON has."""
    if not terminal.stdin.isatty():
        return _key_lines(terminal)
    descriptor = terminal.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    # Not getpass: it discards the lines that were pasted after the first one. The prompt comes after the change, or a
    # key that is pasted at once would be shown.
    termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
    try:
        terminal.err.write("API key: ")
        terminal.err.flush()
        return _key_lines(terminal)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        terminal.note("")


def _key_lines(terminal: Terminal) -> str:
    lines = [terminal.stdin.readline()]
    while lines[-1].strip() and is_begun("".join(lines)) and len(lines) < _MAX_KEY_LINES:
        lines.append(terminal.stdin.readline())
    return "".join(lines)


def _hidden(prompt: str) -> str:
    try:
        return getpass.getpass(prompt)
    except EOFError:  # Ctrl-D
        return ""


def parse_key(text: str) -> str | None:
    """Returns the key in `text`; None if it has none, or several.

    `text`: the key, a line that contains it, or the output of `account create-authorisation-token`, JSON or a table.
    """
    text = text.strip()
    parts = _json_parts(text) or _table_parts(text)
    if parts is not None:
        return ":".join(parts)
    found = _KEY.findall(text)
    return str(found[0]) if len(found) == 1 else None


def is_begun(text: str) -> bool:
    """Whether a key of several lines has begun: the rest follows."""
    first = text.strip().partition("\n")[0].lower()
    return parse_key(text) is None and (first.startswith("{") or first.replace(" ", "_").startswith(("name", *_PARTS)))


def _json_parts(text: str) -> list[str] | None:
    try:
        plain = json.loads(text)
        parts = [plain[name] for name in _PARTS]
    except (ValueError, KeyError, TypeError):
        return None
    return parts if all(isinstance(part, str) and part.isascii() and part.isalnum() for part in parts) else None


def _table_parts(text: str) -> list[str] | None:
    parts = [
        re.search(rf"^\W*{name.replace('_', '[ _]')}\W+([A-Za-z0-9]+)\s*$", text, re.MULTILINE | re.IGNORECASE)
        for name in _PARTS
    ]
    return [match[1] for match in parts if match] if all(parts) else None
