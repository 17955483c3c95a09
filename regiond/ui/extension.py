"""The part of an extension that the pages show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache

from attrs import frozen

from common.words.operation_kinds import OperationKind
from regiond.api.services import Services
from regiond.operations.model import Operation
from regiond.process import extensions
from regiond.ui.rendering.page import Page

Link = tuple[str, str]


async def _none(_: Services) -> tuple[str, ...]:
    return ()


@frozen(kw_only=True)
class Area:
    """One group of settings. `is_open`: also for users who are no administrators."""

    name: str
    segments: tuple[str, ...]
    icon: str
    about: str
    is_open: bool = False


@frozen(kw_only=True)
class PagesExtension:
    """The pages of an extension, and what others show of it.

    `areas` are links of the settings. `lists` has the word for an object and its list, by the beginning of addresses:
    the page of an error names them. `again` has the address and the words for a task of its kinds that failed.
    `templates` are packages with a folder of that name. `maas_servers` returns the names of servers in which a VM can
    be registered when it is composed.
    """

    pages: tuple[Page, ...]
    areas: tuple[Area, ...] = ()
    lists: Mapping[tuple[str, ...], tuple[str, Link]]
    again: Mapping[OperationKind, Callable[[Operation], Link]]
    templates: tuple[str, ...] = ()
    maas_servers: Callable[[Services], Awaitable[Iterable[str]]] = _none


@cache
def pages_extensions() -> tuple[PagesExtension, ...]:
    """Returns those of all extensions. A module that an extension imports must not call this when it is imported."""
    return extensions.extensions(extensions.PAGES, PagesExtension)
