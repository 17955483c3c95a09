"""SQL of MAAS servers. A duplicate name raises asyncpg's UniqueViolationError."""

from __future__ import annotations

from attrs import fields

from regiond.db.pool import Db, of_row
from regiond.maas.bridge.model import MaasServer, NewMaasServer, ServerSettings

_SETTINGS = ", ".join(one.name for one in fields(ServerSettings))
_FIELDS = f"""
    select s.id, s.name, {_SETTINGS}, s.version, s.username, s.checked_at, s.problem,
           (select count(*) from maas_registration r where r.server_id = s.id) as machines
      from maas_server s
"""  # noqa: S608  # the names of our own attributes
_LIST = _FIELDS + " order by s.name"
_READ = _FIELDS + " where s.name = $1"
_OF_ID = _FIELDS + " where s.id = $1"
_SEALED_KEY = "select sealed_key from maas_server where id = $1"
_INSERT = f"""
    insert into maas_server (name, {_SETTINGS})
    select $1, {_SETTINGS} from jsonb_populate_record(null::maas_server, $2::jsonb)
    returning id
"""  # noqa: S608  # the names of our own attributes
_SEAL = "update maas_server set sealed_key = $2 where id = $1"
_UPDATE = f"""
    update maas_server s
       set ({_SETTINGS}) = (select {_SETTINGS} from jsonb_populate_record(s, $2::jsonb) as given)
     where id = $1
"""  # noqa: S608  # the names of our own attributes
_RECORD_CHECK = """
    update maas_server set checked_at = clock_timestamp(), problem = '', version = $2, username = $3 where id = $1
"""
_RECORD_PROBLEM = "update maas_server set checked_at = clock_timestamp(), problem = $2 where id = $1"
_CLEAR_PROBLEM = "update maas_server set problem = '' where id = $1 and problem <> ''"
_LOCK = "select from maas_server where id = $1 for update"
_DELETE = "delete from maas_server where id = $1"
_DUE = """
    select s.id from maas_server s
     where exists (select from maas_registration r where r.server_id = s.id
                      and (r.maas_system_id is not null or r.machine_id is null))
       and (s.listed_at is null or s.listed_at < clock_timestamp() - make_interval(secs => $1))
     order by s.listed_at nulls first, s.id
"""
# Of several regions, the one whose update changes the row asks the server.
_CLAIM_LIST = """
    update maas_server set listed_at = clock_timestamp()
     where id = $1 and (listed_at is null or listed_at < clock_timestamp() - make_interval(secs => $2))
    returning listed_at
"""


async def servers(db: Db) -> tuple[MaasServer, ...]:
    """Returns all, by name."""
    return tuple(of_row(MaasServer, row) for row in await db.fetch(_LIST))


async def server(db: Db, name: str) -> MaasServer | None:
    row = await db.fetchrow(_READ, name)
    return None if row is None else of_row(MaasServer, row)


async def server_of_id(db: Db, server_id: int) -> MaasServer | None:
    row = await db.fetchrow(_OF_ID, server_id)
    return None if row is None else of_row(MaasServer, row)


async def sealed_key(db: Db, server_id: int) -> bytes | None:
    sealed: bytes | None = await db.fetchval(_SEALED_KEY, server_id)
    return sealed


async def insert(db: Db, new: NewMaasServer) -> int:
    """Returns the id, under which the caller then seals the key in the same transaction."""
    id_: int = await db.fetchval(_INSERT, new.name, new.settings())
    return id_


async def set_key(db: Db, server_id: int, sealed: bytes) -> None:
    await db.execute(_SEAL, server_id, sealed)


async def update(db: Db, server_id: int, new: NewMaasServer) -> None:
    """Changes everything but the name and the key."""
    await db.execute(_UPDATE, server_id, new.settings())


async def record_check(db: Db, server_id: int, *, version: str, username: str) -> None:
    await db.execute(_RECORD_CHECK, server_id, version, username)


async def record_problem(db: Db, server_id: int, problem: str) -> None:
    await db.execute(_RECORD_PROBLEM, server_id, problem)


async def clear_problem(db: Db, server_id: int) -> None:
    await db.execute(_CLEAR_PROBLEM, server_id)


async def lock(db: Db, server_id: int) -> None:
    """Prevents new registrations until the transaction ends."""
    await db.execute(_LOCK, server_id)


async def delete(db: Db, server_id: int) -> None:
    """Deletes a server in which no machine is registered."""
    await db.execute(_DELETE, server_id)


async def due(db: Db, every_s: float) -> tuple[int, ...]:
    """Returns the servers with registrations that were not listed for so long, the longest first."""
    return tuple(row["id"] for row in await db.fetch(_DUE, every_s))


async def claim_list(db: Db, server_id: int, every_s: float) -> bool:
    """Returns whether the caller lists the server now; False if another region has just done it."""
    return await db.fetchval(_CLAIM_LIST, server_id, every_s) is not None
