"""Brings zones, pools, tags and users."""

from __future__ import annotations

from common.errors import InvalidRequest
from common.maas.inventory import Named, User
from regiond.accounts.model import ApiKey, ImportedUser
from regiond.groups.model import PoolChange
from regiond.maas.imports.model import SAME, PlanItem
from regiond.maas.imports.work import Work
from regiond.tags.model import Tag


async def bring_groups(work: Work) -> None:
    rooms, inventory = work.rooms, work.inventory
    for item, zone in _pairs(work, "zones", inventory.zones):
        async with work.attempt(item):
            await rooms.groups.create_zone(work.caller, item.new_name, zone.description)
    for item, pool in _pairs(work, "pools", inventory.pools):
        async with work.attempt(item):
            change = PoolChange(name=item.new_name, description=pool.description)
            await rooms.groups.create_pool(work.caller, change)
    for item, tag in _pairs(work, "tags", inventory.tags):
        async with work.attempt(item):
            new = Tag(
                name=item.new_name, comment=tag.description, definition=tag.definition, kernel_opts=tag.kernel_opts
            )
            await rooms.tags.create(work.caller, new)


def _pairs(work: Work, kind: str, found: tuple[Named, ...]) -> list[tuple[PlanItem, Named]]:
    by_id = {one.id: one for one in found}
    return [(item, by_id[item.source_id]) for item in work.to_do(kind) if item.source_id in by_id]


async def bring_users(work: Work) -> None:
    """New users become operators of all pools that came with them, as MAAS gives every user every pool."""
    by_id = {one.id: one for one in work.inventory.users}
    names = set(work.new_names("pools").values())
    pools = [one.id for one in await work.rooms.groups.pools() if one.name in names]
    for item in work.to_do("users"):
        async with work.attempt(item):
            user, is_new = by_id[item.source_id], item.choice != SAME
            problems = await work.rooms.users.bring(
                work.caller, _imported(user, item.new_name), is_new=is_new, operator_of=() if user.is_admin else pools
            )
            if problems:
                work.fail(item, " ".join(problems))


def _imported(user: User, username: str) -> ImportedUser:
    keys = []
    for one in user.api_keys:
        try:
            keys.append(ApiKey.parse(f"{one.consumer}:{one.token}:{one.secret}"))
        except InvalidRequest:  # not one that a client could have sent
            continue
    return ImportedUser(
        username=username, email=user.email, is_admin=user.is_admin, password_hash=user.password_hash,
        ssh_keys=user.ssh_keys, api_keys=tuple(keys),
    )  # fmt: skip
