"""Roles of users in resource pools: ops of `resourcepools/` and `resourcepool/{id}/`."""

from __future__ import annotations

from regiond.accounts.model import Grant
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import DRY_RUN, PLAN, deleting, is_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Find, Permission, Result
from regiond.api.declaration.field_types import Choice, Text
from regiond.api.declaration.fields import Field
from regiond.api.serializers.accounts import GRANT_JSON
from regiond.caller import PoolRole
from regiond.deletion_plan import DeletionPlan
from regiond.groups.model import ResourcePool

USER = Field(name="user", type=Text(max_length=255), recorded=True, required=True, doc="Name of a user.", example="ann")
_ROLES = tuple(role.value for role in PoolRole)


async def _list(call: Call) -> tuple[Grant, ...]:
    return await call.services.grants.list(call.caller, username=call.values["user"])


async def _list_of_pool(call: Call) -> tuple[Grant, ...]:
    return await call.services.grants.list(call.caller, pool_id=call.target.id)


async def _grant(call: Call) -> Grant:
    pool: ResourcePool = call.target
    role = PoolRole(call.values["role"])
    return await call.services.grants.grant(call.caller, pool.id, pool.name, call.values["user"], role)


async def _revoke(call: Call) -> DeletionPlan:
    pool: ResourcePool = call.target
    return await call.services.grants.revoke(
        call.caller, pool.id, pool.name, call.values["user"], dry_run=is_dry_run(call)
    )


ALL_GRANTS = crud.list_of(
    GRANT_JSON,
    _list,
    op="grants",
    title="List roles in resource pools",
    doc="By pool and user. Users who are no administrators are shown only their own.",
    fields=(Field(name="user", type=Text(max_length=255, blank=None), doc="Only the roles of this user."),),
    result="The roles.",
)


def of_pool(find: Find) -> tuple[Endpoint, ...]:
    """The endpoints of one resource pool, which `find` reads."""
    return (
        crud.list_of(
            GRANT_JSON,
            _list_of_pool,
            op="grants",
            title="List the roles in a resource pool",
            doc="By user. Users who are no administrators are shown only their own.",
            result="The roles.",
            find=find,
        ),
        crud.action(
            "grant",
            Result(doc="The role.", type=GRANT_JSON),
            _grant,
            title="Give a user a role in a resource pool",
            doc=(
                "Replaces the role that the user has there. A viewer reads; an operator also composes and allocates "
                "machines there and acts on its own. Takes effect at once, in other region processes within 3 seconds."
            ),
            fields=(
                USER,
                Field(
                    name="role",
                    type=Choice(choices=_ROLES),
                    default="operator",
                    doc="viewer or operator (the default).",
                ),
            ),
            find=find,
        ),
        Endpoint(
            method="POST",
            op="revoke",
            permission=Permission.ADMIN,
            fields=(USER, DRY_RUN),
            title="Take a user's role in a resource pool",
            doc=(
                "The user's machines stay its own, but it can no longer act on them. A role that the user does not "
                "have is not an error. Takes effect at once, in other region processes within 3 seconds."
            ),
            result=crud.NOTHING,
            success=204,
            other_answers=((200, PLAN),),
            find=find,
            destructive=True,
            run=deleting(_revoke),
        ),
    )
