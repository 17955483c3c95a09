"""A page of 200 rows stays in its budget, which is one of the bytes that travel."""

from __future__ import annotations

import gzip
from urllib.parse import urlsplit

import pytest

from tests.bench.figures.ui import MAX_SENT_KB
from tests.bench.prefilled import prefill
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import WebClient

ROWS = 200
# Every column has a value: an owner, an address, two tags and a task that has ended. All are deployed.
_FURNISH = """
    with owned as (update machine set owner_id = (select id from account where username = 'mira'),
                          tags = '{pod-console-logging,simulated}', state = 'deployed'
                    returning id, system_id, hostname),
         network as (insert into subnet (cidr, name, vlan_id) values ('192.168.0.0/16', 'lan', 5001) returning id),
         addressed as (insert into ip_address (subnet_id, address, machine_id, nic_id)
                       select network.id, '192.168.100.0'::inet + n.machine_id, n.machine_id, n.id
                         from machine_nic n, network),
         image as (insert into deployment (machine_id, operation_id, state, image, osystem, distro_series)
                   select id, 1, 'deployed', '{}', 'ubuntu', 'noble' from machine)
    insert into operation (kind, state, machine_id, system_id, hostname, max_failures, finished_at)
    select 'compose', 'succeeded', id, system_id, hostname, 1, now() from owned
"""


@pytest.mark.slow
async def test_a_list_of_200_vms_is_in_its_budget(rackless: Deployment) -> None:
    await prefill(rackless.dsn, hosts=10, machines_each=ROWS // 10)
    await add_administrator_with_password(rackless)
    await rackless.fetch(_FURNISH)
    client = WebClient(urlsplit(rackless.region.api_url).port or 0)
    await client.log_in("mira", PASSWORD)
    answer = await client.get(f"/MAAS/ui/vms?size={ROWS}", **{"Accept-Encoding": "gzip"})
    page = gzip.decompress(answer.content).decode()
    rows = page.split("<tbody>")[1].split("</tbody>")[0].split("<tr ")[1:]
    assert len(rows) == ROWS
    assert all("192.168.100." in row and ">mira" in row and "Compose" in row and "noble" in row for row in rows)
    assert len(answer.content) / 1000 <= MAX_SENT_KB, f"of {len(page.encode()) / 1000:.0f} kB"
