"""The pages about MAAS, and what other pages show of it."""

from __future__ import annotations

from common.words.operation_kinds import OperationKind
from regiond.api.services import Services
from regiond.maas.imports.model import ImportRequest
from regiond.maas.pages import import_pages, machine_page, parallel_pages, server_pages
from regiond.maas.services import MaasServices
from regiond.operations.model import Operation
from regiond.ui.extension import Area, Link, PagesExtension
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url


async def _servers(services: Services) -> list[str]:
    return [one.name for one in await services.of(MaasServices).maas_servers.list()]


def _import_again(task: Operation) -> Link:
    return (
        page_url(SETTINGS, import_pages.IMPORTS, str(task.request_as(ImportRequest).import_)),
        text("What is here already stays. Another import brings the rest."),
    )


EXTENSION = PagesExtension(
    pages=(*machine_page.PAGES, *server_pages.PAGES, *import_pages.PAGES, *parallel_pages.PAGES),
    areas=(
        Area(
            name=constant("MAAS servers"),
            segments=server_pages.PLACE,
            icon="host",
            about=constant("Servers of MAAS that commission and deploy VMs which are registered in them."),
            is_open=True,
        ),
        Area(
            name=constant("Imports from MAAS"),
            segments=(SETTINGS, import_pages.IMPORTS),
            icon="host",
            about=constant("Hosts, VMs, networks and users of a MAAS, which come over while the VMs run."),
        ),
    ),
    lists={
        server_pages.PLACE: (constant("MAAS server"), (constant("All MAAS servers"), page_url(*server_pages.PLACE))),
        (SETTINGS, import_pages.IMPORTS): (
            constant("import"),
            (constant("All imports from MAAS"), page_url(SETTINGS, import_pages.IMPORTS)),
        ),
    },
    again={OperationKind.IMPORT: _import_again},
    templates=("regiond.maas.pages",),
    maas_servers=_servers,
)
