"""Composes a VM with the client that openapi-python-client has made: generated_client.py URL KEY HOST"""

import sys

from innkeeper_client import AuthenticatedClient
from innkeeper_client.api.machine import machine_delete, machine_power_on, machine_read
from innkeeper_client.api.machines import machines_read
from innkeeper_client.api.vm_host import vm_host_compose
from innkeeper_client.models import VmHostComposeJsonBody

url, key, host = sys.argv[1:]
with AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True) as client:
    body = VmHostComposeJsonBody(hostname="generated", cores=1, memory=1024)
    composed = vm_host_compose.sync(host, client=client, body=body, idempotency_key="generated-1")
    again = vm_host_compose.sync(host, client=client, body=body, idempotency_key="generated-1")
    assert again.system_id == composed.system_id, "a repeated request composes nothing new"
    machine = machine_read.sync(composed.system_id, client=client)
    assert (machine.hostname, machine.cpu_count, machine.status_name) == ("generated", 1, "Ready"), machine
    assert [one.system_id for one in machines_read.sync(client=client)] == [machine.system_id]
    assert machine_power_on.sync(machine.system_id, client=client).power_state == "on"
    deleted = machine_delete.sync_detailed(machine.system_id, client=client)
    assert deleted.status_code == 204, deleted
    assert machine_read.sync_detailed(machine.system_id, client=client).status_code == 404
    print("composed", machine.system_id)
