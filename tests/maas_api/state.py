"""What a test sets of the recorded MAAS, and what the MAAS remembers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from attrs import define, field, frozen

from tests.maas_api.messages import Answer, Request
from tests.maas_api.rows import Rows
from tests.maas_site.site import site


@frozen(kw_only=True)
class Release:
    """What differs between releases (continuity.md 1.1, 3)."""

    version: str = "3.7.3"
    has_vm_hosts: bool = True  # under this name, besides `pods`
    has_pods: bool = True
    has_vms: bool = True
    has_clusters: bool = True
    has_reserved_ips: bool = True
    vm_hosts_are_gone: bool = False


MAAS_2_9 = Release(version="2.9.2", has_vms=False, has_clusters=False, has_reserved_ips=False)
ONLY_PODS = Release(version="2.9.0", has_vm_hosts=False, has_vms=False, has_clusters=False, has_reserved_ips=False)
MAAS_3_8 = Release(version="3.8.0")
MAAS_4_0 = Release(version="4.0.0", vm_hosts_are_gone=True)


@define(kw_only=True)
class Maas:
    """`hidden_machines` and `hidden_hosts`, by system id and id: what the groups of 3.8 keep from every caller.

    `instead` answers a path; `before` is called when a path is asked, once for each entry; `hold` delays all answers.
    `is_read_only`: a request that is no GET gets 405. `requests` are all, in their order.
    """

    rows: Rows = field(factory=lambda: Rows(site()))
    release: Release = Release()
    is_read_only: bool = True
    hidden_machines: set[str] = field(factory=set)
    hidden_hosts: set[int] = field(factory=set)
    instead: dict[str, Answer] = field(factory=dict)
    before: dict[str, list[Callable[[Maas], None]]] = field(factory=dict)
    hold: threading.Event | None = None
    requests: list[Request] = field(factory=list)
    nonces: set[tuple[str, str]] = field(factory=set)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(factory=threading.Lock)

    @property
    def changes(self) -> list[Request]:
        """The requests that are no GET."""
        return [one for one in self.requests if one.method != "GET"]

    def asked(self, path: str, op: str | None = None) -> list[Request]:
        return [one for one in self.requests if one.path == path and one.op == op]
