"""SQL of the sealed secrets of hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from regiond.db.pool import Db

_PUT = """
    insert into secret (host_id, name, sealed) values ($1, $2, $3)
    on conflict (host_id, name) do update set sealed = excluded.sealed
"""
_OF_HOST = "select name, sealed from secret where host_id = $1"
_DELETE = "delete from secret where host_id = $1 and ($2::text[] is null or name = any($2))"
# One secret for each master key that any secret is sealed with.
_SAMPLES = """
    select distinct on (substring(sealed for 9)) sealed
      from (select sealed from secret union all select sealed_key from key_pair
            union all select sealed_token_secret from api_key where sealed_token_secret is not null
            union all select sealed_inventory from maas_import where sealed_inventory is not null
            union all select sealed_key from maas_server where sealed_key is not null
            union all select sealed_request_key from installation where sealed_request_key is not null) every_secret
     order by substring(sealed for 9)
"""


async def put(db: Db, host_id: int, name: str, sealed: bytes) -> None:
    await db.execute(_PUT, host_id, name, sealed)


async def of_host(db: Db, host_id: int) -> Mapping[str, bytes]:
    return {row["name"]: row["sealed"] for row in await db.fetch(_OF_HOST, host_id)}


async def delete(db: Db, host_id: int, names: Iterable[str] | None) -> None:
    await db.execute(_DELETE, host_id, None if names is None else list(names))


async def samples(db: Db) -> tuple[bytes, ...]:
    return tuple(row["sealed"] for row in await db.fetch(_SAMPLES))
