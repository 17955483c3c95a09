"""The roles and the database that a setup makes, and what it refuses. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Collection
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from attrs import field, frozen

from common.errors import BadSettings
from common.words.phrases import first_of
from regiond.db.stored_code import SCHEMA

OWNER, ROLE, DATABASE = "innkeeper", "innkeeper-regiond", "innkeeper"
SOCKETS = "/var/run/postgresql"  # of Debian
SUPERUSER = "postgres"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SHOWN = 5
_SCRAM_ROUNDS = 4096  # PostgreSQL's own number
_KEY = re.compile(r"#?\s*database\s*=")


@frozen(kw_only=True)
class Target:
    """The database of a setting: the region logs in as `role`; `owner` owns the tables and cannot log in."""

    dsn: str = field(repr=False)
    database: str
    role: str
    owner: str
    password: str | None = field(repr=False)

    @classmethod
    def of(cls, dsn: str, owner: str) -> Target:
        """Raises BadSettings if the roles are the same."""
        parts = _split(dsn)
        query = dict(parse_qsl(parts.query))
        role = unquote(parts.username or query.get("user", "")) or ROLE
        if role == owner:
            raise BadSettings(
                f"The setting 'database' has the user {role}, which is to own the tables: the region needs another "
                "one. Nothing was changed. Use another owner: --owner NAME"
            )
        return cls(
            dsn=dsn,
            database=unquote(parts.path.strip("/")) or query.get("dbname") or role,
            role=role,
            owner=owner,
            password=query.get("password") if parts.password is None else unquote(parts.password),
        )


@frozen(kw_only=True)
class Facts:
    """The roles and the database as a setup finds them.

    `attributes`: those of the region's role that give it more rights than its grants. `relations`: the tables of the
    database; `is_innkeeper`: whether they are Innkeeper's.
    """

    release: int
    owner_exists: bool = False
    owner_logs_in: bool = False
    owner_attributes: tuple[str, ...] = ()
    role_exists: bool = False
    attributes: tuple[str, ...] = ()
    database_exists: bool = False
    relations: tuple[str, ...] = ()
    is_innkeeper: bool = False


def check(facts: Facts, target: Target, *, oldest: int, new_password: bool = False) -> None:
    """Raises BadSettings for what a setup must not change. `oldest`: the first release of PostgreSQL that is enough.

    `new_password`: that of the target was just made up, so a role that exists does not have it.
    """
    if facts.release < oldest:
        raise BadSettings(
            f"PostgreSQL {facts.release} is too old: Innkeeper requires {oldest} or newer. Nothing was changed."
        )
    if facts.owner_logs_in:
        raise BadSettings(
            f"The role {target.owner} exists and can log in, so it may be a person's. Nothing was changed. Use another "
            "owner: --owner NAME"
        )
    check_owner_attributes(target.owner, facts.owner_attributes)
    if facts.role_exists and new_password:
        raise BadSettings(
            f"The role {target.role} exists on that server, and its password is not known here. Nothing was changed. "
            "Write the address of the database with that password as the setting 'database'. A superuser can give the "
            f'role a new one before: \\password "{target.role}"'
        )
    if facts.attributes:
        raise BadSettings(
            f"The role {target.role} has the attribute {' and '.join(facts.attributes)}, with which it could change "
            "everything. Nothing was changed. Remove it, as a superuser: "
            f'alter role "{target.role}" {" ".join(f"no{one}" for one in facts.attributes)};'
        )
    if facts.relations and not facts.is_innkeeper:
        raise BadSettings(
            f"The database {target.database} is not Innkeeper's: it has {first_of(facts.relations, _SHOWN)}. Nothing "
            "was changed. Name another database in the setting 'database'."
        )


def check_owner_attributes(owner: str, attributes: Collection[str]) -> None:
    """Raises BadSettings if the owner has further rights: what it owns would run with them."""
    if attributes:
        raise BadSettings(
            f"The database is to belong to the role {owner}, which has the attribute {' and '.join(attributes)}: "
            "whatever is stored in the database would run with its rights. Nothing was changed. Give it to a role "
            "without rights of its own: innkeeper region init --owner NAME"
        )


def check_code(database: str, differences: Collection[str]) -> None:
    """Raises BadSettings if the database can execute what the migrations did not make."""
    if differences:
        raise BadSettings(
            f"The database {database} has code that differs from what Innkeeper's migrations make: "
            f"{'; '.join(differences)}. None of it was run. It may be somebody's who had the rights of the region: "
            "see what it is. Drop what is not Innkeeper's (a function that you need belongs to a superuser, and its "
            "triggers on a table of yours), or restore a backup of before into a new database; then repeat the command."
        )


def default_dsn(administrator: str | None, password: str | None) -> str:
    """Returns the setting for a new database: on the administrator's server, or on this computer's."""
    if administrator is None:
        return f"postgresql://{ROLE}@/{DATABASE}?host={SOCKETS}"
    parts = _split(administrator)
    kept = [one for one in parse_qsl(parts.query) if one[0] not in ("user", "password", "dbname", "options")]
    secret = "" if password is None else f":{quote(password, safe='')}"
    place = f"{ROLE}{secret}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit((parts.scheme, place, f"/{DATABASE}", _query(kept), ""))


def local_administrator(dsn: str) -> str:
    """Returns the address of the superuser of the same server on this computer, over its socket."""
    parts = _split(dsn)
    kept = [one for one in parse_qsl(parts.query) if one[0] in ("host", "port")]
    if _host(dsn) in _LOOPBACK:
        port = [("port", str(parts.port))] if parts.port else [one for one in kept if one[0] == "port"]
        return urlunsplit((parts.scheme, f"{SUPERUSER}@", "/postgres", _query([("host", SOCKETS), *port]), ""))
    return urlunsplit((parts.scheme, f"{SUPERUSER}@{parts.netloc.rpartition('@')[2]}", "/postgres", _query(kept), ""))


def is_socket(dsn: str) -> bool:
    """Whether the server is reached over a socket, where it knows the user of this computer without a password."""
    host = _host(dsn)
    return not host or host.startswith("/")


def is_local(dsn: str) -> bool:
    """Whether the server is on this computer."""
    return is_socket(dsn) or _host(dsn) in _LOOPBACK


def in_database(dsn: str, database: str) -> str:
    parts = _split(dsn)
    kept = [one for one in parse_qsl(parts.query) if one[0] != "dbname"]
    return urlunsplit((parts.scheme, parts.netloc, f"/{quote(database, safe='')}", _query(kept), ""))


def as_login(dsn: str, role: str, password: str, *, host: str | None = None, port: int | None = None) -> str:
    """Returns the address with which `role` itself logs in, also in PostgreSQL's programs.

    A name without a schema is one of Innkeeper's, whatever is set for the database. `host` and `port` replace those of
    the address.
    """
    parts = _split(dsn)
    query = dict(parse_qsl(parts.query))
    for name in ("user", "password", "options", *(("host", "port") if host is not None else ())):
        query.pop(name, None)
    server = parts.netloc.rpartition("@")[2] if host is None else f"{host}:{port}"
    place = f"{quote(role, safe='')}:{quote(password, safe='')}@{server}"
    kept = _query([*query.items(), ("options", f"-c search_path={SCHEMA}")])
    return urlunsplit((parts.scheme, place, parts.path, kept, ""))


def scram(password: str, salt: bytes) -> str:
    """Returns the verifier that PostgreSQL stores, so that no log of the server has the password."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ROUNDS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    texts = [base64.b64encode(one).decode() for one in (salt, stored, server)]
    return f"SCRAM-SHA-256${_SCRAM_ROUNDS}:{texts[0]}${texts[1]}:{texts[2]}"


def with_database(toml: str, dsn: str) -> str:
    """Returns the settings with this database: after the line that explains it, else before everything."""
    line = f"database = {json.dumps(dsn)}"
    lines = toml.splitlines()
    place = next((index + 1 for index, one in enumerate(lines) if _KEY.match(one)), 0)
    return "\n".join([*lines[:place], line, *lines[place:]]) + "\n"


def _host(dsn: str) -> str:
    parts = _split(dsn)
    return parts.hostname or dict(parse_qsl(parts.query)).get("host", "")


def _split(dsn: str) -> SplitResult:
    try:
        return urlsplit(dsn)
    except ValueError as error:  # its message quotes the address with the password
        raise BadSettings(
            "The DSN of the database is not of the form postgresql://user@host:port/database.", setting="database"
        ) from error


def _query(pairs: list[tuple[str, str]]) -> str:
    return urlencode(pairs, quote_via=quote, safe="/:,")
