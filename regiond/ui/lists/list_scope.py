"""The objects that a list with filters is about: all, or those of one host or one VM. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from regiond.ui.web_request import page_url


@frozen(kw_only=True)
class ListScope:
    """`path` is the page of the list. `fixed` has the filters that the page decides, by name; its form lacks them.

    `live` are the topics of changes after which the list refreshes itself.
    """

    path: str
    live: str
    fixed: Mapping[str, str] = field(factory=dict)


def everything(kind: str) -> ListScope:
    """`kind` is "tasks" or "events"."""
    return ListScope(path=page_url(kind), live=kind)


def of_host(host_id: int, kind: str) -> ListScope:
    """The tab of a host."""
    return ListScope(path=page_url("hosts", host_id, kind), live=f"host-{host_id} {kind}", fixed={"host": str(host_id)})


def of_vm(system_id: str, kind: str) -> ListScope:
    """The tab of a VM."""
    return ListScope(path=page_url("vms", system_id, kind), live=f"vm-{system_id} {kind}", fixed={"vm": system_id})
