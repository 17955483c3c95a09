"""Roles of users in resource pools: the list, a new one, and its end."""

from __future__ import annotations

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.accounts.groups import POOL
from regiond.requests.caller import Permission, PoolRole
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.rendering.page import Visit, form_pages, redirect
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import text
from regiond.ui.web_request import page_url


async def show(visit: Visit) -> Reply:
    """The roles of all users, or of one; of all resource pools, or of one."""
    request, refusal = visit.request, NOT_REFUSED
    fields = {"user": request.given("user"), "role": request.given("role", PoolRole.OPERATOR.value)}
    pool = request.given("pool")
    if request.method == "POST":
        try:
            await visit.act(POOL, "POST", "grant", path={"id": f"name:{pool}"}, fields=fields)
        except InnkeeperError as error:
            refusal = Refusal.of(error)
        else:
            return redirect(SETTINGS, "roles", query={"user": fields["user"].strip()})
    user, in_pool = request.option("user"), request.option("pool")
    grants = await visit.services.grants.list(visit.caller, username=user or None)
    users = await visit.services.users.list(caller=visit.caller)
    return await visit.page(
        "settings/roles.html",
        title=text("Roles"),
        section=SETTINGS,
        status=refusal.status,
        grants=[grant for grant in grants if not in_pool or grant.pool == in_pool],
        user=user,
        in_pool=in_pool,
        fields={**fields, "user": user} if refusal is NOT_REFUSED else fields,
        pool=in_pool if refusal is NOT_REFUSED else pool,
        users=[one.username for one in users if not one.is_admin],
        pools=[one.name for one in await visit.services.groups.pools(caller=visit.caller)],
        roles=[role.value for role in PoolRole],
        problems=refusal.problems,
    )


async def revoke(visit: Visit) -> Reply:
    username, pool = visit.path["username"], visit.path["pool"]
    removal = Removal(
        title=text("Revoke the role of {username}", username=username),
        section=SETTINGS,
        crumbs=((text("Settings"), page_url(SETTINGS)), (text("Roles"), page_url(SETTINGS, "roles"))),
        button=text("Revoke role"),
        resource=POOL,
        path={"id": f"name:{pool}"},
        op="revoke",
        fields={"user": username},
        place=(SETTINGS, "roles"),
        done=text("The role of {username} in {pool} is revoked.", username=username, pool=pool),
        undo=text("The role can be granted again."),
        note=text(
            "{username} loses its role in the resource pool {pool}. Its VMs stay its own.", username=username, pool=pool
        ),
    )
    return await confirm(visit, removal)


ADMIN = Permission.ADMIN
PAGES = (
    *form_pages("settings/roles", show, permission=ADMIN),
    *form_pages("settings/roles/<pool>/<username>/revoke", revoke, permission=ADMIN),
)
