"""Changes that are sent again with their idempotency key: which, when, how often, and what is said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import define, field

from common.errors import (
    DeadlineExceeded,
    InnkeeperError,
    LinkLost,
    NotFound,
    RequestInProgress,
)
from innkeeper.answer import Answer
from innkeeper.arguments import MAX_KEY_CHARS, MAX_KEY_OF_SEVERAL_CHARS
from innkeeper.commands.changes import HEADER, Changes
from innkeeper.http import Api
from tests.doubles.signatures import in_place_of

LOST = LinkLost("lost.")
SILENT = DeadlineExceeded("no answer within 300 s.")
REFUSED = InnkeeperError("Cannot connect.", unreachable=True)
IN_PROGRESS = RequestInProgress("It still runs.", status=409, retry_after_s=2)
DONE = Answer(status=200, body=b"{}")
ADVICE = "To repeat the command without doing anything twice, add: --idempotency-key k"


def not_now(retry_after_s: int | None) -> InnkeeperError:
    return InnkeeperError("Not now.", status=503, retry_after_s=retry_after_s)


@define
class Sent:
    """An API and a clock: each request gets the next of `results`, the last one repeatedly, and takes `takes_s`."""

    results: list[Answer | InnkeeperError]
    takes_s: float = 0.0
    now_s: float = 0.0
    keys: list[str] = field(factory=list)
    pauses_s: list[float] = field(factory=list)
    notes: list[str] = field(factory=list)

    async def send(self, *_: object, headers: dict[str, str], **__: object) -> Answer:
        self.keys.append(headers[HEADER])
        self.now_s += self.takes_s
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, InnkeeperError):
            raise result
        return result

    async def pause(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.now_s += seconds

    def changes(self, *, key: str = "k") -> Changes:
        return Changes(
            api=in_place_of(Api, self), key=key, note=self.notes.append, clock=lambda: self.now_s, pause=self.pause
        )


async def error_of(sent: Sent) -> InnkeeperError:
    with pytest.raises(InnkeeperError) as caught:
        await sent.changes().send("POST", "vm-hosts/1/")
    return caught.value


@pytest.mark.parametrize("error", [LOST, SILENT, not_now(1), IN_PROGRESS], ids=lambda each: type(each).__name__)
async def test_a_change_without_an_answer_is_sent_again_with_its_key(error: InnkeeperError) -> None:
    sent = Sent([error, DONE])
    assert await sent.changes().send("POST", "vm-hosts/1/") is DONE
    assert sent.keys == ["k", "k"]
    (note,) = sent.notes
    assert note.startswith(error.message)
    assert "sent again in" in note


@pytest.mark.parametrize(
    "error",
    [NotFound("Not Found", status=404), not_now(None), REFUSED, InnkeeperError("It continues.", status=504)],
    ids=["rejected", "no room", "nothing was sent", "the operation continues"],
)
async def test_an_answer_of_the_region_is_final(error: InnkeeperError) -> None:
    sent = Sent([error])
    assert await error_of(sent) is error
    assert (len(sent.keys), sent.notes) == (1, [])


async def test_a_region_that_restarts_is_waited_for() -> None:
    sent = Sent([LOST, REFUSED, IN_PROGRESS, DONE])
    assert await sent.changes().send("POST", "vm-hosts/1/") is DONE
    assert sent.pauses_s == [1.0, 4.0, 2.0]


async def test_it_gives_up_after_three_repeats_and_says_how_to_continue() -> None:
    sent = Sent([LOST])
    error = await error_of(sent)
    assert isinstance(error, LinkLost)
    assert error.message == f"lost. POST vm-hosts/1/ was sent 4 times and may have been carried out. {ADVICE}"
    assert sent.pauses_s == [1.0, 4.0, 10.0]


async def test_a_change_that_still_runs_is_asked_for_within_the_time() -> None:
    sent = Sent([LOST, IN_PROGRESS], takes_s=8.0)  # as long as a region holds a repeat
    error = await error_of(sent)
    assert isinstance(error, RequestInProgress)
    assert error.message.endswith(ADVICE)
    assert len(sent.keys) == 6
    assert sent.now_s <= 60


async def test_a_region_that_asks_for_a_longer_pause_is_not_waited_for() -> None:
    sent = Sent([not_now(60)])
    error = await error_of(sent)
    assert (error.message, error.details["status"]) == (f"Not now. POST vm-hosts/1/ was sent. {ADVICE}", 503)
    assert not sent.pauses_s


async def test_no_pause_is_shorter_than_a_second() -> None:
    sent = Sent([not_now(0), DONE])
    await sent.changes().send("POST", "vm-hosts/1/")
    assert sent.pauses_s == [1.0]


async def test_a_rejection_after_a_lost_answer_is_final_if_it_is_of_the_change() -> None:
    rejected = NotFound("Not Found", status=404)
    assert await error_of(Sent([LOST, rejected])) is rejected
    not_allowed = await error_of(Sent([LOST, InnkeeperError("No.", status=401)]))
    assert "may have been carried out" in not_allowed.message


async def test_several_requests_have_keys_of_their_own() -> None:
    sent = Sent([LOST])
    with pytest.raises(LinkLost, match=r"--idempotency-key k$"):
        await sent.changes().of_object("machines/a/").send("DELETE", "machines/a/")
    assert set(sent.keys) == {"k:machines/a/"}


async def test_several_requests_share_the_time_for_repeats_and_the_notes() -> None:
    sent = Sent([LOST])
    changes = sent.changes()
    for number in range(20):
        with pytest.raises(LinkLost) as caught:
            await changes.of_object(f"machines/{number}/").send("DELETE", f"machines/{number}/")
    assert sent.now_s == 45
    assert len(sent.keys) == 3 * 4 + 17
    assert caught.value.message == f"lost. DELETE machines/19/ was sent and may have been carried out. {ADVICE}"
    assert len(sent.notes) == 3


async def test_the_time_for_repeats_begins_with_a_lost_answer() -> None:
    sent = Sent([NotFound("Not Found", status=404), LOST, DONE], takes_s=60)
    changes = sent.changes()
    with pytest.raises(NotFound):
        await changes.of_object("machines/a/").send("DELETE", "machines/a/")
    assert await changes.of_object("machines/b/").send("DELETE", "machines/b/") is DONE


async def test_a_key_has_no_more_characters_than_a_region_accepts() -> None:
    sent = Sent([DONE])
    changes = sent.changes(key="k" * MAX_KEY_OF_SEVERAL_CHARS)
    for path in ("zones/" + "a" * (64 - len("zones/")), "zones/" + "a" * 60, "zones/" + "b" * 60):
        await changes.of_object(path).send("DELETE", path)
    assert [len(key) for key in sent.keys] == [MAX_KEY_CHARS] * 3
    assert sent.keys[0].endswith("k:zones/" + "a" * 58)
    assert len(set(sent.keys)) == 3


async def test_an_interrupted_change_says_how_to_continue() -> None:
    sent = Sent([LOST])
    waiting = asyncio.Event()

    async def forever(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    api: Any = sent
    task = asyncio.ensure_future(
        Changes(api=api, key="k y", note=sent.notes.append, pause=forever).send("POST", "tags/")
    )
    await waiting.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert sent.notes[-1].startswith("Interrupted. POST tags/ was sent and may have been carried out.")
    assert sent.notes[-1].endswith("--idempotency-key 'k y'")
