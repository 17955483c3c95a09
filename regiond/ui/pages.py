"""Collects all pages and makes what serves them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from regiond.accounts.sessions import Sessions
from regiond.api.pipeline.dispatch import Api
from regiond.ui.account import account_pages, file_pages, key_pages, own_pages
from regiond.ui.attention import attention_page
from regiond.ui.clusters import cluster_pages
from regiond.ui.events import event_pages
from regiond.ui.extension import pages_extensions
from regiond.ui.hosts import add_page, adoption_page, host_pages, interface_page, removal_page
from regiond.ui.hosts import bulk_page as host_bulk
from regiond.ui.hosts import export_page as host_export
from regiond.ui.hosts import list_page as host_list
from regiond.ui.hosts import settings_page as host_settings
from regiond.ui.lists import saved_pages
from regiond.ui.machines import (
    action_pages,
    clone_page,
    console_page,
    deploy_page,
    edit_pages,
    host_vms_page,
    rebuild_page,
    release_page,
    screen_page,
    transfer_pages,
)
from regiond.ui.machines import export_page as machine_export
from regiond.ui.machines import list_page as machine_list
from regiond.ui.machines.bulk import bulk_page
from regiond.ui.machines.compose import compose_page
from regiond.ui.machines.details import (
    boot_page,
    former_page,
    iso_page,
    nic_changes,
    nic_pages,
    notes_page,
    resize_page,
    start_order_page,
    tab_pages,
)
from regiond.ui.machines.disks import change_pages as disk_changes
from regiond.ui.machines.disks import disk_pages
from regiond.ui.machines.disks import removal_pages as disk_removals
from regiond.ui.networks import change_pages as network_changes
from regiond.ui.networks import device_data_page, device_nic_pages, device_pages, dns_pages, network_pages
from regiond.ui.overview import components_page, overview_page, search_page
from regiond.ui.rendering.renderer import Renderer
from regiond.ui.rendering.static_files import StaticFiles
from regiond.ui.serving.login import SESSION_PAGE, LoginPage
from regiond.ui.serving.site import WebSite
from regiond.ui.serving.stream import Feed, stream_page
from regiond.ui.serving.web_pages import WebPages
from regiond.ui.settings import (
    audit_pages,
    audit_redaction_pages,
    discrepancy_pages,
    export_pages,
    group_pages,
    image_pages,
    new_image_pages,
    quota_pages,
    rack_pages,
    role_pages,
    settings_page,
    tag_pages,
    user_pages,
)
from regiond.ui.tasks import list_page as task_list
from regiond.ui.tasks import task_pages
from regiond.ui.usage import usage_pages

PAGES = (
    *overview_page.PAGES,
    *attention_page.PAGES,
    *host_list.PAGES,
    *host_export.PAGES,
    *host_bulk.PAGES,
    *add_page.PAGES,
    *adoption_page.PAGES,
    *host_pages.PAGES,
    *host_vms_page.PAGES,
    *interface_page.PAGES,
    *host_settings.PAGES,
    *removal_page.PAGES,
    *cluster_pages.PAGES,
    *machine_list.PAGES,
    *machine_export.PAGES,
    *saved_pages.PAGES,
    *bulk_page.PAGES,
    *former_page.PAGES,
    *tab_pages.PAGES,
    *notes_page.PAGES,
    *nic_pages.PAGES,
    *disk_pages.PAGES,
    *disk_changes.PAGES,
    *disk_removals.PAGES,
    *resize_page.PAGES,
    *usage_pages.PAGES,
    *boot_page.PAGES,
    *iso_page.PAGES,
    *start_order_page.PAGES,
    *nic_changes.PAGES,
    *action_pages.PAGES,
    *console_page.PAGES,
    *screen_page.PAGES,
    *edit_pages.PAGES,
    *deploy_page.PAGES,
    *rebuild_page.PAGES,
    *clone_page.PAGES,
    *transfer_pages.PAGES,
    *release_page.PAGES,
    *compose_page.PAGES,
    *task_list.PAGES,
    *task_pages.PAGES,
    *event_pages.PAGES,
    *settings_page.PAGES,
    *rack_pages.PAGES,
    *user_pages.PAGES,
    *role_pages.PAGES,
    *quota_pages.PAGES,
    *audit_pages.PAGES,
    *audit_redaction_pages.PAGES,
    *discrepancy_pages.PAGES,
    *group_pages.PAGES,
    *tag_pages.PAGES,
    *image_pages.PAGES,
    *export_pages.PAGES,
    *new_image_pages.PAGES,
    *account_pages.PAGES,
    *key_pages.PAGES,
    *own_pages.PAGES,
    *file_pages.PAGES,
    *network_pages.PAGES,
    *network_changes.PAGES,
    *device_pages.PAGES,
    *device_nic_pages.PAGES,
    *device_data_page.PAGES,
    *dns_pages.PAGES,
    *search_page.PAGES,
    SESSION_PAGE,
    *[page for extension in pages_extensions() for page in extension.pages],
)


def make_pages(api: Api, *, sessions: Sessions, feed: Feed, version: str) -> WebPages:
    """Builds the pages on the API, whose services they read and whose endpoints they use for changes."""
    static, renderer = _static_parts(version)

    def now() -> datetime:
        return datetime.now(UTC)

    site = WebSite(
        api=api, sessions=sessions, renderer=renderer, static=static, now=now, position=lambda: feed.position
    )
    login_page = LoginPage(sessions=sessions, audit=api.services.audit, renderer=renderer, now=now)
    previews = components_page.PAGES if api.info.simulated_hosts else ()
    sockets = (console_page.socket_page(sessions), screen_page.socket_page(sessions))
    pages = (*PAGES, *previews, stream_page(feed, sessions), *sockets)
    return WebPages(site=site, login=login_page, static=static, pages=pages)


@cache
def _static_parts(version: str) -> tuple[StaticFiles, Renderer]:
    """Files and compiled templates, which the regions of one process share."""
    static = StaticFiles.packaged()
    templates = [package for extension in pages_extensions() for package in extension.templates]
    return static, Renderer(static, version=version, templates=templates)
