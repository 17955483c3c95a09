"""RPC clients: the list, a new one whose key is shown once, and revocation."""

from __future__ import annotations

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.accounts.rpc_clients import CLIENT, CLIENTS
from regiond.ui.account.account_pages import CRUMBS, SECTION, account_page
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.page import Visit, form_pages
from regiond.ui.web_request import page_url

PLACE = (SECTION, "clients")


async def show(visit: Visit) -> Reply:
    """The list; when one was issued, with its certificate and key: only this answer has the key."""
    name, issued, refusal = visit.request.given("name"), None, NOT_REFUSED
    if visit.request.method == "POST":
        try:
            issued = await visit.act(CLIENTS, "POST", fields={"name": name})
        except InnkeeperError as error:
            refusal = Refusal.of(error)
    return await account_page(
        visit,
        "account/clients.html",
        "clients",
        refusal,
        clients=await visit.services.rpc_clients.list(visit.caller),
        issued=issued,
        name="" if issued else name,
    )


async def revoke(visit: Visit) -> Reply:
    name = visit.path["name"]
    removal = Removal(
        title=f"Revoke {name}",
        section=SECTION,
        crumbs=(*CRUMBS, ("RPC clients", page_url(*PLACE))),
        button="Revoke RPC client",
        resource=CLIENT,
        path={"name": name},
        place=PLACE,
    )
    return await confirm(visit, removal)


PAGES = (
    *form_pages("account/clients", show),
    *form_pages("account/clients/<name>/revoke", revoke),
)
