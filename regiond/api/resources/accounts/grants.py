"""Roles of users in resource pools: ops of `resourcepools/` and `resourcepool/{id}/`."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import DRY_RUN, PLAN, deleting
from regiond.api.declaration.endpoint import Endpoint, Find, Result
from regiond.api.declaration.field_types import Choice, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import given, serve, target
from regiond.api.serializers.accounts import GRANT_JSON
from regiond.requests.caller import Permission, PoolRole

USER = Field("user", Text(max_length=255), "Name of a user.", recorded=True, required=True, example="ann")
_ROLES = tuple(role.value for role in PoolRole)
_OF_POOL = {"pool_id": target("id"), "pool_name": target("name"), "username": given("user")}
_list = serve(lambda s: s.grants.list, username=given("user"))
_list_of_pool = serve(lambda s: s.grants.list, pool_id=target("id"))
_grant = serve(lambda s: s.grants.grant, **_OF_POOL, role=lambda call: PoolRole(call.values["role"]))
_revoke = serve(lambda s: s.grants.revoke, **_OF_POOL)

ALL_GRANTS = crud.list_of(
    GRANT_JSON,
    _list,
    op="grants",
    title="List roles in resource pools",
    doc="By pool and user. Users who are no administrators are shown only their own.",
    fields=(Field("user", Text(max_length=255, blank=None), "Only the roles of this user."),),
    result="The roles.",
)


def of_pool(find: Find) -> tuple[Endpoint, ...]:
    """Returns the endpoints of one resource pool, which `find` reads."""
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
            title="Grant a user a role in a resource pool",
            doc=(
                "Replaces the role that the user has there. A viewer reads; an operator also composes and allocates "
                "machines there and acts on its own. Takes effect at once, in other region processes within 3 seconds."
            ),
            fields=(
                USER,
                Field("role", Choice(choices=_ROLES), "viewer or operator (the default).", default="operator"),
            ),
            find=find,
        ),
        Endpoint(
            method="POST",
            op="revoke",
            permission=Permission.ADMIN,
            fields=(USER, DRY_RUN),
            title="Revoke a user's role in a resource pool",
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
