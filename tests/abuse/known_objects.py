"""The names of everything in the database that a person or program has added, apart from the good client's machines."""

from __future__ import annotations

from collections.abc import Mapping

from tests.abuse.good_client import PREFIX
from tests.deployment.deployment import Deployment

Objects = Mapping[str, frozenset[str]]

_QUERIES = {
    "account": "select username from account",
    "API key": "select token_key from api_key",
    "session": "select token_hash::text from web_session",
    "SSH key": "select ssh_key::text from ssh_key",
    "grant": "select pool_grant::text from pool_grant",
    "quota": "select quota::text from quota",
    "zone": "select name from zone",
    "resource pool": "select name from resource_pool",
    "rack": "select name from rack",
    "join token": "select rack_token::text from rack_token",
    "RPC client": "select rpc_client::text from rpc_client",
    "VM host": "select name from vm_host",
    "machine": f"select hostname from machine where hostname not like '{PREFIX}%'",  # noqa: S608  # our own constant
    "guest": f"select name from guest where name not like '{PREFIX}%'",  # noqa: S608  # our own constant
    "secret": "select secret::text from secret",
}


async def known_objects(deployment: Deployment) -> Objects:
    """Names by kind."""
    async with deployment.connection() as db:
        return {kind: frozenset(str(row[0]) for row in await db.fetch(query)) for kind, query in _QUERIES.items()}


def added(before: Objects, after: Objects) -> list[str]:
    """What is there now and was not before."""
    return [f"the {kind} {name}" for kind in after for name in sorted(after[kind] - before[kind])]
