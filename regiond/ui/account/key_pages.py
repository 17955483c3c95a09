"""One's own API keys: the list, a new one that is shown once, another name, and deletion."""

from __future__ import annotations

from common.errors import InnkeeperError, NotFound
from regiond.accounts.model import ApiKeyView, SignatureMethod
from regiond.api.replies import Reply
from regiond.api.resources.accounts.accounts import ACCOUNT
from regiond.ui.account.account_pages import CRUMBS, SECTION, account_page
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url

KEYS = (SECTION, "keys")
_DAY_S = 24 * 3600
LIFETIMES = (
    ("", constant("for ever")),
    (str(7 * _DAY_S), constant("7 days")),
    (str(30 * _DAY_S), constant("30 days")),
    (str(90 * _DAY_S), constant("90 days")),
    (str(365 * _DAY_S), constant("365 days")),
)


async def show(visit: Visit) -> Reply:
    return await _list(visit)


async def create(visit: Visit) -> Reply:
    """The list with the new key: only this answer has its secret."""
    request = visit.request
    fields = {
        "name": request.given("name"),
        "lifetime_s": request.given("lifetime_s") or None,
        "signature_method": request.given("signature_method") or SignatureMethod.PLAINTEXT.value,
    }
    try:
        made = await visit.act(ACCOUNT, "POST", "create_authorisation_token", fields=fields)
    except InnkeeperError as error:
        return await _list(visit, refusal=Refusal.of(error))
    text = f"{made['consumer_key']}:{made['token_key']}:{made['token_secret']}"
    return await _list(visit, made=text, made_name=made["name"])


async def _list(visit: Visit, *, made: str = "", made_name: str = "", refusal: Refusal = NOT_REFUSED) -> Reply:
    request = visit.request
    return await account_page(
        visit,
        "account/keys.html",
        "keys",
        refusal,
        keys=await visit.services.accounts.list_keys(visit.caller),
        made=made,
        made_name=made_name,
        name="" if made else request.given("name"),
        lifetime="" if made else request.given("lifetime_s"),
        lifetimes=LIFETIMES,
        method="" if made else request.given("signature_method"),
        methods=tuple(SignatureMethod),
    )


async def rename(visit: Visit) -> Reply:
    key, request, refusal = await _key(visit), visit.request, NOT_REFUSED
    if request.method == "POST":
        fields = {"token": key.token_key, "name": request.given("name")}
        try:
            await visit.act(ACCOUNT, "POST", "update_token_name", fields=fields)
        except InnkeeperError as error:
            refusal = Refusal.of(error)
        else:
            return redirect(*KEYS)
    return await visit.page(
        "account/rename_key.html",
        title=text("Rename API key"),
        section=SECTION,
        status=refusal.status,
        crumbs=(*CRUMBS, (text("API keys"), page_url(*KEYS))),
        key=key,
        name=request.given("name", key.name),
        problems=refusal.problems,
    )


async def delete(visit: Visit) -> Reply:
    key = await _key(visit)
    removal = Removal(
        title=text("Delete API key {name}", name=key.name or key.token_key),
        section=SECTION,
        crumbs=(*CRUMBS, (text("API keys"), page_url(*KEYS))),
        button=text("Delete API key"),
        resource=ACCOUNT,
        path={},
        op="delete_authorisation_token",
        fields={"token_key": key.token_key},
        place=KEYS,
        done=text("API key {name} is deleted.", name=key.name or key.token_key),
    )
    return await confirm(visit, removal)


async def _key(visit: Visit) -> ApiKeyView:
    token_key = visit.path["token_key"]
    for key in await visit.services.accounts.list_keys(visit.caller):
        if key.token_key == token_key:
            return key
    raise NotFound(f"You have no API key {token_key!r}.")


PAGES = (
    Page(path="account/keys", handle=show),
    Page(path="account/keys", method="POST", handle=create),
    *form_pages("account/keys/<token_key>/rename", rename),
    *form_pages("account/keys/<token_key>/delete", delete),
)
