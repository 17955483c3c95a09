"""Whose the belongings of a deleted user become: what the request has to say, and what is refused."""

from __future__ import annotations

import pytest

from common.errors import InvalidRequest
from regiond.accounts.belongings import (
    Belonging,
    Belongings,
    Transfer,
    check_decided,
    check_no_file_twice,
    check_usable,
    counted,
    deleted_text,
    named,
    plan_of,
)
from regiond.requests.deletion_plan import AffectedRecord

NEED_OWNER = ("machine", "detached machine", "device", "file")
LEAVABLE = ("machine without owner", "kept disk", "export")


def owned(kind: str, *names: str, pool_id: int | None = None) -> tuple[Belonging, ...]:
    pool = None if pool_id is None else f"pool-{pool_id}"
    return tuple(
        Belonging(record=AffectedRecord(kind=kind, id=name, name=name), pool_id=pool_id, pool=pool) for name in names
    )


def test_texts_have_names_of_five_and_the_number_of_all() -> None:
    some = (*owned("kept disk", "data of web"), *owned("machine without owner", *"abcdefg"), *owned("machine", "web"))
    assert named(some) == (
        "1 machine (web), 7 machines without owner (a, b, c, d, e and 2 more) and 1 kept disk (data of web)"
    )
    assert counted(some) == "1 machine, 7 machines without owner and 1 kept disk"
    assert named(owned("file", "a", "b")) == "2 files (a, b)"


@pytest.mark.parametrize("kind", [*NEED_OWNER, *LEAVABLE])
def test_nothing_is_given_away_unasked(kind: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"owns 1 {kind} \(x\).*transfer_resources_to=USER") as refused:
        check_decided("ann", owned(kind, "x"), Transfer())
    assert ("leave_to_administrators=true" in refused.value.message) == (kind in LEAVABLE)
    check_decided("ann", owned(kind, "x"), Transfer(username="bob"))


@pytest.mark.parametrize("kind", [*NEED_OWNER, *LEAVABLE])
def test_what_needs_an_owner_is_not_left_to_administrators(kind: str) -> None:
    some = (*owned(kind, "x"), *owned("export", "y"))
    if kind in LEAVABLE:
        check_decided("ann", some, Transfer(to_administrators=True))
        return
    with pytest.raises(InvalidRequest) as refused:
        check_decided("ann", some, Transfer(to_administrators=True))
    (reason,) = refused.value.fields["leave_to_administrators"]
    assert reason.startswith(f"A user has to own 1 {kind} (x): name")


def test_a_request_has_one_answer() -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_decided("ann", (), Transfer(username="bob", to_administrators=True))
    assert list(refused.value.fields) == ["leave_to_administrators"]
    check_decided("ann", (), Transfer())
    check_decided("ann", (), Transfer(to_administrators=True))


def test_the_new_owner_operates_every_pool_of_it() -> None:
    some = (*owned("kept disk", "a", "b", pool_id=3), *owned("machine", "c", pool_id=4), *owned("export", "d"))
    check_usable("bob", some, [3, 4, 9])
    with pytest.raises(InvalidRequest) as refused:
        check_usable("bob", some, [4])
    (reason,) = refused.value.fields["transfer_resources_to"]
    assert "could not use 2 kept disks (a, b)" in reason
    assert "innkeeper resource-pool grant 3 user=bob role=operator" in reason


def test_no_two_files_of_the_new_owner_have_one_name() -> None:
    check_no_file_twice("bob", ())
    with pytest.raises(InvalidRequest) as refused:
        check_no_file_twice("bob", ("state",))
    assert "innkeeper file delete state" in refused.value.fields["transfer_resources_to"][0]


@pytest.mark.parametrize(
    ("transfer", "effect", "event"),
    [
        (Transfer(username="bob"), "bob gets 1 export.", "1 export went to 'bob'."),
        (
            Transfer(to_administrators=True),
            "Only administrators may use 1 export",
            "1 export left to administrators alone.",
        ),
    ],
)
def test_plan_and_event_say_whose_it_becomes(transfer: Transfer, effect: str, event: str) -> None:
    some = owned("export", "web")
    plan = plan_of("ann", Belongings(owned=some, credentials=()), transfer)
    assert plan.kept == (some[0].record,)
    assert any(one.startswith(effect) for one in plan.effects)
    assert deleted_text("ann", some, transfer) == f"The user 'ann' was deleted; {event}"
    assert deleted_text("ann", (), Transfer()) == "The user 'ann' was deleted."
