"""Hashes of passwords, which strangers can make the region compute, take little of its memory and none of its time."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from regiond.accounts.passwords import MAX_THREADS, Passwords
from tests.bench.machine import peak_from_now, status_mib
from tests.support.cheap_cryptography import PRODUCT_HASHING
from tests.support.waiting import settle

pytestmark = pytest.mark.usefixtures("product_cryptography")

HASH_MIB = 64


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    created = Passwords()
    yield created
    settle(created.stop())


async def test_hashes_have_the_parameters_of_rfc_9106(passwords: Passwords) -> None:
    """Those for limited memory, also the one with which a login without a hash is compared."""
    for one in (await passwords.hashed("vault-orbit-kettle-91"), PRODUCT_HASHING.no_password):
        assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


@pytest.mark.slow
async def test_many_logins_at_once_take_the_memory_of_two(passwords: Passwords) -> None:
    before_mib = peak_from_now("self")
    assert not any(await asyncio.gather(*(passwords.is_right(None, "wrong") for _ in range(8))))
    assert status_mib("self", "VmHWM") - before_mib < 2.5 * HASH_MIB


async def test_hashes_take_one_core_at_a_lower_priority(passwords: Passwords) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    before = set(os.listdir("/proc/self/task"))
    assert not await passwords.is_right(None, "wrong")
    (thread,) = {int(one) for one in set(os.listdir("/proc/self/task")) - before}
    assert os.getpriority(os.PRIO_PROCESS, thread) == min(19, own + 10)
    assert len(os.sched_getaffinity(thread)) == 1


@pytest.mark.slow
async def test_a_change_of_the_length_allows_no_more_hashes_at_a_time(passwords: Passwords) -> None:
    before = set(threading.enumerate())
    async with asyncio.TaskGroup() as hashes:
        for length in (13, 14, 15):
            passwords.require_length(length)
            for _ in range(MAX_THREADS):
                hashes.create_task(passwords.is_right(None, "wrong"))
            await asyncio.sleep(0)  # the tasks have begun
        assert len(set(threading.enumerate()) - before) == MAX_THREADS


async def test_logins_work_where_threads_may_not_be_slowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a filter of system calls."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setpriority", refuse)
    passwords = Passwords()
    try:
        assert await passwords.is_right(await passwords.hashed("vault-orbit-kettle-91"), "vault-orbit-kettle-91")
    finally:
        await passwords.stop()
