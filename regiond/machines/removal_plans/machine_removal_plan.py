"""The plan of the deletion, release or forgetting of machines: guests and records that go or stay. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from common.words.phrases import number_of
from regiond.machines.removal_plans.host_removal_plan import (
    AffectedGuest,
    devices_text,
    emptying_texts,
    removal_texts,
    texts_on_disks_that_stay,
)
from regiond.machines.values.requests import RELEASE_ADOPTED

_DELETED = "deleted"  # the fate of devices


@frozen(kw_only=True)
class MachineRemovalPlan:
    """The plan. `name` names the machine, or their number. Guests in `deleted` are destroyed with their disks.

    `effects` are sentences on other changes. `confirmed_with` are the fields that a client sends as true once a person
    has typed the name; without them the request is rejected.
    """

    name: str
    deleted: tuple[AffectedGuest, ...] = ()
    kept: tuple[AffectedGuest, ...] = ()
    effects: tuple[str, ...] = ()
    confirmed_with: tuple[str, ...] = ()


def deletion_plan(guest: AffectedGuest) -> MachineRemovalPlan:
    effects = (*removal_texts([guest]), *texts_on_disks_that_stay([guest]), *devices_text([guest], _DELETED))
    if guest.adopted:
        effects = ("It was adopted: Innkeeper did not create this VM. 'machine forget' keeps it on its host.", *effects)
    return MachineRemovalPlan(name=guest.name, deleted=(guest,), effects=effects)


def forget_plan(guest: AffectedGuest) -> MachineRemovalPlan:
    effect = f"Innkeeper no longer manages {guest.name}; its VM stays on {guest.host_name}, unchanged."
    return MachineRemovalPlan(
        name=guest.name, kept=(guest.as_it_stays,), effects=(effect, *devices_text([guest], _DELETED))
    )


@frozen(kw_only=True)
class Release:
    """A machine to release; without `owner` it is not changed. `destroyed`: allocation had composed it.

    `left_to`: who acts on it afterwards, because its data stay; empty: it is stock.
    """

    guest: AffectedGuest
    owner: str | None
    is_free: bool
    destroyed: bool
    empties: bool = False  # the root disk
    pool: str = ""
    as_found: bool = False  # adopted, and not released since
    left_to: str = ""


def release_plan(releases: Sequence[Release], *, erase: bool = False) -> MachineRemovalPlan:
    destroyed = tuple(one.guest for one in releases if not one.is_free and one.destroyed)
    return MachineRemovalPlan(
        name=releases[0].guest.name if len(releases) == 1 else number_of(len(releases), "machine"),
        deleted=destroyed,
        kept=tuple(one.guest.as_it_stays for one in releases if one.is_free or not one.destroyed),
        effects=(
            *(_effect(one, erase=erase) for one in releases),
            *removal_texts(destroyed),
            *emptying_texts(
                (one.guest.name, one.guest.removal)
                for one in releases
                if one.empties and not (one.is_free or one.destroyed)
            ),
            *texts_on_disks_that_stay(destroyed),
            *devices_text((one.guest for one in releases if not one.is_free), _DELETED),
        ),
        confirmed_with=(RELEASE_ADOPTED,) if any(one.as_found for one in releases) else (),
    )


def _effect(one: Release, *, erase: bool) -> str:
    name = one.guest.name
    if one.is_free:
        return f"{name} has no owner and stays as it is."
    if one.destroyed:
        return f"{name} was composed by allocation, so its release deletes it."
    if one.as_found:
        return _effect_on_adopted(one)
    erased = ", and all its disks are emptied" if erase else ""
    stops = "stays off" if one.guest.power_state == "off" else "is powered off"
    loses = f"{name} {stops} and loses its owner{f' {one.owner}' if one.owner else ''}{erased}."
    if one.left_to:
        return f"{loses} It keeps what is on its disks, so it is no stock: only {one.left_to} act on it."
    return f"{loses} Then it is stock: operators of the pool {one.pool} can allocate it."


def _effect_on_adopted(one: Release) -> str:
    name, running = one.guest.name, one.guest.power_state != "off"
    stops = f"It is running: its release shuts {name} down" if running else f"Its release leaves {name} off"
    owner = f"{one.owner} no longer owns it, and " if one.owner else ""
    return (
        f"{name} was adopted with what it runs. {stops}. Then {owner}only administrators act on it, with all that is "
        "on its disks. To leave it as it is, forget it instead: "
        f"innkeeper machine forget {name}"
    )
