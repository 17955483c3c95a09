"""The rules for what belongs to an account, and who gets it when the account is deleted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from common.errors import InvalidRequest
from common.words.phrases import first_of
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan

_MAX_NAMED = 5
# The plural of each kind, in the order of texts.
_MANY: Mapping[str, str] = {
    "machine": "machines",
    "detached machine": "detached machines",
    "device": "devices",
    "file": "files",
    "machine without owner": "machines without owner",
    "kept disk": "kept disks",
    "export": "exports",
}
_NEED_OWNER = ("machine", "detached machine", "device", "file")  # in use, or nothing that administrators find
MACHINES = ("machine", "machine without owner")


@frozen(kw_only=True)
class Belonging:
    """A record that belongs to an account. `pool` is the resource pool in which its owner has to be an operator."""

    record: AffectedRecord
    pool_id: int | None = None
    pool: str | None = None

    @property
    def needs_owner(self) -> bool:
        return self.record.kind in _NEED_OWNER


@frozen(kw_only=True)
class Belongings:
    """All that belongs to an account: `owned` goes to somebody else; `credentials`, and its quota, end with it."""

    owned: tuple[Belonging, ...]
    credentials: tuple[AffectedRecord, ...]


@frozen(kw_only=True)
class Transfer:
    """The answer to who gets the belongings of a deleted account: the user `username`, or administrators alone.

    With neither, the request does not say it.
    """

    username: str | None = None
    to_administrators: bool = False


def check_decided(username: str, owned: Sequence[Belonging], transfer: Transfer) -> None:
    """Raises InvalidRequest, which names what the user owns, unless the request says who gets all of it."""
    if transfer.username and transfer.to_administrators:
        raise InvalidRequest.of({"leave_to_administrators": ["Leave this out, or transfer_resources_to: not both."]})
    if not owned or transfer.username:
        return
    bound = [one for one in owned if one.needs_owner]
    if not transfer.to_administrators:
        or_leave = "" if bound else ", or leave it to administrators alone with leave_to_administrators=true"
        raise InvalidRequest(
            f"The user {username!r} cannot be deleted: it owns {named(owned)}. Name the new owner with "
            f"transfer_resources_to=USER{or_leave}."
        )
    if bound:
        reason = f"A user has to own {named(bound)}: name the new owner with transfer_resources_to=USER instead."
        raise InvalidRequest.of({"leave_to_administrators": [reason]})


def check_usable(new_owner: str, owned: Iterable[Belonging], operated: Iterable[int]) -> None:
    """Raises InvalidRequest if the new owner, an operator of the pools `operated`, could not use something."""
    known = set(operated)
    lacking = [one for one in owned if one.pool_id is not None and one.pool_id not in known]
    if lacking:
        first = lacking[0]
        there = [one for one in lacking if one.pool_id == first.pool_id]
        raise _not_for(
            f"{new_owner!r} is no operator of the resource pool {first.pool!r}, and could not use {named(there)}. "
            f"Grant the role first: innkeeper resource-pool grant {first.pool_id} user={new_owner} role=operator"
        )


def check_no_file_twice(new_owner: str, filenames: Sequence[str]) -> None:
    """Raises InvalidRequest if files of these names would replace those that the new owner has."""
    if filenames:
        raise _not_for(
            f"{new_owner!r} has files of the same names: {first_of(filenames, _MAX_NAMED)}. Name another user, or let "
            f"{new_owner} delete one first: innkeeper file delete {filenames[0]}"
        )


def _not_for(reason: str) -> InvalidRequest:
    return InvalidRequest.of({"transfer_resources_to": [reason]})


def named(owned: Iterable[Belonging]) -> str:
    """Returns such as `2 machines (a, b) and 1 kept disk (data of c)`."""
    names: dict[str, list[str]] = {}
    for one in owned:
        names.setdefault(one.record.kind, []).append(one.record.name)
    return _joined(
        f"{_count(kind, len(names[kind]))} ({first_of(names[kind], _MAX_NAMED)})" for kind in _MANY if kind in names
    )


def counted(owned: Iterable[Belonging]) -> str:
    """Returns such as `2 machines and 1 kept disk`."""
    counts = Counter(one.record.kind for one in owned)
    return _joined(_count(kind, counts[kind]) for kind in _MANY if kind in counts)


def _count(kind: str, number: int) -> str:
    return f"{number} {kind if number == 1 else _MANY[kind]}"


def _joined(texts: Iterable[str]) -> str:
    *most, last = texts
    return f"{', '.join(most)} and {last}" if most else last


def plan_of(username: str, found: Belongings, transfer: Transfer) -> DeletionPlan:
    """Returns what the deletion of the account deletes, keeps and changes."""
    effects = ["Requests with these credentials are rejected from then on, and open RPC links end."]
    if found.owned and transfer.username:
        effects.append(f"{transfer.username} gets {counted(found.owned)}. Machines and kept disks count for its quota.")
    elif found.owned:
        effects.append(f"Only administrators may use {counted(found.owned)} from then on.")
    user = AffectedRecord(kind="user", id=username, name=username)
    kept = tuple(one.record for one in found.owned)
    return DeletionPlan(name=username, deleted=(user, *found.credentials), kept=kept, effects=tuple(effects))


def deleted_text(username: str, owned: Sequence[Belonging], transfer: Transfer) -> str:
    """Returns the message of the event."""
    if not owned:
        return f"The user {username!r} was deleted."
    whose = f"went to {transfer.username!r}" if transfer.username else "left to administrators alone"
    return f"The user {username!r} was deleted; {counted(owned)} {whose}."


def transferred_text(name: str, username: str, transfer: Transfer) -> str:
    """Returns the message of the event of a machine."""
    if transfer.username:
        return f"{name} went from {username} to {transfer.username}: the user {username} was deleted."
    return f"{name} is for administrators alone: the user {username}, who composed it, was deleted."
