"""Baseline for libvirt discovery: lists the domains with virsh, then queries each of them.

One virsh process with one connection answers all queries, so that no process per domain is counted.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from tests.bench.baselines.guest_facts import GuestFacts

_END = "</domain>"
_DEADLINE_S = 120.0


def guests(uri: str) -> list[GuestFacts]:
    """Makes two calls for the lists and one per domain."""
    everything, running = _ask(uri, "list --all --uuid").split(), set(_ask(uri, "list --uuid").split())
    if not everything:
        return []
    answers = _ask(uri, "; ".join(f"dumpxml {uuid}" for uuid in everything)).split(_END)[:-1]
    return [_guest_facts(answer + _END, running) for answer in answers]


def _guest_facts(answer: str, running: set[str]) -> GuestFacts:
    tree = ET.fromstring(answer.strip())  # noqa: S314  libvirt's own answer
    return GuestFacts(
        name=tree.findtext("name", ""),
        on=tree.findtext("uuid", "") in running,
        cores=int(tree.findtext("vcpu", "0")),
        memory_mib=int(tree.findtext("memory", "0")) // 1024,
        disks=len(tree.findall("devices/disk")),
    )


def _ask(uri: str, *commands: str) -> str:
    command: Sequence[str] = ("virsh", "-q", "-c", uri, *commands)
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_DEADLINE_S).stdout
