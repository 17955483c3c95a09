"""One's own SSH keys, sessions and RPC clients: the lists, what is added to them, and its end."""

from __future__ import annotations

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.accounts.rpc_clients import CLIENT, CLIENTS
from regiond.api.resources.accounts.ssh_keys import SSH_KEY, SSH_KEYS
from regiond.api.urls import id_in
from regiond.attention.model import ObjectType
from regiond.ui.account.account_pages import CRUMBS, SECTION, account_page
from regiond.ui.attention.attention_page import attention_of
from regiond.ui.forms import session_end
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.texts import text
from regiond.ui.web_request import page_url
from regiond.ui.words.browser_names import browser_name

SSH_KEYS_PLACE = (SECTION, "ssh-keys")
CLIENTS_PLACE = (SECTION, "clients")
SESSIONS_PLACE = (SECTION, "sessions")


async def show_ssh_keys(visit: Visit) -> Reply:
    """The list; when a key was sent, with what is wrong with it."""
    text, refusal = visit.request.given("key"), NOT_REFUSED
    if visit.request.method == "POST":
        try:
            await visit.act(SSH_KEYS, "POST", fields={"key": text})
        except InnkeeperError as error:
            refusal = Refusal.of(error)
        else:
            return redirect(*SSH_KEYS_PLACE)
    keys = await visit.services.ssh_keys.list(visit.caller)
    return await account_page(visit, "account/ssh_keys.html", "ssh-keys", refusal, keys=keys, text=text)


async def delete_ssh_key(visit: Visit) -> Reply:
    key = await visit.services.ssh_keys.read(visit.caller, id_in(visit.path["key"], text("SSH key")))
    removal = Removal(
        title=text("Delete SSH key"),
        section=SECTION,
        crumbs=(*CRUMBS, (text("SSH keys"), page_url(*SSH_KEYS_PLACE))),
        button=text("Delete SSH key"),
        resource=SSH_KEY,
        path={"id": str(key.id)},
        place=SSH_KEYS_PLACE,
        done=text("The SSH key is deleted."),
        undo=text("It can be added again. VMs that have it keep it."),
    )
    return await confirm(visit, removal)


async def show_sessions(visit: Visit) -> Reply:
    sessions = await visit.services.sessions.list(visit.caller)
    return await account_page(
        visit,
        "account/sessions.html",
        "sessions",
        sessions=[(one, browser_name(one.user_agent), one.id == visit.session.id) for one in sessions],
    )


async def end_session(visit: Visit) -> Reply:
    crumbs = (*CRUMBS, (text("Sessions"), page_url(*SESSIONS_PLACE)))
    return await session_end.end_session(visit, visit.caller.username, SESSIONS_PLACE, SECTION, crumbs)


async def show_clients(visit: Visit) -> Reply:
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
        attention=await attention_of(visit, object_type=ObjectType.RPC_CLIENT),
        issued=issued,
        name="" if issued else name,
    )


async def revoke_client(visit: Visit) -> Reply:
    name = visit.path["name"]
    removal = Removal(
        title=text("Revoke {name}", name=name),
        section=SECTION,
        crumbs=(*CRUMBS, (text("RPC clients"), page_url(*CLIENTS_PLACE))),
        button=text("Revoke RPC client"),
        resource=CLIENT,
        path={"name": name},
        place=CLIENTS_PLACE,
        done=text("RPC client {name} is revoked.", name=name),
    )
    return await confirm(visit, removal)


PAGES = (
    *form_pages("account/ssh-keys", show_ssh_keys),
    *form_pages("account/ssh-keys/<key>/delete", delete_ssh_key),
    Page(path="account/sessions", handle=show_sessions),
    *form_pages("account/sessions/<number>/end", end_session),
    *form_pages("account/clients", show_clients),
    *form_pages("account/clients/<name>/revoke", revoke_client),
)
