"""One's own public SSH keys: the list, a new one, and deletion."""

from __future__ import annotations

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.accounts.ssh_keys import SSH_KEY, SSH_KEYS
from regiond.api.urls import id_in
from regiond.ui.account.account_pages import CRUMBS, SECTION, account_page
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.page import Visit, form_pages, redirect
from regiond.ui.web_request import page_url

KEYS = (SECTION, "ssh-keys")


async def show(visit: Visit) -> Reply:
    """The list; when a key was sent, with what is wrong with it."""
    text, refusal = visit.request.given("key"), NOT_REFUSED
    if visit.request.method == "POST":
        try:
            await visit.act(SSH_KEYS, "POST", fields={"key": text})
        except InnkeeperError as error:
            refusal = Refusal.of(error)
        else:
            return redirect(*KEYS)
    keys = await visit.services.ssh_keys.list(visit.caller)
    return await account_page(visit, "account/ssh_keys.html", "ssh-keys", refusal, keys=keys, text=text)


async def delete(visit: Visit) -> Reply:
    key = await visit.services.ssh_keys.read(visit.caller, id_in(visit.path["key"], "SSH key"))
    removal = Removal(
        title="Delete SSH key",
        section=SECTION,
        crumbs=(*CRUMBS, ("SSH keys", page_url(*KEYS))),
        button="Delete SSH key",
        resource=SSH_KEY,
        path={"id": str(key.id)},
        place=KEYS,
    )
    return await confirm(visit, removal)


PAGES = (
    *form_pages("account/ssh-keys", show),
    *form_pages("account/ssh-keys/<key>/delete", delete),
)
