"""Files of users: stored, replaced, listed, limited, and seen by nobody else without the key."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import InvalidRequest, NotFound
from regiond.db.pool import Database
from regiond.files import service
from regiond.files.model import MAX_FILE_BYTES
from regiond.files.service import Files
from regiond.requests.caller import Caller

pytestmark = pytest.mark.database


async def account(database: Database, name: str) -> Caller:
    async with database.connection() as db:
        account_id = await db.fetchval("insert into account (username) values ($1) returning id", name)
    return Caller(account_id=account_id, username=name, is_admin=False)


async def test_a_file_is_replaced_and_keeps_its_key(database: Database) -> None:
    files, ann = Files(database), await account(database, "ann")
    first = await files.write(ann, "state/one", b"\x00one")
    second = await files.write(ann, "state/one", b"two!!")
    assert (second.key, second.size_bytes) == (first.key, 5)
    assert (await files.read(ann, "state/one")).content == b"two!!"
    assert (await files.read_by_key(first.key)).content == b"two!!"


async def test_files_are_listed_by_a_prefix_that_is_no_pattern(database: Database) -> None:
    files, ann = Files(database), await account(database, "ann")
    for name in ("a%b", "a-b", "axb"):
        await files.write(ann, name, b"")
    assert [one.filename for one in await files.list(ann, "a%")] == ["a%b"]
    assert [one.filename for one in await files.list(ann)] == ["a%b", "a-b", "axb"]


async def test_users_have_files_of_their_own(database: Database) -> None:
    files, ann, bob = Files(database), await account(database, "ann"), await account(database, "bob")
    await files.write(ann, "state", b"ann")
    await files.write(bob, "state", b"bob")
    await files.delete(bob, "state", dry_run=True)
    await files.delete(bob, "state")
    assert (await files.list(bob), len(await files.list(ann))) == ((), 1)
    with pytest.raises(NotFound):
        await files.read(bob, "state")
    with pytest.raises(NotFound):
        await files.delete(bob, "state")


async def test_size_and_number_are_limited(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    files, ann = Files(database), await account(database, "ann")
    monkeypatch.setattr(service, "MAX_FILES", 2)
    await files.write(ann, "largest", bytes(MAX_FILE_BYTES))
    with pytest.raises(InvalidRequest, match="1048577 bytes; the limit is 1048576"):
        await files.write(ann, "larger", bytes(MAX_FILE_BYTES + 1))
    results = await asyncio.gather(*(files.write(ann, f"n{n}", b"") for n in range(4)), return_exceptions=True)
    assert sum(isinstance(result, InvalidRequest) for result in results) == 3
    assert (await files.write(ann, "largest", b"again")).size_bytes == 5


@pytest.mark.parametrize("name", ["", "a\x00b", "a" * 256, "\ud800"])
async def test_no_file_has_an_impossible_name(database: Database, name: str) -> None:
    files = Files(database)
    caller = Caller(account_id=1, username="admin", is_admin=True)
    with pytest.raises(InvalidRequest):
        await files.write(caller, name, b"")
    with pytest.raises(NotFound):
        await files.read(caller, name)
