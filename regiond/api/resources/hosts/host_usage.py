"""`vm-hosts/{id}/?op=usage`."""

from __future__ import annotations

from regiond.api.declaration.endpoint import Call
from regiond.api.resources.shared.lookups import find_host
from regiond.api.resources.shared.usage import usage_endpoint
from regiond.hosts.model import HostView
from regiond.usage.model import UsageView


async def _read(call: Call, history: bool) -> UsageView:
    host: HostView = call.target
    return await call.services.usages.of_host(host, history=history)


USAGE = usage_endpoint(
    "a VM host",
    find_host,
    _read,
    more=" What the hypervisor does not report about the host itself is the sum of its virtual machines, and "
    "sums_of_guests names it.",
)
