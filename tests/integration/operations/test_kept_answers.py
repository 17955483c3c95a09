"""Answers that are kept for idempotency keys, by the real keys and by their double."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.errors import AnswerNotKept, IdempotencyMismatch, RequestInProgress
from regiond.credentials.seal import MasterKey
from regiond.credentials.service import Credentials
from regiond.db.pool import Database
from regiond.operations.idempotency import service
from regiond.operations.idempotency.model import MAX_ANSWER_BYTES, IdempotencyKey, KeptAnswer
from regiond.operations.idempotency.service import IdempotencyKeys
from regiond.requests.caller import Caller
from tests.support.administrators import first_administrator
from tests.support.waiting import settle
from tests.unit.support.idempotency_double import KeysInMemory


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "WAIT_S", 0.0)


Keys = IdempotencyKeys | KeysInMemory
ANSWER = KeptAnswer(status=201, content_type="text/plain", headers={"Location": "/x"}, body=b"\x00\n\xff")


@pytest.fixture(params=["real", "in memory"])
def keys(request: pytest.FixtureRequest, database: Database, impatient: None) -> tuple[Keys, Caller]:
    """The double of the unit tests must answer what the real ones answer."""

    async def opened() -> tuple[Keys, Caller]:
        caller = await first_administrator(database)
        if request.param == "real":
            return await IdempotencyKeys.open(database, Credentials(MasterKey.random())), caller
        return KeysInMemory(), caller

    return settle(opened())


async def begin(keys: tuple[Keys, Caller], request: bytes = b"request") -> KeptAnswer | IdempotencyKey:
    """Returns the kept answer, or the key of the request, which runs."""
    key = keys[0].key_of(keys[1], "k", request)
    return await keys[0].begin(key, opens_operation=False) or key


async def begun(keys: tuple[Keys, Caller]) -> IdempotencyKey:
    key = await begin(keys)
    assert isinstance(key, IdempotencyKey)
    return key


async def test_a_kept_answer_is_returned_as_it_was(keys: tuple[Keys, Caller]) -> None:
    await keys[0].keep(await begun(keys), ANSWER)
    assert [await begin(keys), await begin(keys)] == [ANSWER, ANSWER]


async def test_a_long_answer_is_not_returned(keys: tuple[Keys, Caller]) -> None:
    await keys[0].keep(await begun(keys), evolve(ANSWER, body=bytes(MAX_ANSWER_BYTES + 1)))
    with pytest.raises(AnswerNotKept):
        await begin(keys)


async def test_a_running_request_is_not_begun_again(keys: tuple[Keys, Caller]) -> None:
    async with keys[0].running(await begun(keys)):
        with pytest.raises(RequestInProgress):
            await begin(keys)


async def test_a_released_request_is_begun_again(keys: tuple[Keys, Caller]) -> None:
    await keys[0].release(await begun(keys))
    await begun(keys)


async def test_an_abandoned_request_is_not_begun_again(keys: tuple[Keys, Caller]) -> None:
    await keys[0].abandon(await begun(keys))
    with pytest.raises(AnswerNotKept):
        await begin(keys)


async def test_another_request_is_not_begun(keys: tuple[Keys, Caller]) -> None:
    await begun(keys)
    with pytest.raises(IdempotencyMismatch):
        await begin(keys, b"another request")


async def test_a_request_that_opens_an_operation_is_not_recorded_before(keys: tuple[Keys, Caller]) -> None:
    for _ in range(2):
        key = keys[0].key_of(keys[1], "k", b"request")
        assert await keys[0].begin(key, opens_operation=True) is None
        await keys[0].release(key)
    await keys[0].keep(key, ANSWER)
    assert await begin(keys) == ANSWER
