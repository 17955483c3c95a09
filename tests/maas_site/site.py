"""One made-up MAAS 3.7 as rows of its tables: 40 machines on two LXD hosts, a cluster of three and a libvirt host.

Both its dumps and the answers of its API are made of these values.
"""

from __future__ import annotations

from tests.maas_site.hosts import hosts, more_hosts
from tests.maas_site.machines import machines
from tests.maas_site.networks import networks
from tests.maas_site.people import people
from tests.maas_site.tables import Tables, merged


def site(times: int = 1) -> Tables:
    """The rows, new for each call. `times` 125 has 5,000 machines: each further 40 are on one more LXD host."""
    return merged(
        people(), networks(), hosts(), machines(),
        *(part for copy in range(1, times) for part in (more_hosts(copy), machines(copy))),
    )  # fmt: skip
