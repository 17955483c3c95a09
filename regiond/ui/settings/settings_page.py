"""The settings: what there is to set up, as links; about this installation; and help."""

from __future__ import annotations

from regiond.api.replies import Reply
from regiond.ui.extension import Area, pages_extensions
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import constant, text

SETTINGS = "settings"


_AREAS = (
    Area(
        name=constant("Racks and regions"),
        segments=(SETTINGS, "racks"),
        icon="host",
        about=constant("The daemons that call hypervisors: their zones and the hosts that they reach; join tokens."),
        is_open=True,
    ),
    Area(
        name=constant("Users"),
        segments=(SETTINGS, "users"),
        icon="user",
        about=constant("Accounts and administrators."),
    ),
    Area(
        name=constant("Roles"),
        segments=(SETTINGS, "roles"),
        icon="key",
        about=constant("Who may see a resource pool, and who may compose there."),
    ),
    Area(
        name=constant("Quotas"),
        segments=(SETTINGS, "quotas"),
        icon="pools",
        about=constant("What a user, or the VMs in a resource pool, may hold."),
        is_open=True,
    ),
    Area(
        name=constant("Images"),
        segments=(SETTINGS, "images"),
        icon="disc",
        about=constant("What VMs are deployed with: the disks of operating systems."),
        is_open=True,
    ),
    Area(
        name=constant("Exports"),
        segments=(SETTINGS, "exports"),
        icon="disc",
        about=constant("Files of whole VMs: your own, to download and to import."),
        is_open=True,
    ),
)
_MORE_AREAS = (
    Area(
        name=constant("Tags"),
        segments=(SETTINGS, "tags"),
        icon="tag",
        about=constant("Names by which VMs and hosts are selected."),
        is_open=True,
    ),
    Area(
        name=constant("Events"),
        segments=("events",),
        icon="clock",
        about=constant("What happened to hosts, VMs, racks and accounts."),
        is_open=True,
    ),
    Area(
        name=constant("Audit trail"),
        segments=(SETTINGS, "audit"),
        icon="tasks",
        about=constant("Who asked for what, when, and with what result."),
    ),
    Area(
        name=constant("Discrepancies"),
        segments=(SETTINGS, "discrepancies"),
        icon="warn",
        about=constant("Where the ledger and the hosts disagree, and what repairs it."),
    ),
    Area(
        name=constant("About"),
        segments=("about",),
        icon="info",
        about=constant("Version, region processes, and licences."),
        is_open=True,
    ),
)


async def show(visit: Visit) -> Reply:
    of_extensions = [area for extension in pages_extensions() for area in extension.areas]
    areas = [area for area in (*_AREAS, *of_extensions, *_MORE_AREAS) if area.is_open or visit.caller.is_admin]
    return await visit.page("settings/index.html", title=text("Settings"), section=SETTINGS, areas=areas)


async def show_about(visit: Visit) -> Reply:
    caller = visit.caller
    return await visit.page(
        "settings/about.html",
        title=text("About"),
        section=SETTINGS,
        regions=await visit.services.racks.regions(caller) if caller.is_admin else (),
        racks=await visit.services.racks.list(caller=caller),
    )


async def show_help(visit: Visit) -> Reply:
    return await visit.page("settings/help.html", title=text("Help"), section=SETTINGS)


PAGES = (
    Page(path="settings", handle=show),
    Page(path="about", handle=show_about),
    Page(path="help", handle=show_help),
)
