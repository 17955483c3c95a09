"""One's own files, which programs such as Juju store: the list, a new one, downloads, and deletion."""

from __future__ import annotations

from urllib.parse import quote

from common.errors import InnkeeperError
from regiond.api.pipeline.request import CONTENT_TYPE
from regiond.api.replies import Reply
from regiond.api.resources.region.files import FILE, FILES
from regiond.files.model import MAX_FILE_BYTES, MAX_FILES
from regiond.ui.account.account_pages import CRUMBS, SECTION, account_page
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.texts import text
from regiond.ui.web_request import page_url

PLACE = (SECTION, "files")


async def show(visit: Visit) -> Reply:
    """The list; when a file was sent, with what is wrong with it."""
    request, refusal = visit.request, NOT_REFUSED
    sent = {name: request.given(name) for name in ("filename", "file")}
    if request.method == "POST":
        try:
            await visit.act(FILES, "POST", fields=sent)
        except InnkeeperError as error:
            refusal = Refusal.of(error)
        else:
            return redirect(*PLACE)
    files = await visit.services.files.list(visit.caller)
    return await account_page(
        visit, "account/files.html", "files", refusal, files=files, sent=sent, most=MAX_FILES, most_bytes=MAX_FILE_BYTES
    )


async def download(visit: Visit) -> Reply:
    found = await visit.services.files.read(visit.caller, visit.request.option("name"))
    name = quote(found.file.filename.rpartition("/")[2], safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}", "X-Content-Type-Options": "nosniff"}
    return Reply(status=200, body=found.content, content_type=CONTENT_TYPE, headers=headers)


async def delete(visit: Visit) -> Reply:
    """The name is in the query, since it may have slashes."""
    found = await visit.services.files.read(visit.caller, visit.request.option("name"))
    removal = Removal(
        title=text("Delete {filename}", filename=found.file.filename),
        section=SECTION,
        crumbs=(*CRUMBS, (text("Files"), page_url(*PLACE))),
        button=text("Delete file"),
        resource=FILE,
        path={"filename": found.file.filename},
        place=PLACE,
        note=text("The program that stored it may need it."),
    )
    return await confirm(visit, removal)


PAGES = (
    *form_pages("account/files", show),
    Page(path="account/files/download", handle=download),
    *form_pages("account/files/delete", delete),
)
