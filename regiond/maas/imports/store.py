"""SQL of imports from MAAS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from common.maas.inventory import Origin
from common.serialization import from_dict, to_dict
from regiond.db.pool import Db, Row
from regiond.maas.imports.model import MAX_REPORTED, Failure, MaasImport, NewMaasImport

_LIST = """
    select i.id, i.origin, i.counts, a.username, i.operation_id, '[]'::jsonb as failures,
           jsonb_array_length(i.failures) as failed, i.watched, i.read_at, i.problem, i.problem_since, i.created_at
      from maas_import i left join account a on a.id = i.account_id
     order by i.id
"""
_READ = """
    select i.id, i.origin, i.counts, a.username, i.operation_id,
           jsonb_path_query_array(i.failures, '$[0 to $last]', jsonb_build_object('last', $2::integer)) as failures,
           jsonb_array_length(i.failures) as failed, i.watched, i.read_at, i.problem, i.problem_since, i.created_at
      from maas_import i left join account a on a.id = i.account_id
     where i.id = $1
"""
_INSERT = """
    insert into maas_import (origin, counts, host_keys, account_id) values ($1, $2, $3, $4) returning id
"""
_WATCH = """
    update maas_import set watched = true, url = $2, sealed_key = $3, ca = $4, fingerprint = $5 where id = $1
"""
_SEAL = "update maas_import set sealed_inventory = $2, counts = $3, host_keys = $4 where id = $1"
_SEALED = "select sealed_inventory from maas_import where id = $1"
_READ_AT = "select read_at from maas_import where id = $1"
_CHOICES = "select choices from maas_import where id = $1"
_TIE = "update maas_import set operation_id = $2, failures = '[]', choices = $3 where id = $1"
_FAILURES = "update maas_import set failures = $3 where id = $1 and operation_id = $2"
_READ_FAILURES = "select failures from maas_import where id = $1 and operation_id = $2"
_DELETE = "delete from maas_import where id = $1"
_LOCK = "select operation_id from maas_import where id = $1 for update"
_OPEN = "select exists (select from operation where id = $1 and is_open)"
_OPEN_CHILDREN = "select count(*) from operation where parent_id = $1 and is_open"
_FAILED_CHILDREN = """
    select system_id, error_message from operation
     where parent_id = $1 and not is_open and state <> 'succeeded' and system_id is not null
"""
_REFRESHING = """
    select count(*) from operation where kind = 'refresh' and is_open and host_id = any($1::integer[])
"""
_REFRESHES_SINCE = """
    select host_id, count(*) from operation
     where kind = 'refresh' and host_id = any($1::integer[]) and created_at >= $2 group by host_id
"""


async def list_imports(db: Db) -> tuple[MaasImport, ...]:
    """Returns all imports, with the number of their failures only."""
    return tuple(_view(row) for row in await db.fetch(_LIST))


async def read(db: Db, import_id: int) -> MaasImport | None:
    """Returns the import with the first MAX_REPORTED of its failures."""
    row = await db.fetchrow(_READ, import_id, MAX_REPORTED - 1)
    return None if row is None else _view(row)


async def insert(db: Db, origin: Origin, counts: Mapping[str, int], host_keys: Sequence[str], account_id: int) -> int:
    import_id: int = await db.fetchval(_INSERT, to_dict(origin), dict(counts), list(host_keys), account_id)
    return import_id


async def watch(db: Db, import_id: int, source: NewMaasImport, sealed_key: bytes) -> None:
    """Keeps where the MAAS is asked again."""
    await db.execute(_WATCH, import_id, source.url, sealed_key, source.ca, source.fingerprint)


async def write_sealed(
    db: Db, import_id: int, sealed: bytes, counts: Mapping[str, int], host_keys: Sequence[str]
) -> None:
    await db.execute(_SEAL, import_id, sealed, dict(counts), list(host_keys))


async def read_at(db: Db, import_id: int) -> datetime | None:
    """Returns when the inventory was read; None: there is no such import."""
    found: datetime | None = await db.fetchval(_READ_AT, import_id)
    return found


async def read_choices(db: Db, import_id: int) -> list[list[str]]:
    """Returns kind, source id and choice of all that were decided."""
    return await db.fetchval(_CHOICES, import_id) or []


async def read_sealed(db: Db, import_id: int) -> bytes | None:
    found: bytes | None = await db.fetchval(_SEALED, import_id)
    return found


async def open_operation_of(db: Db, import_id: int) -> int | None:
    """Locks the import, and returns the open operation that carries it out."""
    found: int | None = await db.fetchval(_LOCK, import_id)
    return found if found is not None and await db.fetchval(_OPEN, found) else None


async def tie(db: Db, import_id: int, operation_id: int, choices: list[list[str]]) -> None:
    await db.execute(_TIE, import_id, operation_id, choices)


async def write_failures(db: Db, import_id: int, operation_id: int, failures: Sequence[Failure]) -> None:
    await db.execute(_FAILURES, import_id, operation_id, [to_dict(one) for one in failures])


async def read_failures(db: Db, import_id: int, operation_id: int) -> tuple[Failure, ...]:
    rows = await db.fetchval(_READ_FAILURES, import_id, operation_id)
    return tuple(from_dict(one, Failure) for one in rows or ())


async def delete(db: Db, import_id: int) -> None:
    await db.execute(_DELETE, import_id)


async def open_children(db: Db, operation_id: int) -> int:
    return int(await db.fetchval(_OPEN_CHILDREN, operation_id))


async def failed_children(db: Db, operation_id: int) -> Mapping[str, str]:
    """Returns the reason by system id of each machine whose adoption has failed."""
    rows = await db.fetch(_FAILED_CHILDREN, operation_id)
    return {row["system_id"]: row["error_message"] or "cancelled" for row in rows}


async def refreshing(db: Db, host_ids: Sequence[int]) -> int:
    """Returns on how many of these hosts a refresh is open."""
    return int(await db.fetchval(_REFRESHING, list(host_ids)))


async def refreshes_since(db: Db, host_ids: Sequence[int], since: datetime) -> Mapping[int, int]:
    """Returns how many refreshes of each of these hosts were begun since; hosts without any are left out."""
    rows = await db.fetch(_REFRESHES_SINCE, list(host_ids), since)
    return {row["host_id"]: row["count"] for row in rows}


def _view(row: Row) -> MaasImport:
    plain = dict(row)
    return MaasImport(
        **{
            **plain,
            "origin": from_dict(plain["origin"], Origin),
            "failures": tuple(from_dict(one, Failure) for one in plain["failures"]),
        }
    )
