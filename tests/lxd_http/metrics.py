"""The metrics of running instances: without an agent in the guest, as QEMU reports them. They grow with the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.lxd_http.messages import Answer, Request
from tests.lxd_http.state import RUNNING, Instance, Lxd

_BYTES_PER_S = 1000


def read(lxd: Lxd, request: Request) -> Answer:
    """Those of all projects, unless the request names one."""
    wanted = request.query.get("project")
    running = [
        one for _, one in sorted(lxd.instances.items()) if one.status_code == RUNNING and wanted in {None, one.project}
    ]
    lines = ["# HELP lxd_cpu_seconds_total The total number of CPU time used in seconds."]
    for one in running:
        lines += (line.replace("lxd_", f"{lxd.release.product}_", 1) for line in _lines(lxd, one))
    return Answer(
        content="\n".join([*lines, "# EOF", ""]).encode(), headers={"Content-Type": "text/plain; charset=utf-8"}
    )


def _lines(lxd: Lxd, one: Instance) -> Iterator[str]:
    labels = f'name="{one.name}",project="{one.project}",type="virtual-machine"'
    seconds = time.monotonic()
    config = lxd.expanded_config(one)
    memory = int(config.get("limits.memory", "1024MiB").removesuffix("MiB")) * 1024**2
    count = int(time.monotonic() * _BYTES_PER_S)
    yield f'lxd_cpu_seconds_total{{cpu="0",mode="user",{labels}}} {seconds:.6f}'
    yield f'lxd_cpu_seconds_total{{cpu="0",mode="idle",{labels}}} {2 * seconds:.6f}'
    yield f"lxd_cpu_effective_total{{{labels}}} {config.get('limits.cpu', '1')}"
    yield f"lxd_memory_MemTotal_bytes{{{labels}}} {memory:e}"
    yield f"lxd_memory_MemAvailable_bytes{{{labels}}} {memory / 4:e}"
    for name in ("read", "written"):
        yield f'lxd_disk_{name}_bytes_total{{device="sda",{labels}}} {count}'
        yield f'lxd_disk_{name}_bytes_total{{device="sda1",{labels}}} {count}'
    for name in ("receive", "transmit"):
        yield f'lxd_network_{name}_bytes_total{{device="eth0",{labels}}} {count}'
        yield f'lxd_network_{name}_bytes_total{{device="lo",{labels}}} {count}'
